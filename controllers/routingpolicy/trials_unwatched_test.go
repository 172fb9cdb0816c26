package routingpolicy

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

// Where routes can't be watched, what is read of them tells.
func TestAMirrorOnTrialInARouteThatCanNotBeWatched(t *testing.T) {
	w := newOnTrial(t)
	w.forbid(httpRoutes)
	w.startedAgain(t, threeVariants())
	w.settled(t, "False WatchFailed")
	says := func(status string) {
		route := w.route("web")
		reason := map[string]string{"True": "Accepted", "False": "UnsupportedValue"}[status]
		w.Expect(unstructured.SetNestedSlice(route.Object, []any{map[string]any{
			"parentRef": map[string]any{"name": "edge"}, "controllerName": "example.com/gateway", "conditions": []any{
				map[string]any{"type": "Accepted", "status": status, "reason": reason, "message": "no mirrors here", "observedGeneration": route.GetGeneration(), "lastTransitionTime": "2026-01-01T00:00:00Z"},
				map[string]any{"type": "ResolvedRefs", "status": "True", "reason": "ResolvedRefs", "message": "", "observedGeneration": route.GetGeneration(), "lastTransitionTime": "2026-01-01T00:00:00Z"},
			},
		}}, "status", "parents")).To(Succeed())
		w.Expect(w.cluster.Tracker().Update(httpRoutes, route, "test")).To(Succeed())
	}
	for i, wait := range []time.Duration{15 * time.Second, 15 * time.Second, 30 * time.Second, time.Minute} {
		result, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(result.RequeueAfter).To(Equal(wait), "%d: the gateway has said nothing yet", i)
		w.clockAt(w.reconciler.clock().Add(wait))
	}
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	says("False")
	_, _ = w.reconcileOnce(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	w.Expect(w.mirrors(t)).To(HaveExactElements(refusedV2, mirroredToV3))
	says("True")
	_, _ = w.reconcileOnce(t)
	w.Expect(w.policy(t).Status.Mirrors[0].Refusal).To(HaveValue(HaveField("Confirmed", true)))
	w.Expect(w.mirrors(t)).To(HaveExactElements(refusedV2, "web-v3:80 100% Active v3"))
}

// What can't even be read isn't known to be accepted as it is now.
func TestAMirrorInARouteThatCanNotBeReadIsUnconfirmed(t *testing.T) {
	w := newOnTrial(t)
	w.gatewaySays(t, "True")
	w.reconcile(t)
	w.Expect(w.mirrors(t)).To(HaveExactElements("web-v2:80 100% Active v2", "web-v3:80 100% Active v3"))
	w.forbid(httpRoutes)
	w.cluster.PrependReactor("get", "httproutes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(httpRoutes.GroupResource(), "web", errors.New("not you"))
	})
	w.startedAgain(t, threeVariants())
	w.settled(t, "False WatchFailed")
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
	w.Expect(w.policy(t).Status.Mirrors).To(HaveEach(HaveField("OnTrial", false)))
}
