package integration

import (
	"context"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// conditions polls all conditions of a policy as "status reason", by their types, once they are about its spec as
// it is now.
func (s *scene) conditions(policy *iter8v1alpha1.RoutingPolicy) func() (map[string]string, error) {
	return func() (map[string]string, error) {
		if err := k8s.Get(s.Context(), client.ObjectKeyFromObject(policy), policy); err != nil {
			return nil, err
		}
		all := map[string]string{}
		for _, c := range policy.Status.Conditions {
			if c.ObservedGeneration != policy.Generation {
				return nil, nil
			}
			all[c.Type] = string(c.Status) + " " + c.Reason
		}
		return all, nil
	}
}

// succeeded are the conditions of a policy whose route no gateway has reported on.
var succeeded = map[string]string{
	"Ready":         "True Succeeded",
	"ChartResolved": "True Succeeded",
	"Rendered":      "True Succeeded",
	"Applied":       "True Succeeded",
	"Accepted":      "Unknown AwaitingReport",
}

// failed are the conditions of a policy whose route stands, and can't be brought to what is rendered now; and what
// comes of that.
func failed(reason, consequence string) map[string]string {
	return map[string]string{
		"Ready":         "False " + reason,
		"ChartResolved": "True Succeeded",
		"Rendered":      "True Succeeded",
		"Applied":       "False " + reason,
		"Accepted":      "Unknown AwaitingReport",
		consequence:     "True " + reason,
	}
}

// routeWrites counts the operator's writes to routes of the scene that the apiserver answered with a code.
func (s *scene) routeWrites(code int) func() int {
	return func() int {
		events, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
			return e.IsWrite() && e.Resource == "httproutes" && e.Namespace == s.namespace && e.User == operatorUser && e.Code == code
		})
		s.Expect(err).NotTo(gomega.HaveOccurred())
		return len(events)
	}
}

// TestARouteThatTheAPIServerFindsInvalidIsRejectedAndTheOldOneStands has the chart's schema pass what the HTTPRoute's
// CRD doesn't. The answers are those of the CRD's own rules and types.
func TestARouteThatTheAPIServerFindsInvalidIsRejectedAndTheOldOneStands(t *testing.T) {
	for name, test := range map[string]struct {
		spoil   func(v map[string]any)
		message string
	}{
		"the CRD's schema: a weight that is too much": {
			func(v map[string]any) {
				v["rules"].([]any)[0].(map[string]any)["backendRefs"].([]any)[0].(map[string]any)["weight"] = 1000001
			},
			"spec.rules[0].backendRefs[0].weight: Invalid value: 1000001: "},
		"a pattern of the schema: a hostname in capitals": {
			func(v map[string]any) { v["hostnames"] = []any{"Example.com"} },
			`spec.hostnames[0]: Invalid value: "Example.com": spec.hostnames[0] in body should match '`},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			_, policy := s.tutorial()
			s.deploy("httpbin-v2")
			s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
			s.Eventually(func() string { _, _ = s.ready(policy)(); return policy.Status.MirrorTargets }).Should(gomega.Equal("httpbin-v2:80"))
			s.Expect(s.conditions(policy)()).To(gomega.Equal(succeeded))
			stands := s.bytes(s.foreign("httpbin"))
			good := policy.Spec.Values

			v := mirrorValues("httpbin-v1", "httpbin-v2")
			test.spoil(v)
			patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = values(v) })
			s.Eventually(s.conditions(policy)).Should(gomega.Equal(failed("Rejected", "Stalled")))
			s.Expect(s.ready(policy)()).To(gomega.And(
				gomega.HavePrefix(`False Rejected: applying HTTPRoute httpbin: HTTPRoute.gateway.networking.k8s.io "httpbin" is invalid: `),
				gomega.ContainSubstring(test.message)))
			s.Expect(s.bytes(s.foreign("httpbin"))).To(gomega.Equal(stands))
			s.Expect(policy.Status.MirrorTargets).To(gomega.Equal("httpbin-v2:80"), "of what stands")
			// An event that comes late has the policy looked at again, once. Retries would be more than that in a second.
			s.Consistently(s.routeWrites(http.StatusUnprocessableEntity), "1s").Should(gomega.BeElementOf(1, 2), "what can't work isn't tried again")

			patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = good })
			s.Eventually(s.conditions(policy)).Should(gomega.Equal(succeeded))
		})
	}
}

// TestASpecThatCanNotWorkIsRefusedBeforeVariantTwoIsThere is about what the apiserver would refuse, or clients suffer from, once
// variant 2 comes.
func TestASpecThatCanNotWorkIsRefusedBeforeVariantTwoIsThere(t *testing.T) {
	const filter = "spec.values.rules[0].filters[0].requestMirror"
	mirror := func(v map[string]any) map[string]any {
		return v["rules"].([]any)[0].(map[string]any)["filters"].([]any)[0].(map[string]any)["requestMirror"].(map[string]any)
	}
	for name, test := range map[string]struct {
		spoil func(v map[string]any)
		ready []string
	}{
		"a mirror without a port": {
			func(v map[string]any) { delete(mirror(v)["backendRef"].(map[string]any), "port") }, []string{"False InvalidMirror: " + filter + ".backendRef.port: "}},
		"a fraction of more than the whole": {
			func(v map[string]any) { mirror(v)["fraction"] = map[string]any{"numerator": 3, "denominator": 2} }, []string{"False InvalidMirror: " + filter + ".fraction"}},
		"a share that is misspelt": {
			func(v map[string]any) { mirror(v)["percentage"] = 5 }, []string{"False InvalidValues: ", "rules", "requestMirror", "percentage"}},
		"a rule with nothing but mirrors": {
			func(v map[string]any) { delete(v["rules"].([]any)[0].(map[string]any), "backendRefs") }, []string{"False InvalidMirror: spec.values.rules[0]"}},
		"a named rule that is to be split by methods": {
			func(v map[string]any) {
				v["mirrorUnsafeMethods"] = false
				v["rules"].([]any)[0].(map[string]any)["name"] = "web"
			}, []string{"False InvalidMirror: spec.values.rules[0].name: mirrorUnsafeMethods is false"}},
		"a mirror that only the apiserver finds invalid": {
			func(v map[string]any) { mirror(v)["backendRef"].(map[string]any)["name"] = strings.Repeat("a", 254) },
			[]string{"False Rejected: with every variant available, applying HTTPRoute httpbin: ", "backendRef.name: "}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			_, policy := s.tutorial()
			stands := s.bytes(s.foreign("httpbin"))
			good := policy.Spec.Values
			v := mirrorValues("httpbin-v1", "httpbin-v2")
			test.spoil(v)
			patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = values(v) })
			s.Eventually(s.ready(policy)).Should(gomega.HavePrefix(test.ready[0]))
			for _, part := range test.ready[1:] {
				s.Expect(s.ready(policy)()).To(gomega.ContainSubstring(part))
			}
			s.Expect(s.bytes(s.foreign("httpbin"))).To(gomega.Equal(stands))

			patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = good })
			s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True Succeeded"))
		})
	}
}

func TestARouteThatAnAdmissionPolicyRefusesIsRejectedAndTriedAgainWithTheInterval(t *testing.T) {
	s := newScene(t)
	_, policy := s.tutorial()
	allow := s.forbid(admissionregistrationv1.Update)
	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Interval = &metav1.Duration{Duration: 10 * time.Second} })
	s.deploy("httpbin-v2")
	s.Eventually(s.conditions(policy)).Should(gomega.Equal(failed("Rejected", "Stalled")))
	s.Expect(s.ready(policy)()).To(gomega.And(gomega.HavePrefix("False Rejected: with every variant available, applying HTTPRoute httpbin: "), gomega.HaveSuffix(" denied request: not today")))
	s.Expect(s.route("httpbin")()).To(mirrorTo())

	allow()
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"), "nothing tells that the admission policy is gone")
	s.Eventually(s.conditions(policy)).Should(gomega.Equal(succeeded))
}

func TestAWriteThatFailsIsRetriedAndTheOldRouteStands(t *testing.T) {
	s := newScene(t)
	_, policy := s.tutorial()
	stands := s.bytes(s.foreign("httpbin"))
	mend := s.breakWebhook()
	s.deploy("httpbin-v2")
	s.Eventually(s.conditions(policy)).Should(gomega.Equal(failed("ApplyFailed", "Reconciling")))
	s.Expect(s.ready(policy)()).To(gomega.And(
		gomega.HavePrefix(`False ApplyFailed: applying HTTPRoute httpbin: Internal error occurred: failed calling webhook "routes.example.com": `),
		gomega.HaveSuffix("connect: connection refused")))
	s.Eventually(s.routeWrites(http.StatusInternalServerError)).Should(gomega.BeNumerically(">", 1), "it is tried again")
	s.Expect(s.bytes(s.foreign("httpbin"))).To(gomega.Equal(stands))

	mend()
	s.Eventually(s.route("httpbin"), "90s").Should(mirrorTo("httpbin-v2"))
	s.Eventually(s.conditions(policy)).Should(gomega.Equal(succeeded))
}

func TestConditionsOfStepsThatWereNotTakenSaySo(t *testing.T) {
	s := newScene(t)
	s.createPrimary()
	policy := s.templatePolicy("routes", "app", "{{ if }}")
	s.create(policy)
	s.Eventually(s.conditions(policy)).Should(gomega.Equal(map[string]string{
		"Ready":         "False SubjectNotFound",
		"ChartResolved": "Unknown Skipped",
		"Rendered":      "Unknown Skipped",
		"Applied":       "Unknown Skipped",
		"Accepted":      "Unknown Skipped",
		"Reconciling":   "True SubjectNotFound",
	}))
	s.Expect(s.condition(policy, "Rendered")()).To(gomega.Equal("Unknown Skipped: not tried, because of SubjectNotFound"))

	s.create(s.subject("app", iter8v1alpha1.Variant{Name: "v1"}))
	s.Eventually(s.conditions(policy)).Should(gomega.Equal(map[string]string{
		"Ready":         "False RenderFailed",
		"ChartResolved": "True InlineTemplates",
		"Rendered":      "False RenderFailed",
		"Applied":       "Unknown Skipped",
		"Accepted":      "Unknown Skipped",
		"Stalled":       "True RenderFailed",
	}))
	s.Expect(s.condition(policy, "Applied")()).To(gomega.Equal("Unknown Skipped: not tried, because of RenderFailed"))

	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates[0].Template = routeTemplate("app") })
	s.Eventually(s.conditions(policy)).Should(gomega.Equal(map[string]string{
		"Ready":         "True Succeeded",
		"ChartResolved": "True InlineTemplates",
		"Rendered":      "True Succeeded",
		"Applied":       "True Succeeded",
		"Accepted":      "Unknown NotReported",
	}))
	s.Expect(s.condition(policy, "Accepted")()).To(gomega.Equal("Unknown NotReported: HTTPRoute app names no parentRefs, so no gateway reports on it"))
}

// inScene selects the scene's namespace, for what is admitted in the whole cluster.
func (s *scene) inScene() *metav1.LabelSelector {
	return &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: s.namespace}}
}

// httpRoutes is the rule of operations on routes.
func httpRoutes(operations ...admissionregistrationv1.OperationType) admissionregistrationv1.RuleWithOperations {
	return admissionregistrationv1.RuleWithOperations{
		Operations: operations,
		Rule:       admissionregistrationv1.Rule{APIGroups: []string{gatewayv1.GroupName}, APIVersions: []string{"v1"}, Resources: []string{"httproutes"}},
	}
}

// forbid has the apiserver refuse an operation on routes of the scene, and returns what ends that.
func (s *scene) forbid(operation admissionregistrationv1.OperationType) (allow func()) {
	s.Helper()
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			MatchConstraints: &admissionregistrationv1.MatchResources{
				NamespaceSelector: s.inScene(),
				ResourceRules:     []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: httpRoutes(operation)}},
			},
			Validations: []admissionregistrationv1.Validation{{Expression: "false", Message: "not today"}},
		},
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: s.namespace, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}},
	}
	return s.disturb(operation, policy, binding)
}

// breakWebhook has each write of a route of the scene fail, because of a webhook that nothing serves, and returns what
// ends that.
func (s *scene) breakWebhook() (mend func()) {
	s.Helper()
	url, fail, none := "https://127.0.0.1:1/", admissionregistrationv1.Fail, admissionregistrationv1.SideEffectClassNone
	return s.disturb(admissionregistrationv1.Update, &admissionregistrationv1.ValidatingWebhookConfiguration{
		ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		Webhooks: []admissionregistrationv1.ValidatingWebhook{{
			Name:                    "routes.example.com",
			ClientConfig:            admissionregistrationv1.WebhookClientConfig{URL: &url},
			Rules:                   []admissionregistrationv1.RuleWithOperations{httpRoutes(admissionregistrationv1.Create, admissionregistrationv1.Update)},
			NamespaceSelector:       s.inScene(),
			FailurePolicy:           &fail,
			SideEffects:             &none,
			AdmissionReviewVersions: []string{"v1"},
		}},
	})
}

// disturb creates what has an operation on routes of the scene fail, and returns what removes it. Both wait for the
// apiserver, which takes a moment to see such objects.
func (s *scene) disturb(operation admissionregistrationv1.OperationType, objects ...client.Object) (end func()) {
	s.Helper()
	probe := s.foreign("probe")
	s.create(probe)
	try := func() error {
		if operation == admissionregistrationv1.Delete {
			return k8s.Delete(context.Background(), probe, client.DryRunAll)
		}
		change := client.RawPatch(types.MergePatchType, []byte(`{"spec":{"hostnames":["example.org"]}}`))
		return k8s.Patch(context.Background(), probe.DeepCopy(), change, client.DryRunAll)
	}
	s.create(objects...)
	end = func() {
		for _, o := range objects {
			_ = k8s.Delete(context.Background(), o)
		}
		s.Eventually(try).Should(gomega.Succeed())
	}
	s.Cleanup(end)
	s.Eventually(try).ShouldNot(gomega.Succeed())
	return end
}
