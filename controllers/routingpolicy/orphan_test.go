package routingpolicy

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
)

func TestAMirrorDoesNotWaitForItsRouteToBeOrphaned(t *testing.T) {
	w := newMirroredBy(t, mirroring())
	w.settled(t, "True Succeeded: 1 object applied")
	w.change(t, brokenTemplate)
	w.settled(t, "False RenderFailed")
	w.answer("merge web", errors.New("a webhook takes its time"))
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.DeletionPolicy = iter8v1alpha1.DeletionOrphan })
	w.goes(t, "v2")
	w.written()
	_, _ = w.reconcileOnce(t)
	w.Expect(w.written()).To(HaveExactElements("edit web", "merge web", HavePrefix("status")))
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
}

func TestWhatIsToStayLosesItsOwnerThoughItsKindCanNotBeWatched(t *testing.T) {
	w := newMirroredBy(t, mirroring())
	w.settled(t, "True Succeeded: 1 object applied")
	w.forbid(httpRoutes)
	w.startedAgain(t, threeVariants())
	w.settled(t, "False WatchFailed")
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.DeletionPolicy = iter8v1alpha1.DeletionOrphan })
	var patched []string
	w.cluster.PrependReactor("patch", "httproutes", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patched = append(patched, string(action.(clienttesting.PatchAction).GetPatch()))
		return true, nil, apierrors.NewForbidden(httpRoutes.GroupResource(), "web", errors.New("not you"))
	})
	_, _ = w.reconcileOnce(t)
	w.Expect(patched).To(ContainElement(ContainSubstring(`"ownerReferences":[]`)))
}

func TestAnOrphanIsNotActedOnBeforeWhatStandsIsOne(t *testing.T) {
	w := newMirroredBy(t, mirroring())
	w.settled(t, "True Succeeded: 1 object applied")
	w.change(t, brokenTemplate)
	w.settled(t, "False RenderFailed")
	before := w.policy(t).Status.ObservedGeneration
	w.answer("merge web", errors.New("no answer"))
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.DeletionPolicy = iter8v1alpha1.DeletionOrphan })
	_, err := w.reconcileOnce(t)
	w.Expect(err).To(MatchError(ContainSubstring("taking the owner reference off HTTPRoute web: no answer")))
	w.Expect(w.policy(t).Status.ObservedGeneration).To(Equal(before))
	w.answer("merge web", nil)
	_, _ = w.reconcileOnce(t)
	w.Expect(w.policy(t).Status.ObservedGeneration).To(Equal(w.policy(t).Generation))
}

// abandon deletes the policy as kubectl delete --cascade=orphan does, and has the event of that come.
func (w *world) abandon(t *testing.T) {
	t.Helper()
	before := w.policy(t)
	policy := before.DeepCopy()
	policy.Finalizers = []string{"orphan"}
	w.Expect(w.client.Update(t.Context(), policy)).To(Succeed())
	w.Expect(w.client.Delete(t.Context(), policy)).To(Succeed())
	w.reconciler.specChanged().Update(event.UpdateEvent{ObjectOld: before, ObjectNew: w.policy(t)})
}

// collect ends that: the garbage collector has taken its owner references off, and the policy is gone.
func (w *world) collect(t *testing.T) {
	t.Helper()
	web := w.object(httpRoutes, "web").DeepCopy()
	web.SetOwnerReferences(nil)
	_, _, err := w.store(web)
	w.Expect(err).NotTo(HaveOccurred())
	policy := w.policy(t)
	policy.Finalizers = nil
	w.Expect(client.IgnoreNotFound(w.client.Update(t.Context(), policy))).To(Succeed())
}

// gone is a Reader that knows of no object any more.
type gone struct{ client.Reader }

func (gone) Get(_ context.Context, name client.ObjectKey, _ client.Object, _ ...client.GetOption) error {
	return apierrors.NewNotFound(httpRoutes.GroupResource(), name.Name)
}

// Given its owner reference back, the route would be deleted with the policy.
func TestWhatTheGarbageCollectorLetGoIsNotTakenBackBeforeTheCacheShowsWhy(t *testing.T) {
	w := newMirrored(t)
	web := w.object(httpRoutes, "web").DeepCopy()
	web.SetOwnerReferences(nil)
	_, _, err := w.store(web)
	w.Expect(err).NotTo(HaveOccurred())
	kind := httpRoutes.GroupVersion().WithKind("HTTPRoute")
	w.Eventually(func() *apply.Existing { return w.reconciler.Routes.Get(kind, nameIn("web")) }).Should(HaveField("Controller", BeNil()))
	known := w.reconciler.Reader
	w.reconciler.Reader = gone{known}
	_, err = w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.object(httpRoutes, "web").GetOwnerReferences()).To(BeEmpty())

	w.reconciler.Reader = known
	_, err = w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.object(httpRoutes, "web").GetOwnerReferences()).To(HaveLen(1), "the policy stays, and it was another who took it off")
}

// markOf returns what the route says of what is to become of it.
func (w *world) markOf(name string) string {
	web := w.object(httpRoutes, name)
	w.Expect(web.GetOwnerReferences()).To(BeEmpty())
	return web.GetLabels()["iter8.tools/policy-uid"] + " " + web.GetAnnotations()["iter8.tools/policy"] + " " + web.GetAnnotations()["iter8.tools/deletion-policy"]
}

const markedAsOrphan = "policy-uid policy Orphan"

func TestWhatAPolicyAbandonsIsMarked(t *testing.T) {
	t.Run("before the garbage collector is through", func(t *testing.T) {
		w := newMirrored(t)
		w.abandon(t)
		_, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(w.markOf("web")).To(Equal(markedAsOrphan))
	})
	t.Run("after that: the garbage collector was quicker", func(t *testing.T) {
		w := newMirrored(t)
		w.abandon(t)
		w.answer("merge web", apierrors.NewConflict(httpRoutes.GroupResource(), "web", nil))
		_, err := w.reconcileOnce(t)
		w.Expect(err).To(HaveOccurred())

		w.collect(t)
		kind := httpRoutes.GroupVersion().WithKind("HTTPRoute")
		w.Eventually(func() *apply.Existing { return w.reconciler.Routes.Get(kind, nameIn("web")) }).Should(HaveField("Controller", BeNil()))
		_, err = w.reconcileOnce(t)
		w.Expect(err).To(HaveOccurred(), "it is tried again")

		w.answer("merge web", nil)
		_, err = w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(w.markOf("web")).To(Equal(markedAsOrphan))
		w.Expect(w.reconciler.abandoned.policies).To(BeEmpty())
		w.written()
		_, err = w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(w.written()).To(BeEmpty())
	})
}
