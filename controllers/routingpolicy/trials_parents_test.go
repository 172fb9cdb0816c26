package routingpolicy

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Of the route's other parent no controller ever reports.
func TestAGatewaysRefusalCountsThoughAnotherParentSaysNothing(t *testing.T) {
	policy := mirroring()
	policy.Spec.Values = valuesOf(`{"parentRefs": [{"name": "edge"}, {"name": "silent"}], "rules": ` + rulesOf(toV2, toV3) + `}`)
	w := newMirroredBy(t, policy)
	w.goes(t, "v2")
	w.settled(t, "True Succeeded")
	w.oneGatewaySays(t, "True", "Unknown")
	w.reconcile(t)
	w.comes(t, "v2")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))

	w.oneGatewaySays(t, "False", "False")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	w.oneGatewaySays(t, "True", "Unknown")
	w.reconcile(t)
	w.Expect(w.mirrors(t)).To(HaveExactElements(refusedV2, mirroredToV3))
	w.Expect(w.policy(t).Status.Mirrors[0].Refusal).To(HaveValue(HaveField("Confirmed", true)))

	w.clockAt(w.reconciler.clock().Add(16 * time.Second))
	w.reconcile(t)
	w.oneGatewaySays(t, "True", "Unknown")
	w.reconcile(t)
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
	w.Expect(w.policy(t).Status.Mirrors[0]).To(And(HaveField("OnTrial", false), HaveField("Refusal", BeNil())))
}

// oneGatewaySays has one of the route's parents report on it as it is, and returns once that is seen, which comes to a verdict on the whole.
func (w *world) oneGatewaySays(t *testing.T, status, whole string) {
	t.Helper()
	route := w.route("web")
	reason, message := "Accepted", ""
	if status == "False" {
		reason, message = "UnsupportedValue", "no mirrors here"
	}
	condition := func(kind, status, reason, message string) any {
		return map[string]any{"type": kind, "status": status, "reason": reason, "message": message,
			"observedGeneration": route.GetGeneration(), "lastTransitionTime": "2026-01-01T00:00:00Z"}
	}
	w.Expect(unstructured.SetNestedSlice(route.Object, []any{map[string]any{
		"parentRef": map[string]any{"name": "edge"}, "controllerName": "example.com/gateway",
		"conditions": []any{condition("Accepted", status, reason, message), condition("ResolvedRefs", "True", "ResolvedRefs", "")},
	}}, "status", "parents")).To(Succeed())
	w.Expect(w.cluster.Tracker().Update(httpRoutes, route, "test")).To(Succeed())
	w.Eventually(func() []string {
		known := w.reconciler.Routes.Get(httpRoutes.GroupVersion().WithKind("HTTPRoute"), nameIn("web"))
		return []string{string(known.Acceptance.Status), string(known.Reported.Status)}
	}).Should(Equal([]string{whole, status}))
}
