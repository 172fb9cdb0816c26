package v1alpha1

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestParseReadsTheCompatibilityMode(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		want func(*Legacy)
	}{
		"nothing of it": {"legacy: {}\n", func(*Legacy) {}},
		"on": {"legacy: {enabled: true, removeFinalizers: true, gracePeriod: 1m}\n", func(l *Legacy) {
			l.Enabled, l.RemoveFinalizers, l.GracePeriod = true, true, metav1.Duration{Duration: time.Minute}
		}},
		"namespaces that opt in": {"legacy: {namespaceSelector: {matchLabels: {iter8: legacy}}}\n", func(l *Legacy) {
			l.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"iter8": "legacy"}}
		}},
		"a resource type, beside the default ones": {
			"legacy: {resourceTypes: {ksvc: {group: serving.knative.dev, version: v1, kind: Service, conditions: [{name: Ready}]}}}\n",
			func(l *Legacy) {
				l.ResourceTypes["ksvc"] = ResourceType{Group: "serving.knative.dev", Version: "v1", Kind: "Service",
					Conditions: []ResourceCondition{{Name: "Ready", Status: metav1.ConditionTrue}}}
			},
		},
		"a resource type in place of a default one, which leaves nothing of it": {
			"legacy: {resourceTypes: {deploy: {group: apps, version: v1, kind: Deployment}}}\n",
			func(l *Legacy) {
				l.ResourceTypes["deploy"] = ResourceType{Group: "apps", Version: "v1", Kind: "Deployment"}
			},
		},
		"resource types as they stand in the values of Iter8's chart": {
			"legacy: {resourceTypes: {app: {Group: apps, Version: v1, Resource: deployments, conditions: [Available]}}}\n",
			func(l *Legacy) {
				l.ResourceTypes["app"] = ResourceType{Group: "apps", Version: "v1", Kind: "Deployment", Resource: "deployments",
					Conditions: []ResourceCondition{{Name: "Available", Status: metav1.ConditionTrue}}}
			},
		},
		"a condition that must not hold": {
			"legacy: {resourceTypes: {m: {group: a.io, version: v1, kind: M, conditions: [{name: Failed, status: False}]}}}\n",
			func(l *Legacy) {
				l.ResourceTypes["m"] = ResourceType{Group: "a.io", Version: "v1", Kind: "M",
					Conditions: []ResourceCondition{{Name: "Failed", Status: metav1.ConditionFalse}}}
			},
		},
		"aliases, which go in place of the default one": {
			"legacy: {chartRepositoryAliases: [{repository: 'oci://example.com/charts', chart: copy}]}\n",
			func(l *Legacy) {
				l.ChartRepositoryAliases = []ChartRepositoryAlias{{Repository: "oci://example.com/charts", Chart: "copy"}}
			},
		},
		"no aliases at all": {"legacy: {chartRepositoryAliases: []}\n", func(l *Legacy) {
			l.ChartRepositoryAliases = []ChartRepositoryAlias{}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			want := Default()
			test.want(&want.Legacy)
			g.Expect(Parse([]byte(header + test.file))).To(gomega.Equal(want))
		})
	}
}

func TestParseTellsWhatIsWrongWithTheCompatibilityMode(t *testing.T) {
	resourceType := func(fields string) string { return "legacy: {resourceTypes: {x: {" + fields + "}}}\n" }
	for name, test := range map[string]struct{ file, message string }{
		"a field that nobody knows":                {"legacy: {enable: true}\n", `unknown field "enable"`},
		"a field of a condition that nobody knows": {resourceType("version: v1, kind: X, conditions: [{type: Ready}]"), `unknown field "type"`},
		"a selector that selects nothing":          {"legacy: {namespaceSelector: {matchExpressions: [{key: a, operator: Is}]}}\n", "legacy.namespaceSelector of the operator's configuration: "},
		"a negative grace period":                  {"legacy: {gracePeriod: -1s}\n", "legacy.gracePeriod of the operator's configuration is -1s, and can't be negative"},
		"a grace period without a unit":            {"legacy: {gracePeriod: '10'}\n", "missing unit in duration"},
		"a short name that is none":                {"legacy: {resourceTypes: {'a b': {version: v1, kind: X}}}\n", `"a b" is not a short name`},
		"a resource whose kind nobody knows":       {resourceType("group: a.io, version: v1, resource: xs"), `legacy.resourceTypes.x of the operator's configuration takes a kind, beside its resource "xs"`},
		"a kind in lower case":                     {resourceType("version: v1, kind: service"), "a kind is in upper camel case"},
		"no version":                               {resourceType("kind: X"), `has the version "", and takes one such as v1`},
		"a group that is none":                     {resourceType("group: A, version: v1, kind: X"), `has the group "A"`},
		"too many conditions":                      {resourceType("version: v1, kind: X, conditions: [A, A, A, A, A, A, A, A, A]"), "has 9 conditions, and may have 8"},
		"a condition without a name":               {resourceType("version: v1, kind: X, conditions: ['']"), `has conditions[0] named ""`},
		"a status that no condition has":           {resourceType("version: v1, kind: X, conditions: [{name: A, status: Maybe}]"), "takes True, False or Unknown"},
		"an alias without a chart":                 {"legacy: {chartRepositoryAliases: [{repository: 'https://a.io'}]}\n", "legacy.chartRepositoryAliases[0] of the operator's configuration takes a repository"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			c, err := Parse([]byte(header + test.file))
			g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(test.message)))
			g.Expect(c).To(gomega.Equal(OperatorConfiguration{}))
		})
	}
}
