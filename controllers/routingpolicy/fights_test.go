package routingpolicy

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// drifts has another manager write the rules of the route, and returns once that is seen.
func (w *world) drifts(t *testing.T, rules []any) {
	t.Helper()
	route := w.route("web")
	w.Expect(unstructured.SetNestedSlice(route.Object, rules, "spec", "rules")).To(Succeed())
	route.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "argocd-controller", Operation: metav1.ManagedFieldsOperationApply}})
	w.mu.Lock()
	w.version++
	route.SetGeneration(w.version)
	w.mu.Unlock()
	w.Expect(w.cluster.Tracker().Update(httpRoutes, route, "test")).To(Succeed())
	w.Eventually(func() int64 {
		return w.reconciler.Routes.Get(httpRoutes.GroupVersion().WithKind("HTTPRoute"), types.NamespacedName{Namespace: "test", Name: "web"}).Generation
	}).Should(Equal(route.GetGeneration()))
}

const fought = "HTTPRoute web is changed back by argocd-controller as often as it is put right (spec.rules); have only one of the two write it: " +
	"leave the object out of what Flux applies, or name its fields in the ignoreDifferences of Argo CD"

func TestAFightIsNoticed(t *testing.T) {
	w := newMirrored(t)
	w.clockAt(time.Now()) // the executor's clock is the real one
	w.reconcile(t)
	for range 3 {
		w.drifts(t, []any{})
		_, _ = w.reconcileOnce(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	}
	w.written()
	w.drifts(t, []any{})
	result, _ := w.reconcileOnce(t)
	w.Expect(w.written()).To(Equal([]string{"status web"}))
	w.Expect(result.RequeueAfter).To(BeNumerically("~", 10*time.Second, 2*time.Second))
	contended := meta.FindStatusCondition(w.policy(t).Status.Conditions, "Contended")
	w.Expect(contended).To(HaveValue(And(HaveField("Status", metav1.ConditionTrue), HaveField("Message", fought))))
	w.Expect(w.ready(t)).To(Equal("False Contended: " + fought))
	w.Expect(w.mirrors(t)).To(HaveExactElements(
		"web-v2:80 0% Withheld v2 NotApplied: no mirror to web-v2:80: HTTPRoute/web is not applied as it is rendered",
		"web-v3:80 0% Withheld v3 NotApplied: no mirror to web-v3:80: HTTPRoute/web is not applied as it is rendered"))

	for range 20 {
		w.drifts(t, []any{})
		_, _ = w.reconcileOnce(t)
	}
	w.Expect(w.written()).To(BeEmpty(), "nothing new")

	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = valuesOf(`{"rules": ` + rulesOf(toV2, "") + `}`) })
	_, _ = w.reconcileOnce(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, "")), "another wish is no answer to the other manager")
	w.Expect(w.ready(t)).To(HavePrefix("False Contended"), "and the fight isn't over by that")
}

func TestAMirrorThatIsPutBackIsTakenOutForAllThat(t *testing.T) {
	w := newMirrored(t)
	w.clockAt(time.Now())
	w.goes(t, "v2")
	w.settled(t, "True Succeeded")
	mirrored := func() {
		w.drifts(t, []any{map[string]any{"backendRefs": []any{map[string]any{"name": "web-v1", "port": int64(80)}},
			"filters": []any{map[string]any{"type": "RequestMirror", "requestMirror": map[string]any{"backendRef": map[string]any{"name": "web-v2", "port": int64(80)}}}}}})
	}
	out := MatchJSON(`[{"backendRefs": [{"name": "web-v1", "port": 80}]}]`)
	for range 3 {
		mirrored()
		_, _ = w.reconcileOnce(t)
	}
	for range 3 { // put right no more, but edited
		mirrored()
		_, _ = w.reconcileOnce(t)
		w.Expect(w.rules("web")).To(out)
	}
	mirrored()
	w.written()
	result, _ := w.reconcileOnce(t)
	w.Expect(w.written()).NotTo(ContainElement("edit web"))
	w.Expect(result.RequeueAfter).To(BeNumerically("<=", 1500*time.Millisecond))
	w.Eventually(func() string {
		w.clockAt(time.Now())
		_, _ = w.reconcileOnce(t)
		return w.rules("web")
	}, "3s", "200ms").Should(out)
}
