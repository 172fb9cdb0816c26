package conversion

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func equal(a, b *corev1.ConfigMap) bool { return equality.Semantic.DeepEqual(a, b) }

func configMap(kind, key, text string) *corev1.ConfigMap {
	c := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: "httpbin", Namespace: "default",
			Labels: map[string]string{iter8v1alpha1.ManagedByLabel: ManagedByValue}},
		Data: map[string]string{key: text},
	}
	if kind != "" {
		c.Labels[KindLabel] = kind
	}
	return c
}

func TestRecognise(t *testing.T) {
	someoneElses := configMap("routemap", strSpecKey, "versions: []")
	someoneElses.Labels[iter8v1alpha1.ManagedByLabel] = "Helm"
	for name, test := range map[string]struct {
		configMap *corev1.ConfigMap
		format    Format
		ok        bool
	}{
		"a routemap by its label":                          {configMap("routemap", strSpecKey, ""), FormatRoutemap, true},
		"a routing policy by its label":                    {configMap("routingpolicy", specKey, ""), FormatRoutingPolicy, true},
		"a subject by its label":                           {configMap("subject", specKey, "variants: [[a]]"), FormatSubject, true},
		"a subject with resources under spec":              {configMap("subject", specKey, "variants: [{}]"), FormatSubjectWithTemplates, true},
		"a subject with strSpec":                           {configMap("subject", strSpecKey, "variants: [[a]]"), FormatSubjectWithTemplates, true},
		"a subject that holds nothing":                     {configMap("subject", "other", ""), FormatSubjectWithTemplates, true},
		"a routing policy by its trigger":                  {configMap("", specKey, "trigger: {}"), FormatRoutingPolicy, true},
		"a routing policy by its chart":                    {configMap("", specKey, "chart: a"), FormatRoutingPolicy, true},
		"a subject by its kinds":                           {configMap("", specKey, "gvrs: []"), FormatSubject, true},
		"a subject by its lists of names":                  {configMap("", specKey, "variants: [[a]]"), FormatSubject, true},
		"a subject with templates by these":                {configMap("", strSpecKey, "ssas: {}"), FormatSubjectWithTemplates, true},
		"a subject with templates by its resources":        {configMap("", strSpecKey, "variants: [{resources: []}]"), FormatSubjectWithTemplates, true},
		"a routemap by its versions":                       {configMap("", strSpecKey, "versions: []"), FormatRoutemap, true},
		"a routemap by its templates":                      {configMap("", strSpecKey, "variants: [{}]\nroutingTemplates: {}"), FormatRoutemap, true},
		"nothing that is known, which Convert tells about": {configMap("", specKey, "a: b"), FormatUnknown, true},
		"no YAML, which Convert tells about":               {configMap("", specKey, "{"), FormatUnknown, true},
		"another kind of Iter8's":                          {configMap("experiment", specKey, "gvrs: []"), "", false},
		"a ConfigMap of someone else's":                    {someoneElses, "", false},
		"a ConfigMap without labels":                       {&corev1.ConfigMap{Data: map[string]string{specKey: "gvrs: []"}}, "", false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			format, ok := Recognise(test.configMap)
			g.Expect(format).To(Equal(test.format))
			g.Expect(ok).To(Equal(test.ok))
			if _, err := Convert(test.configMap, Options{}); !ok {
				g.Expect(err).To(MatchError(ErrNotIter8))
			}
		})
	}
}

func TestResourceTypesAreTheConfigurations(t *testing.T) {
	g := NewWithT(t)
	holds := func(name string, status metav1.ConditionStatus) configv1alpha1.ResourceCondition {
		return configv1alpha1.ResourceCondition{Name: name, Status: status}
	}
	options := Options{ResourceTypes: map[string]configv1alpha1.ResourceType{
		"ksvc": {Group: "serving.knative.dev", Version: "v1", Kind: "Service",
			Conditions: []configv1alpha1.ResourceCondition{holds("Ready", ""), holds("RoutesReady", "true"), holds("Ready", "True")}},
		"job": {Group: "batch", Version: "v1", Kind: "Job",
			Conditions: []configv1alpha1.ResourceCondition{holds("Complete", "True"), holds("Failed", "false")}},
	}}
	result, err := Convert(configMap("", specKey, "gvrs: [ksvc, job]\nvariants: [[a, b]]"), options)
	g.Expect(err).NotTo(HaveOccurred())
	checkInvariants(t, result)
	g.Expect(result.Subject.Spec.Variants[0].Resources).To(Equal([]iter8v1alpha1.ResourceReference{
		{APIVersion: "serving.knative.dev/v1", Kind: "Service", Name: "a", ReadyWhen: &iter8v1alpha1.ReadyWhen{Conditions: []string{"Ready", "RoutesReady"}}},
		{APIVersion: "batch/v1", Kind: "Job", Name: "b", ReadyWhen: &iter8v1alpha1.ReadyWhen{
			CEL: `has(object.status) && has(object.status.conditions)` +
				` && (!has(object.status.observedGeneration) || !has(object.metadata.generation) || object.status.observedGeneration >= object.metadata.generation)` +
				` && object.status.conditions.exists(c, c.type == "Complete" && c.status == "True")` +
				` && object.status.conditions.exists(c, c.type == "Failed" && c.status == "False")`,
		}},
	}))

	_, err = Convert(configMap("", specKey, "gvrs: [svc]\nvariants: [[a]]"), options)
	g.Expect(err).To(MatchError(ContainSubstring("(job, ksvc)")))

	long := holds(strings.Repeat("a", 316), "False")
	options.ResourceTypes["long"] = configv1alpha1.ResourceType{Version: "v1", Kind: "Long", Conditions: []configv1alpha1.ResourceCondition{long, long, long}}
	_, err = Convert(configMap("", specKey, "gvrs: [long]\nvariants: [[a]]"), options)
	g.Expect(err).To(MatchError(ContainSubstring("conditions whose names are too long together")))
}

func TestChartRepositoriesMayBeAliases(t *testing.T) {
	policy := func(repository, chart, version string) string {
		return fmt.Sprintf("trigger: {owner: httpbin}\nrepo: %q\nchart: %q\nversion: %q\n", repository, chart, version)
	}
	aliases := []configv1alpha1.ChartRepositoryAlias{
		{Repository: "https://example.com/charts/", Chart: "mirror"},
		{Repository: "https://example.com/charts", Chart: "shadow", BuiltIn: "mirror", IgnoreVersion: true},
		{Repository: "https://example.com/charts", Chart: "shadow", BuiltIn: "second"},
	}
	for name, test := range map[string]struct {
		spec    string
		aliases []configv1alpha1.ChartRepositoryAlias
		want    iter8v1alpha1.ChartReference
	}{
		"Iter8's repository, by default": {policy("https://iter8-tools.github.io/iter8", "mirror", "0.14.x"), nil,
			iter8v1alpha1.ChartReference{Name: "mirror", Version: "0.14.x"}},
		"another chart of Iter8's repository": {policy("https://iter8-tools.github.io/iter8", "release", "1.1.x"), nil,
			iter8v1alpha1.ChartReference{Repository: "https://iter8-tools.github.io/iter8", Name: "release", Version: "1.1.x"}},
		"no aliases": {policy("https://iter8-tools.github.io/iter8", "mirror", ""), []configv1alpha1.ChartRepositoryAlias{},
			iter8v1alpha1.ChartReference{Repository: "https://iter8-tools.github.io/iter8", Name: "mirror"}},
		"the same name, and a slash": {policy("https://example.com/charts", "mirror", "1.x"), aliases,
			iter8v1alpha1.ChartReference{Name: "mirror", Version: "1.x"}},
		"another name, in any version, by the first that fits": {policy("https://example.com/charts/", "shadow", "9.x"), aliases,
			iter8v1alpha1.ChartReference{Name: "mirror"}},
		"another address": {policy("http://example.com/charts", "mirror", ""), aliases,
			iter8v1alpha1.ChartReference{Repository: "http://example.com/charts", Name: "mirror"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			result, err := Convert(configMap("", specKey, test.spec), Options{ChartRepositoryAliases: test.aliases})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(result.Policy.Spec.Chart).To(Equal(&test.want))
		})
	}
}

func TestConvertSetsLimits(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 900<<10/16)
	lines := strings.Repeat("    - svc\n", 90<<10)
	indented := "      " + strings.Repeat("{{ .Name }}\n      ", 6000)
	for name, test := range map[string]struct{ kind, key, spec, message string }{
		"900 KiB of a template":       {"routemap", strSpecKey, "versions: [{}]\nroutingTemplates: {a: {gvrShort: vs, template: " + big + "}}", "data.strSpec line 2, routingTemplates.a.template: has 921600 characters, and may have 65536: split it"},
		"a template of many lines":    {"routemap", strSpecKey, "versions: [{}]\nroutingTemplates:\n  a:\n    gvrShort: vs\n    template: |\n" + indented, "data.strSpec line 5, routingTemplates.a.template: has 72000 characters"},
		"900 KiB of short names":      {"subject", specKey, "gvrs:\n" + lines + "variants: [[a]]", "has 92160 kinds, and a variant has 16 resources at most"},
		"900 KiB of a name":           {"subject", specKey, "gvrs: [svc]\nvariants: [[" + big + "]]", `variants[0][0]: "0123456789abcdef0123`},
		"900 KiB of an unknown field": {"routemap", strSpecKey, "? " + big + "\n: 1", "versions: is missing"},
		"900 KiB of a key":            {"routemap", strSpecKey, big + ": 1", "data.strSpec line 1: is not YAML"},
		"900 KiB of brackets":         {"routemap", strSpecKey, strings.Repeat("[", 900<<10), "is not YAML"},
		"900 KiB that are no YAML":    {"routemap", strSpecKey, "versions: [{}]\n" + big, "is not YAML"},
		"a billion laughs":            {"routemap", strSpecKey, laughs(12), "is not YAML"},
		"17 templates":                {"routemap", strSpecKey, "versions: [{}]\nroutingTemplates: {" + strings.Repeat("%d: {template: a}, ", 17) + "}", "has 17 templates, and a policy has 16 at most"},
		"17 resources of a version":   {"routemap", strSpecKey, "versions: [{resources: [" + strings.Repeat("{}, ", 17) + "]}]", "has 17 entries, and a variant has 16 resources at most"},
		"an address of 3,000 letters": {"routingpolicy", specKey, "trigger: {owner: a}\nchart: a\nrepo: https://" + big[:3000], "repo: has 3008 characters, and may have 2048"},
		"a version of 300 letters":    {"routingpolicy", specKey, "trigger: {owner: a}\nchart: a\nversion: v" + big[:299], "version: has 300 characters, and may have 253"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			spec := test.spec
			for n := 0; strings.Contains(spec, "%d"); n++ {
				spec = strings.Replace(spec, "%d", fmt.Sprintf("t%d", n), 1)
			}
			result, err := Convert(configMap(test.kind, test.key, spec), Options{})
			g.Expect(result.Objects()).To(BeEmpty())
			g.Expect(err).To(MatchError(ContainSubstring(test.message)))
			g.Expect(len(err.Error())).To(BeNumerically("<", 2000))
		})
	}
}

// laughs is small, and unfolds to 10 to the power of n.
func laughs(n int) string {
	text := "a0: &a0 ha\n"
	for i := 1; i <= n; i++ {
		text += fmt.Sprintf("a%d: &a%d [%s*a%d]\n", i, i, strings.Repeat(fmt.Sprintf("*a%d, ", i-1), 9), i-1)
	}
	return text
}

func TestConvertTellsOfSomeOfManyFindings(t *testing.T) {
	g := NewWithT(t)
	result, err := Convert(configMap("routemap", strSpecKey, "versions:\n- resources:\n"+strings.Repeat("  - {a: 1}\n", 16)), Options{})
	var problems Errors
	g.Expect(errors.As(err, &problems)).To(BeTrue())
	g.Expect(problems).To(HaveLen(maxFindings))
	g.Expect(problems[0]).To(Equal(Error{
		Position: Position{Key: "strSpec", Line: 3, Path: "versions[0].resources[0].gvrShort"},
		Message:  "is missing: write the short name of the resource's kind, such as svc",
	}))
	g.Expect(result.Warnings).To(HaveLen(16))
}

func TestConvertRefusesNamesThatNoObjectHas(t *testing.T) {
	g := NewWithT(t)
	nameless := configMap("", specKey, "gvrs: []\nvariants: [[]]")
	nameless.Name, nameless.Namespace = "", "a.b"
	_, err := Convert(nameless, Options{})
	g.Expect(err).To(MatchError(And(ContainSubstring(`metadata.name: "" is not a name`), ContainSubstring(`metadata.namespace: "a.b" is not a name`))))
}

func TestManifestsKeepTemplatesToTheLetter(t *testing.T) {
	for name, template := range map[string]string{
		"a space at the end of a line":      "a: \n  b: 1\n",
		"spaces at the end":                 "a: 1\n   ",
		"no newline at the end":             "a: \nb: 2",
		"several newlines at the end":       "a: \nb: 2\n\n\n",
		"a space at the beginning":          "  a: \n  b: 2\n",
		"a newline at the beginning":        "\na: \nb: 2\n",
		"a line of spaces":                  "a:\n   \nb: 2\n",
		"only spaces":                       "   ",
		"a tab and a carriage return":       "a: \n\tb: 1\r\n",
		"a character that can't be shown":   "a: \n\x07b\n",
		"the word that stands in its place": "template: the-template-0-of-this-policy\n \n",
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			result := Result{Policy: &iter8v1alpha1.RoutingPolicy{Spec: iter8v1alpha1.RoutingPolicySpec{
				Templates: []iter8v1alpha1.InlineTemplate{{Name: "a", Template: template}, {Name: "b", Template: "x: \n" + template}},
			}}}
			manifests, err := result.Manifests()
			g.Expect(err).NotTo(HaveOccurred())
			var read iter8v1alpha1.RoutingPolicy
			g.Expect(yaml.UnmarshalStrict(manifests, &read)).To(Succeed(), string(manifests))
			g.Expect(read.Spec.Templates).To(Equal(result.Policy.Spec.Templates), string(manifests))
		})
	}
}
