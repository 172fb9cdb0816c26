package apply

import (
	"errors"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

var (
	webName = types.NamespacedName{Namespace: "test", Name: "web"}
	web     = nameOf(routeKind, webName)
)

// seen is a route of ours as a watch shows it.
func seen(uid types.UID, resourceVersion string, generation int64) *unstructured.Unstructured {
	u := withOwner(owner, route())
	u.SetUID(uid)
	u.SetResourceVersion(resourceVersion)
	u.SetGeneration(generation)
	return u
}

func (w *world) create(u *unstructured.Unstructured) {
	w.Expect(w.client.Tracker().Create(httpRoutes, u, u.GetNamespace())).To(Succeed())
}

func (w *world) update(u *unstructured.Unstructured) {
	w.Expect(w.client.Tracker().Update(httpRoutes, u, u.GetNamespace())).To(Succeed())
}

// follow has policies follow the route, until it is known whether it is there.
func (w *world) follow(policies ...types.NamespacedName) {
	w.listing.Lock()
	for _, p := range policies {
		w.cache.Follow(p, []schema.GroupVersionKind{routeKind}, []Key{routeKey})
	}
	w.listing.Unlock()
	w.Eventually(func() bool { return w.cache.State(routeKind, "test").Synced }).Should(BeTrue())
	w.Eventually(w.toldOf).Should(ContainElements(policies))
	w.forgetTold()
}

func (w *world) forgetTold() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.told = nil
}

// generation polls that of the route, -1 while there is none.
func (w *world) generation() int64 {
	if e := w.cache.Get(routeKind, webName); e != nil {
		return e.Generation
	}
	return -1
}

func TestWhatIsKeptOfAnObject(t *testing.T) {
	labels := map[string]string{"app": "web", iter8v1alpha1.ManagedByLabel: "iter8-operator"}
	managed := []metav1.ManagedFieldsEntry{{Manager: "kubectl"}, {Manager: "helm"}, {Manager: "kubectl", Subresource: "status"}}
	for name, test := range map[string]struct {
		change func(*unstructured.Unstructured)
		want   Existing
	}{
		"ours": {func(*unstructured.Unstructured) {}, Existing{Managers: "helm, kubectl",
			Controller: metav1.GetControllerOf(withOwner(owner, route())), Labels: labels, Annotations: map[string]string{"note": "kept"}}},
		"ours without the operator's label": {func(u *unstructured.Unstructured) { u.SetLabels(map[string]string{"app": "web"}) }, Existing{
			Controller: metav1.GetControllerOf(withOwner(owner, route()))}},
		"ours without its owner": {func(u *unstructured.Unstructured) { u.SetOwnerReferences(nil) }, Existing{Managers: "helm, kubectl",
			Labels: labels, Annotations: map[string]string{"note": "kept"}}},
		"ours, on its way out": {func(u *unstructured.Unstructured) { u.SetDeletionTimestamp(&metav1.Time{Time: time.Unix(1, 0)}) }, Existing{Managers: "helm, kubectl",
			Controller: metav1.GetControllerOf(withOwner(owner, route())), Labels: labels, Annotations: map[string]string{"note": "kept"}, Terminating: true}},
		"ours by its fields only": {func(u *unstructured.Unstructured) {
			u.SetOwnerReferences(nil)
			u.SetLabels(nil)
			u.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "iter8-operator", Operation: metav1.ManagedFieldsOperationApply}})
		}, Existing{Managers: "iter8-operator", Legacy: true}},
		"somebody's": {func(u *unstructured.Unstructured) {
			u.SetOwnerReferences(nil)
			u.SetLabels(map[string]string{"app": "web"})
		}, Existing{
			Managers: "helm, kubectl"}},
		"somebody's that is handed over": {func(u *unstructured.Unstructured) {
			u.SetOwnerReferences(nil)
			u.SetLabels(nil)
			u.SetAnnotations(map[string]string{iter8v1alpha1.AdoptAnnotation: "true"})
		}, Existing{Managers: "helm, kubectl", Adopt: true}},
		"somebody's that is not handed over any more": {func(u *unstructured.Unstructured) {
			u.SetOwnerReferences(nil)
			u.SetLabels(nil)
			u.SetAnnotations(map[string]string{iter8v1alpha1.AdoptAnnotation: "false"})
		}, Existing{Managers: "helm, kubectl"}},
		"somebody's with an owner that doesn't control it": {func(u *unstructured.Unstructured) {
			u.SetLabels(nil)
			u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "Pod", Name: "a", UID: "p"}})
		}, Existing{Managers: "helm, kubectl"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			u := seen("u", "7", 2)
			u.SetManagedFields(managed)
			test.change(u)
			kept := summarize(u)
			test.want.UID, test.want.Generation = "u", 2
			if !strings.HasPrefix(name, "somebody's") {
				test.want.Acceptance = routes.Verdict{Status: metav1.ConditionUnknown, Reason: iter8v1alpha1.ReasonNotReported,
					Message: "HTTPRoute web names no parentRefs, so no gateway reports on it"}
				test.want.Reported = test.want.Acceptance
				test.want.Spec = []byte(`{"hostnames":["example.com"],"port":80}`)
			}
			g.Expect(kept.existing).To(Equal(test.want))
			g.Expect(types.NamespacedName{Namespace: kept.Namespace, Name: kept.Name}).To(Equal(webName))
			g.Expect(kept.ResourceVersion).To(Equal("7"))
		})
	}
}

func TestAPolicyIsToldOfWhatOthersDo(t *testing.T) {
	w := newWorld(t)
	w.follow(policy, other)
	bystander := types.NamespacedName{Namespace: "test", Name: "bystander"}
	w.cache.Follow(bystander, []schema.GroupVersionKind{routeKind}, []Key{keyOf("another-route")})
	w.forgetTold()

	w.create(seen("u", "1", 1))
	w.Eventually(w.toldOf).Should(ConsistOf(policy, other), "of one that comes")
	w.forgetTold()
	w.update(seen("u", "2", 2))
	w.Eventually(w.toldOf).Should(ConsistOf(policy, other), "of a change")
	w.forgetTold()
	touched := seen("u", "3", 2)
	touched.Object["status"] = map[string]any{"parents": []any{}}
	w.update(touched)
	w.Consistently(w.toldOf).Should(BeEmpty(), "not of what makes no difference to what is planned")
	w.Expect(w.client.Tracker().Delete(httpRoutes, "test", "web")).To(Succeed())
	w.Eventually(w.toldOf).Should(ConsistOf(policy, other), "of one that goes")
	w.Expect(w.cache.Get(routeKind, webName)).To(BeNil())
}

func TestAnObjectOfThatNameInAnotherNamespaceIsNobodysBusiness(t *testing.T) {
	w := newWorld(t)
	w.follow(policy)
	elsewhere := seen("u", "1", 1)
	elsewhere.SetNamespace("elsewhere")
	w.create(elsewhere)
	w.Eventually(func() *Existing {
		return w.cache.Get(routeKind, types.NamespacedName{Namespace: "elsewhere", Name: "web"})
	}).ShouldNot(BeNil())
	w.Consistently(w.toldOf).Should(BeEmpty())
	w.Expect(w.cache.Get(routeKind, webName)).To(BeNil())
}

func TestWhoFollowsNothingIsToldNothing(t *testing.T) {
	w := newWorld(t)
	w.follow(policy, other)
	w.cache.Follow(policy, []schema.GroupVersionKind{routeKind}, []Key{keyOf("another-route")})
	w.cache.Follow(policy, nil, nil)
	w.create(seen("u", "1", 1))
	w.Eventually(w.toldOf).Should(ConsistOf(other))
	w.Consistently(w.toldOf).Should(ConsistOf(other))

	w.cache.Follow(other, nil, nil)
	w.Expect(w.cache.objects.Targets()).To(BeEmpty())
	w.Expect(w.cache.State(routeKind, "test")).To(Equal(watch.State{}), "a kind that nobody follows isn't watched")
}

func TestAPolicyIsToldWhenItsKindCanBeWatched(t *testing.T) {
	w := newWorld(t)
	w.client.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(httpRoutes.GroupResource(), "", errors.New("not you"))
	})
	w.cache.Follow(policy, []schema.GroupVersionKind{routeKind}, []Key{routeKey})
	w.Eventually(w.toldOf).Should(ConsistOf(policy), "that it can't")
	w.Expect(w.cache.State(routeKind, "test")).To(And(HaveField("Synced", BeFalse()), HaveField("Err", HaveOccurred())))
	w.client.Lock()
	w.client.ReactionChain = w.client.ReactionChain[1:]
	w.client.Unlock()
	w.Eventually(func() bool { return w.cache.State(routeKind, "test").Synced }).Should(BeTrue())
	w.Eventually(w.toldOf).Should(ContainElements(policy, policy), "that it can")
}

func TestAWriteIsKnownBeforeTheWatchShowsIt(t *testing.T) {
	w := newWorld(t)
	w.follow(policy)
	w.cache.remember(web, seen("u", "10", 3))
	w.Expect(w.generation()).To(BeEquivalentTo(3), "of a new object")

	w.create(seen("u", "10", 3))
	w.Eventually(func() int { return len(w.unshown()) }).Should(BeZero(), "the watch has shown it")
	w.Expect(w.generation()).To(BeEquivalentTo(3))

	w.cache.remember(web, seen("u", "20", 4))
	w.Expect(w.generation()).To(BeEquivalentTo(4), "of one that the watch shows as it was")
	w.update(seen("u", "15", 3))
	w.Consistently(w.generation).Should(BeEquivalentTo(4), "what is older than what was written does not count")
	w.update(seen("u", "21", 5))
	w.Eventually(w.generation).Should(BeEquivalentTo(5), "what is later does")
	w.Expect(w.unshown()).To(BeEmpty())
}

func (w *world) unshown() map[watch.Name]*cachedObject {
	w.cache.mu.RLock()
	defer w.cache.mu.RUnlock()
	copied := map[watch.Name]*cachedObject{}
	for name, o := range w.cache.written {
		copied[name] = o
	}
	return copied
}

func TestAnAnswerThatTheWatchHasOvertakenDoesNotCount(t *testing.T) {
	w := newWorld(t)
	w.create(seen("u", "12", 5))
	w.follow(policy)
	w.cache.remember(web, seen("u", "11", 4))
	w.Expect(w.generation()).To(BeEquivalentTo(5))
	w.Expect(w.unshown()).To(BeEmpty())
	w.cache.remember(web, seen("u", "12", 5))
	w.Expect(w.unshown()).To(BeEmpty())
}

func TestWhatTheWatchShowsCountsBeforeItTellsOfIt(t *testing.T) {
	w := newWorld(t)
	w.create(seen("u", "12", 5))
	w.follow(policy)
	w.cache.mu.Lock()
	w.cache.written[web] = summarize(seen("u", "11", 4))
	w.cache.mu.Unlock()
	w.Expect(w.generation()).To(BeEquivalentTo(5))
}

func TestNothingIsAssumedOfWhatNoPolicyFollows(t *testing.T) {
	w := newWorld(t)
	w.follow(policy, other)
	w.cache.remember(web, seen("u", "10", 3))
	w.cache.Follow(policy, nil, nil)
	w.Expect(w.generation()).To(BeEquivalentTo(3), "another policy follows it")
	w.cache.Follow(other, nil, nil)
	w.Expect(w.unshown()).To(BeEmpty(), "no watch may come to show it")
}

// What leaves the render is followed no more once the inventory lacks it: it has to be found by its owner then.
func TestWhatAPolicyControlsIsKnownBeforeTheWatchShowsItThoughNoPolicyFollowsIt(t *testing.T) {
	w := newWorld(t)
	w.follow(policy)
	controlled := func() []string {
		var names []string
		for _, entry := range w.cache.Controlled(routeKind, "test", owner.UID) {
			names = append(names, entry.Name)
		}
		return names
	}
	w.cache.remember(web, seen("u", "10", 3))
	w.cache.Follow(policy, []schema.GroupVersionKind{routeKind}, []Key{keyOf("another-route")})
	w.Expect(controlled()).To(Equal([]string{"web"}))
	w.create(seen("u", "10", 3))
	w.Eventually(w.unshown).Should(BeEmpty(), "the watch has shown it")
	w.Expect(controlled()).To(Equal([]string{"web"}))
}

func TestTheEchoOfAWriteIsNoNews(t *testing.T) {
	w := newWorld(t)
	w.follow(policy, other)
	w.cache.remember(web, seen("u", "10", 3))
	w.create(seen("u", "10", 3))
	w.Eventually(func() int { return len(w.unshown()) }).Should(BeZero())
	w.Consistently(w.toldOf).Should(BeEmpty())

	w.update(seen("u", "11", 4))
	w.Eventually(w.toldOf).Should(ConsistOf(policy, other), "what others do afterwards is")
}

func TestAChangeThatFollowsAWriteIsNews(t *testing.T) {
	w := newWorld(t)
	w.create(seen("u", "9", 2))
	w.follow(policy, other)
	w.cache.remember(web, seen("u", "10", 3))
	w.update(seen("u", "11", 4))
	w.Eventually(w.toldOf).Should(ConsistOf(policy, other))
	w.Expect(w.generation()).To(BeEquivalentTo(4))
	w.Expect(w.unshown()).To(BeEmpty())
}

func TestTheEndOfAnObjectEndsWhatIsAssumedOfIt(t *testing.T) {
	w := newWorld(t)
	w.create(seen("u", "9", 2))
	w.follow(policy)
	w.cache.remember(web, seen("u", "10", 3))
	w.Expect(w.client.Tracker().Delete(httpRoutes, "test", "web")).To(Succeed())
	w.Eventually(w.generation).Should(BeEquivalentTo(-1))
	w.Eventually(w.toldOf).Should(ConsistOf(policy))
	w.Expect(w.unshown()).To(BeEmpty())
}

func TestTheEndOfAnObjectDoesNotEndWhatIsAssumedOfItsSuccessor(t *testing.T) {
	w := newWorld(t)
	w.create(seen("u", "9", 2))
	w.follow(policy)
	w.cache.remember(web, seen("successor", "11", 1))
	w.Expect(w.client.Tracker().Delete(httpRoutes, "test", "web")).To(Succeed())
	w.Eventually(w.toldOf).Should(ConsistOf(policy))
	w.Consistently(w.generation).Should(BeEquivalentTo(1))
	w.Expect(w.cache.Get(routeKind, webName).UID).To(BeEquivalentTo("successor"))
}

func TestWhatHappensWhileAWriteIsUnderWay(t *testing.T) {
	fault := errors.New("connection refused")
	before := summarize(seen("u", "9", 2))
	for name, test := range map[string]struct {
		shown  []*unstructured.Unstructured
		answer *unstructured.Unstructured
		err    error
		told   bool
	}{
		"nothing":                                {nil, seen("u", "10", 3), nil, false},
		"nothing, and the write failed":          {nil, nil, fault, false},
		"the echo":                               {[]*unstructured.Unstructured{seen("u", "10", 3)}, seen("u", "10", 3), nil, false},
		"another's change, and then the echo":    {[]*unstructured.Unstructured{seen("u", "9", 5), seen("u", "10", 3)}, seen("u", "10", 3), nil, false},
		"the echo, and then another's change":    {[]*unstructured.Unstructured{seen("u", "10", 3), seen("u", "11", 4)}, seen("u", "10", 3), nil, true},
		"another's change, and the write failed": {[]*unstructured.Unstructured{seen("u", "11", 4)}, nil, fault, true},
		"the end of what was there before":       {[]*unstructured.Unstructured{nil}, seen("successor", "12", 1), nil, true},
		"the echo, and then its end":             {[]*unstructured.Unstructured{seen("u", "10", 3), nil}, seen("u", "10", 3), nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.follow(policy)
			done := w.cache.beginWrite(web)
			last := before
			for _, u := range test.shown {
				if u == nil {
					w.cache.changed(web.Target, last, nil)
					continue
				}
				now := summarize(u)
				w.cache.changed(web.Target, last, now)
				last = now
			}
			w.Expect(w.toldOf()).To(BeEmpty(), "nobody is told before the answer is there")
			done(test.answer, test.err)
			if test.told {
				w.Expect(w.toldOf()).To(ConsistOf(policy))
			} else {
				w.Expect(w.toldOf()).To(BeEmpty())
			}
			w.Expect(w.cache.inFlight).To(BeEmpty())
			if n := len(test.shown); n > 0 && test.shown[n-1] == nil && test.answer != nil && test.answer.GetUID() == "u" {
				w.Expect(w.generation()).To(BeEquivalentTo(-1), "it is gone")
			}
			if test.answer != nil && len(test.shown) == 0 {
				w.Expect(w.generation()).To(Equal(test.answer.GetGeneration()))
			}
		})
	}
}

func TestAKindIsWatchedAsLongAsSomebodyFollowsIt(t *testing.T) {
	w := newWorld(t)
	w.create(seen("u", "9", 2))
	w.follow(policy, other)
	w.cache.Follow(policy, nil, nil)
	w.Expect(w.generation()).To(BeEquivalentTo(2))
	w.cache.Follow(other, nil, nil)
	w.Expect(w.generation()).To(BeEquivalentTo(-1))
}
