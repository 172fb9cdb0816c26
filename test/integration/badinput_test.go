package integration

import (
	"fmt"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestTheAPIRefusesWhatCanNotWork(t *testing.T) {
	policy := func(spec string) string {
		return "apiVersion: iter8.tools/v1alpha1\nkind: RoutingPolicy\nmetadata: {name: bad}\nspec: {subjectRef: {name: app}" + spec + "}"
	}
	subject := func(variants string) string {
		return "apiVersion: iter8.tools/v1alpha1\nkind: Subject\nmetadata: {name: bad}\nspec: {variants: " + variants + "}"
	}
	resource := func(fields string) string { return subject("[{name: v1, resources: [{" + fields + "}]}]") }

	for name, test := range map[string]struct{ manifest, message string }{
		"both chart and templates": {
			policy(", chart: {name: mirror}, templates: [{name: a, template: b}]"), "a policy takes exactly one of chart and templates"},
		"neither chart nor templates": {policy(""), "a policy takes exactly one of chart and templates"},
		"a repository that is no address": {
			policy(", chart: {name: mirror, repository: charts.example.com}"), "a repository's address starts with https://"},
		"an interval that is too short": {policy(", chart: {name: mirror}, interval: 1s"), "interval must be 10s or more"},
		"an interval that is none":      {policy(", chart: {name: mirror}, interval: often"), "spec.interval"},
		"values that are no object":     {policy(", chart: {name: mirror}, values: [1]"), "spec.values"},
		"the same template twice": {
			policy(", templates: [{name: a, template: b}, {name: a, template: c}]"), "Duplicate value"},
		"no variants":            {subject("[]"), "spec.variants"},
		"17 variants":            {subject(many(17, "{name: v%d}")), "spec.variants"},
		"the same variant twice": {subject("[{name: v1}, {name: v1}]"), "Duplicate value"},
		"a variant in capitals":  {subject("[{name: V1}]"), "a variant's name consists of lower case letters"},
		"a weight below zero":    {subject("[{name: v1, weight: -1}]"), "weight"},
		"17 resources": {
			subject("[{name: v1, resources: " + many(17, "{apiVersion: v1, kind: Service, name: s%d}") + "}]"), "resources"},
		"an apiVersion that is none": {resource("apiVersion: apps/v1/x, kind: Deployment, name: a"), "an apiVersion is 'version' or 'group/version'"},
		"a kind in lower case":       {resource("apiVersion: v1, kind: service, name: a"), "a kind is in upper camel case"},
		"two rules of readiness": {
			resource("apiVersion: v1, kind: Service, name: a, readyWhen: {exists: true, cel: 'true'}"), "readyWhen takes exactly one of exists, conditions and cel"},
		"no rule of readiness": {resource("apiVersion: v1, kind: Service, name: a, readyWhen: {}"), "readyWhen takes exactly one of exists, conditions and cel"},
		"exists: false":        {resource("apiVersion: v1, kind: Service, name: a, readyWhen: {exists: false}"), "exists can only be true"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			object := &unstructured.Unstructured{}
			s.Expect(yaml.Unmarshal([]byte(test.manifest), &object.Object)).To(gomega.Succeed())
			object.SetNamespace(s.namespace)
			s.Expect(k8s.Create(s.Context(), object)).To(gomega.MatchError(gomega.ContainSubstring(test.message)))
		})
	}
}

// many is a YAML list of an element for each number from 1.
func many(n int, element string) string {
	list := "["
	for i := range n {
		list += fmt.Sprintf(element+", ", i+1)
	}
	return list + "]"
}

// TestABadSpecStallsThePolicyAndLosesNothing breaks a policy that has routes, and mends it again.
func TestABadSpecStallsThePolicyAndLosesNothing(t *testing.T) {
	for name, test := range map[string]struct {
		spoil   func(*iter8v1alpha1.RoutingPolicySpec)
		message string
	}{
		"an unknown variant in the trigger": {
			func(p *iter8v1alpha1.RoutingPolicySpec) { p.Trigger = &iter8v1alpha1.Trigger{Variants: []string{"v9"}} },
			`VariantNotFound: spec.trigger names variant "v9", and Subject app has v1`},
		"the reserved key in the values": {
			func(p *iter8v1alpha1.RoutingPolicySpec) { p.Values = values(map[string]any{"iter8": "mine"}) },
			`InvalidValues: invalid values: the key "iter8" is reserved for the state of the variants; remove it from spec.values`},
		"a template that doesn't parse":   {template("{{ if }}"), "RenderFailed: rendering: template: t1:1: missing value for if"},
		"a template that fails":           {template(`{{ fail "on purpose" }}`), "on purpose"},
		"a template that renders text":    {template("hello"), "RenderFailed: template t1: document 1 is a YAML string, not a Kubernetes object"},
		"a template that renders no YAML": {template("a: b: c"), "RenderFailed: template t1: document 1 is not YAML"},
		"a key that stands twice":         {template("kind: A\nkind: B"), `key "kind" already set in map`},
		"a manifest without a kind":       {template("metadata: {name: a}"), "RenderFailed: template t1: document 1 has no apiVersion or no kind"},
		"a List": {
			template("apiVersion: v1\nkind: List\nitems: []"), "is a list; render its items as documents of their own"},
		"a cluster-scoped kind": {
			template("apiVersion: gateway.networking.k8s.io/v1\nkind: GatewayClass\nmetadata: {name: mine}\nspec: {controllerName: example.com/a}"),
			"ForbiddenManifest: GatewayClass mine is of a kind that policies may not render: GatewayClass.gateway.networking.k8s.io; allowed are HTTPRoute.gateway.networking.k8s.io"},
		"another namespace": {
			template("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: a, namespace: kube-system}"),
			"ForbiddenManifest: HTTPRoute a is in namespace kube-system, and a policy of namespace"},
		"duplicate objects": {
			template(routeTemplate("twice") + "---\n" + routeTemplate("twice")), "ForbiddenManifest: HTTPRoute twice is rendered twice"},
		"an unknown field": {
			template("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: app}\nspec: {rulez: []}"),
			`UnsupportedByCluster: applying HTTPRoute app: `},
		"values that break the chart's schema": {
			chartWith("", "mirror", "", map[string]any{"rules": "all"}), "InvalidValues: invalid values: chart mirror: rules: got string, want array"},
		"a chart that isn't there": {
			chartWith("", "mirrror", "", nil), `ChartNotFound: chart not found: no chart "mirrror" is built into the operator; there are: mirror, mirror-istio`},
		"a version that isn't there": {
			chartWith("", "mirror", "9.x", nil), "VersionNotFound: version not found: the built-in chart mirror is version 0.14.1, which is not in 9.x"},
		"a version that is none": {chartWith("", "mirror", "newest", nil), `InvalidVersion: invalid version range: spec.chart.version "newest"`},
		"a repository without TLS": {
			chartWith("http://charts.example.com", "mirror", "", nil), "RepositoryNotAllowed: repository not allowed: http://charts.example.com"},
		"a Subject in another namespace": {
			func(p *iter8v1alpha1.RoutingPolicySpec) { p.SubjectRef.Namespace = "default" },
			"CrossNamespaceReference: spec.subjectRef is in namespace default, and this operator does not allow references to other namespaces"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.createPrimary()
			policy := s.templatePolicy("routes", "app", routeTemplate("app"))
			good := policy.Spec.DeepCopy()
			s.create(s.subject("app", iter8v1alpha1.Variant{Name: "v1"}), policy)
			s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
			route, err := s.route("app")()
			s.Expect(err).NotTo(gomega.HaveOccurred())
			before := s.bytes(route)

			patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { test.spoil(&p.Spec) })
			s.Eventually(s.ready(policy)).Should(gomega.And(gomega.HavePrefix("False"), gomega.ContainSubstring(test.message)))
			s.Expect(s.condition(policy, iter8v1alpha1.ConditionStalled)()).To(gomega.HavePrefix("True"))
			s.Expect(s.bytes(route)).To(gomega.Equal(before), "what is applied stays")
			s.Expect(s.applied(policy)()).To(gomega.Equal([]string{"app"}))

			patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec = *good.DeepCopy() })
			s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
			s.Expect(s.condition(policy, iter8v1alpha1.ConditionStalled)()).To(gomega.BeEmpty())
		})
	}
}

func template(text string) func(*iter8v1alpha1.RoutingPolicySpec) {
	return func(p *iter8v1alpha1.RoutingPolicySpec) { p.Templates[0].Template = text }
}

func chartWith(repository, name, version string, v map[string]any) func(*iter8v1alpha1.RoutingPolicySpec) {
	return func(p *iter8v1alpha1.RoutingPolicySpec) {
		p.Templates = nil
		p.Chart = &iter8v1alpha1.ChartReference{Repository: repository, Name: name, Version: version}
		p.Values = values(v)
	}
}

func TestASubjectThatCanNotWorkStallsAndHoldsTheRoute(t *testing.T) {
	for name, test := range map[string]struct {
		resource iter8v1alpha1.ResourceReference
		message  string
	}{
		"a cluster-scoped kind": {
			iter8v1alpha1.ResourceReference{APIVersion: "v1", Kind: "Namespace", Name: "default"},
			"Namespace default can't be watched: v1 Namespace is cluster-scoped"},
		"another namespace": {
			iter8v1alpha1.ResourceReference{APIVersion: "v1", Kind: "Service", Name: "kubernetes", Namespace: "default"},
			"Service kubernetes is in namespace default, and this operator does not allow references to other namespaces"},
		"an expression that doesn't compile": {
			iter8v1alpha1.ResourceReference{APIVersion: "v1", Kind: "Service", Name: "httpbin-v2", ReadyWhen: &iter8v1alpha1.ReadyWhen{CEL: "object.("}},
			"Service httpbin-v2 has a readyWhen.cel that does not compile"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			subject, policy := s.tutorial()
			s.deploy("httpbin-v2")
			s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))

			patch(s, subject, func(o *iter8v1alpha1.Subject) {
				o.Spec.Variants[1].Resources = []iter8v1alpha1.ResourceReference{test.resource}
			})
			s.Eventually(s.ready(subject)).Should(gomega.And(gomega.HavePrefix("False InvalidResource"), gomega.ContainSubstring(test.message)))
			s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("False SubjectInvalid: variant v2 counts as available, as it was last known"))
			s.Expect(s.condition(subject, iter8v1alpha1.ConditionStalled)()).To(gomega.HavePrefix("True"))
			s.Expect(s.route("httpbin")()).To(mirrorTo("httpbin-v2"))
		})
	}
}

func TestASubjectThatIsDeletedAndMadeAgainEndsWhereItBegan(t *testing.T) {
	s := newScene(t)
	subject, policy := s.tutorial()
	s.deploy("httpbin-v2")
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	for range 5 {
		s.delete(subject)
		subject = s.httpbin()
		s.create(subject)
	}
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	s.Eventually(s.ready(subject)).Should(gomega.Equal("True Observed: all variants are available"))
}

func TestSixteenVariantsOfSixteenResources(t *testing.T) {
	s := newScene(t)
	s.createPrimary()
	var variants []iter8v1alpha1.Variant
	for v := range 16 {
		variant := iter8v1alpha1.Variant{Name: fmt.Sprintf("v%d", v+1)}
		for r := range 16 {
			variant.Resources = append(variant.Resources, iter8v1alpha1.ResourceReference{
				APIVersion: "v1", Kind: "Service", Name: fmt.Sprintf("a-service-that-nobody-has-made-yet-%d-%d", v+1, r+1)})
		}
		variants = append(variants, variant)
	}
	subject, policy := s.subject("app", variants...), s.templatePolicy("routes", "app", routeTemplate("app"))
	s.create(subject, policy)
	s.Eventually(s.ready(subject)).Should(gomega.HavePrefix("True Observed: variant v1 is not available"))
	s.Expect(subject.Status.Available).To(gomega.Equal("0/16"))
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
}

func TestASuspendedPolicyIsLeftAsItIs(t *testing.T) {
	s := newScene(t)
	_, policy := s.tutorial()
	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend = true })
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionSuspended)).Should(gomega.Equal("True Suspended: spec.suspend is set: what is applied stays as it is"))
	s.Eventually(s.computed("RoutingPolicy", policy)).Should(gomega.Equal(status.CurrentStatus))
	s.deploy("httpbin-v2")
	s.Consistently(s.route("httpbin"), "3s").Should(mirrorTo())

	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend = false })
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
}
