package watch

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
)

func TestPendingIsWhatIsNeitherSyncedNorFailed(t *testing.T) {
	g := NewWithT(t)
	g.Expect(State{}.Pending()).To(BeTrue())
	g.Expect(State{Synced: true}.Pending()).To(BeFalse())
	g.Expect(State{Err: ErrNotServed}.Pending()).To(BeFalse())
	g.Expect(State{Synced: true, Err: ErrNotServed}.Pending()).To(BeFalse())
}

// unsynced matches the state of a target that can't be listed.
func unsynced(err gomegatypes.GomegaMatcher) gomegatypes.GomegaMatcher {
	return And(HaveField("Synced", BeFalse()), HaveField("Err", err))
}

func TestAKindThatCanNotBeWatchedIsSoUntilItCan(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*world)
		err   error
		mend  func(*world)
	}{
		"the cluster doesn't serve the kind": {
			func(w *world) { w.mapper.remove(apple) },
			ErrNotServed,
			func(w *world) { w.mapper.serve(apple, apples, meta.RESTScopeNamespace) },
		},
		"the cluster serves another version of the kind": {
			func(w *world) {
				v2 := Target{GroupVersionKind: apple.GroupKind().WithVersion("v2")}
				w.mapper.serve(v2, apples.GroupResource().WithVersion("v2"), meta.RESTScopeNamespace)
			},
			ErrNotServed,
			func(w *world) { w.mapper.serve(apple, apples, meta.RESTScopeNamespace) },
		},
		"the kind is cluster-scoped": {
			func(w *world) { w.mapper.serve(apple, apples, meta.RESTScopeRoot) },
			ErrClusterScoped,
			func(w *world) { w.mapper.serve(apple, apples, meta.RESTScopeNamespace) },
		},
		"nobody can tell which kinds there are": {
			func(w *world) { w.mapper.fail(apple, errUnreachable) },
			errUnreachable,
			func(w *world) { w.mapper.fail(apple, nil) },
		},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			w.create("test", "boskoop", "red")
			test.spoil(w)
			w.set.Follow(someone, []Target{apple, pear}, nil)
			w.Eventually(w.state(apple)).Should(unsynced(MatchError(test.err)))
			w.Eventually(w.state(pear)).Should(works(), "another kind is not held up")
			w.Eventually(w.notified(someone)).Should(Equal(2))
			w.Expect(w.get("test", "boskoop")()).To(BeEmpty())
			w.Consistently(w.notified(someone), "1s").Should(Equal(2), "nobody is told again of what stays as it is")

			test.mend(w)
			w.Eventually(w.state(apple)).Should(works())
			w.Expect(w.get("test", "boskoop")()).To(Equal("red"))
			w.Eventually(w.notified(someone)).Should(Equal(4), "that the kind is there, and that it is listed")
		})
	}
}

var errUnreachable = errors.New("connection refused")

func TestARefusalOfTheClusterIsAStateUntilItAnswers(t *testing.T) {
	forbidden := apierrors.NewForbidden(apples.GroupResource(), "", errors.New("not for you"))
	for name, test := range map[string]struct {
		answer error
		err    gomegatypes.GomegaMatcher
	}{
		"it may not be listed":           {forbidden, MatchError(And(HavePrefix("may not list apples.fruit.io: "), ContainSubstring("not for you")))},
		"nobody knows who asks":          {apierrors.NewUnauthorized("who?"), MatchError("may not list apples.fruit.io: who?")},
		"the resource isn't there":       {apierrors.NewNotFound(apples.GroupResource(), ""), MatchError(ErrNotServed)},
		"the resource can't be listed":   {apierrors.NewMethodNotSupported(apples.GroupResource(), "list"), MatchError(ErrNotServed)},
		"the apiserver has no time now":  {apierrors.NewServerTimeout(apples.GroupResource(), "list", 1), BeNil()},
		"there are too many requests":    {apierrors.NewTooManyRequests("later", 1), BeNil()},
		"the apiserver can't be reached": {errUnreachable, BeNil()},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			w.create("test", "boskoop", "red")
			allow := w.refuse("list", apples, test.answer)
			w.set.Follow(someone, []Target{apple}, nil)
			w.Eventually(w.calls("list", apples)).Should(BeNumerically(">", 0))
			w.Eventually(w.state(apple)).Should(unsynced(test.err))
			w.Consistently(w.state(apple)).Should(unsynced(test.err))
			allow()
			w.Eventually(w.state(apple)).Should(works())
			w.Expect(w.get("test", "boskoop")()).To(Equal("red"))
		})
	}
}

func TestWhatWasSeenStaysWhileTheKindCanNotBeWatchedAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.create("test", "boskoop", "red")
		allow := w.refuse("watch", apples, apierrors.NewForbidden(apples.GroupResource(), "", errors.New("not for you")))
		w.set.Follow(someone, []Target{apple}, nil)
		w.Eventually(w.state(apple)).Should(And(
			HaveField("Synced", BeTrue()), HaveField("Err", MatchError(HavePrefix("may not watch apples.fruit.io: ")))))
		w.Expect(w.get("test", "boskoop")()).To(Equal("red"))
		told := w.notified(someone)()
		w.Expect(told).To(BeNumerically(">=", 2))

		allow()
		w.Eventually(w.state(apple)).Should(works())
		w.Expect(w.notified(someone)()).To(BeNumerically(">", told))
		w.update("test", "boskoop", "green")
		w.Eventually(w.get("test", "boskoop")).Should(Equal("green"))
	})
}

func TestANamespaceThatCanNotBeReadHoldsUpNoOther(t *testing.T) {
	for name, test := range map[string]struct {
		answer error
		words  string
	}{
		"it may not be listed": {apierrors.NewForbidden(apples.GroupResource(), "", errors.New("not for you")),
			"may not list apples.fruit.io: apples.fruit.io is forbidden: not for you"},
		"the apiserver fails": {apierrors.NewInternalError(errors.New("etcd")), "the apiserver answers with status 500: Internal error occurred: etcd"},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t, func(o *Options[*kept]) { o.Namespaces = []string{"test", "elsewhere"} })
			w.create("test", "boskoop", "red")
			allow := w.refuse("list", apples, test.answer, "elsewhere")
			elsewhere := func() State { return w.set.State(apple, "elsewhere") }
			w.set.Follow(someone, []Target{apple}, nil)
			w.Eventually(w.state(apple)).Should(works())
			w.Expect(w.get("test", "boskoop")()).To(Equal("red"))
			w.Eventually(elsewhere).Should(unsynced(MatchError(test.words)))
			w.Consistently(elsewhere).Should(unsynced(HaveOccurred()), "an answer for one namespace does not end the failure of the other")
			w.Expect(w.state(apple)()).To(works())
			allow()
			w.Eventually(elsewhere).Should(works())
		})
	}
}

func TestOneOfTwoSelectorsThatIsRefusedRefusesItsNamespace(t *testing.T) {
	w := newWorld(t, func(o *Options[*kept]) { o.LabelSelectors = []string{"watched=true", "seen=true"} })
	w.client.PrependReactor("list", "apples", func(action clienttesting.Action) (bool, runtime.Object, error) {
		if action.(clienttesting.ListActionImpl).ListOptions.LabelSelector == "seen=true" {
			return true, nil, apierrors.NewForbidden(apples.GroupResource(), "", errors.New("not for you"))
		}
		return false, nil, nil
	})
	w.set.Follow(someone, []Target{apple}, nil)
	w.Eventually(w.state(apple)).Should(unsynced(HaveOccurred()))
	w.Eventually(w.watching(apples)).Should(Equal(1), "the other is read")
	w.Consistently(w.state(apple)).Should(unsynced(HaveOccurred()))
}

func TestSinceWhenReadingFailsIsKnown(t *testing.T) {
	for name, answer := range map[string]error{
		"it may not be watched":          apierrors.NewForbidden(apples.GroupResource(), "", errors.New("not for you")),
		"the apiserver can't be reached": errUnreachable,
		"the apiserver is overloaded":    apierrors.NewTooManyRequests("later", 1),
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			w.Expect(w.state(apple)()).To(HaveField("UnreadableSince", BeZero()), "before anything is asked for")
			began := time.Now()
			allow := w.refuse("watch", apples, answer)
			w.set.Follow(someone, []Target{apple}, nil)
			w.Eventually(w.state(apple)).Should(And(HaveField("Synced", BeTrue()), HaveField("UnreadableSince", BeTemporally(">=", began))))
			since, tries := w.state(apple)().UnreadableSince, w.calls("watch", apples)()
			w.Eventually(w.calls("watch", apples)).Should(BeNumerically(">", tries))
			w.Expect(w.state(apple)().UnreadableSince).To(Equal(since), "the first failure counts")
			allow()
			w.Eventually(w.state(apple)).Should(works())
		})
	}
}

func TestADiscoveryThatFailsIsToldSinceItBegan(t *testing.T) {
	for name, err := range map[string]error{
		"the cluster can't be reached":      errUnreachable,
		"the apiserver is out of order":     apierrors.NewInternalError(errUnreachable),
		"the cluster doesn't have it":       &meta.NoKindMatchError{GroupKind: apple.GroupKind()},
		"nobody may ask which there are":    apierrors.NewForbidden(apples.GroupResource(), "", errUnreachable),
		"there are too many who ask for it": apierrors.NewTooManyRequests("later", 1),
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			began := time.Now()
			w.mapper.fail(apple, err)
			w.set.Follow(someone, []Target{apple}, nil)
			w.Eventually(w.state(apple)).Should(And(unsynced(HaveOccurred()), HaveField("UnreadableSince", BeTemporally(">=", began))))
		})
	}
}

func TestAKindThatNobodyNeedsAnyMoreIsNotLookedForAnyMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.mapper.remove(apple)
		w.set.Follow(someone, []Target{apple}, nil)
		w.Eventually(w.state(apple)).Should(unsynced(MatchError(ErrNotServed)))
		w.set.Follow(someone, nil, nil)
		w.mapper.serve(apple, apples, meta.RESTScopeNamespace)
		w.Consistently(w.calls("list", apples), "1500ms").Should(BeZero())
		w.Expect(w.state(apple)()).To(Equal(State{}))
	})
}
