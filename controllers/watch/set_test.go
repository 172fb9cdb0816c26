package watch

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
)

func TestWhatIsNotFollowedIsNotWatched(t *testing.T) {
	w := newWorld(t)
	w.create("test", "boskoop", "red")
	found, state := w.set.Get(named(apple, "boskoop")[0])
	w.Expect(found).To(BeNil())
	w.Expect(state.Pending()).To(BeTrue())
	members, state := w.set.Members(apple, types.NamespacedName{Namespace: "test", Name: "red"})
	w.Expect(members).To(BeEmpty())
	w.Expect(state.Pending()).To(BeTrue())
	w.Expect(w.set.State(apple, "test").Pending()).To(BeTrue())
	w.Expect(w.set.Targets()).To(BeEmpty())
	w.Expect(w.set.Followed(named(apple, "boskoop")[0])).To(BeFalse())
	w.Expect(w.calls("list", apples)()).To(BeZero())
}

func TestWhatIsFollowedIsKnownWithAllThatHappensToIt(t *testing.T) {
	w := newWorld(t)
	w.create("test", "boskoop", "red")
	w.create("elsewhere", "boskoop", "green")
	w.follow(someone, apple)
	w.Expect(w.get("test", "boskoop")()).To(Equal("red"), "what is synced is there")
	w.Expect(w.get("elsewhere", "boskoop")()).To(Equal("green"))
	w.Eventually(w.changed).Should(ConsistOf("Apple nothing→boskoop:red", "Apple nothing→boskoop:green"))
	w.Eventually(w.notified(someone)).Should(Equal(1), "that it is synced")

	w.update("test", "boskoop", "yellow")
	w.Eventually(w.get("test", "boskoop")).Should(Equal("yellow"))
	w.Eventually(w.changed).Should(ContainElement("Apple boskoop:red→boskoop:yellow"))

	w.delete("test", "boskoop")
	w.Eventually(w.get("test", "boskoop")).Should(BeEmpty())
	w.Eventually(w.changed).Should(ContainElement("Apple boskoop:yellow→nothing"))
	w.Expect(w.changed()).To(HaveLen(4))
	w.Expect(w.get("elsewhere", "boskoop")()).To(Equal("green"))
	w.Expect(w.notified(someone)()).To(Equal(1), "it names no object")
}

func TestTheFollowersOfAnObjectAreNotifiedOfItsChanges(t *testing.T) {
	w := newWorld(t)
	w.follow(someone, apple)
	w.follow(another, apple)
	w.set.Follow(someone, []Target{apple}, named(apple, "boskoop", "gala"))
	w.set.Follow(another, []Target{apple}, named(apple, "gala"))
	w.Expect(w.set.Followed(named(apple, "boskoop")[0])).To(BeTrue())
	before := []int{w.notified(someone)(), w.notified(another)()}
	expect := func(of string, more ...int) {
		w.Eventually(w.notified(someone)).Should(Equal(before[0]+more[0]), of)
		w.Eventually(w.notified(another)).Should(Equal(before[1]+more[1]), of)
	}
	w.create("test", "boskoop", "")
	expect("of one that comes", 1, 0)
	w.create("test", "gala", "")
	expect("of one that both follow", 2, 1)
	w.create("elsewhere", "gala", "")
	w.create("test", "smith", "")
	w.delete("test", "boskoop")
	expect("of one that goes, and not of what they don't follow", 3, 1)

	w.set.Follow(someone, []Target{apple}, named(apple, "smith"))
	w.create("test", "boskoop", "")
	w.delete("test", "gala")
	expect("of what is still followed", 3, 2)
	w.set.Follow(another, nil, nil)
	w.delete("test", "boskoop")
	w.delete("test", "smith")
	expect("of what it follows now", 4, 2)

	w.set.Notify(named(apple, "smith")[0])
	expect("when asked to", 5, 2)
}

func TestAChangeThatDoesNotMatterIsNoNews(t *testing.T) {
	w := newWorld(t, func(o *Options[*kept]) {
		o.Changed = func(_ Target, before, after *kept) bool {
			return before == nil || after == nil || before.colour != after.colour
		}
	})
	w.create("test", "boskoop", "red")
	w.follow(someone, apple)
	w.set.Follow(someone, []Target{apple}, named(apple, "boskoop"))
	before := w.notified(someone)()
	w.update("test", "boskoop", "red")
	w.Consistently(w.notified(someone)).Should(Equal(before))
	w.update("test", "boskoop", "green")
	w.Eventually(w.notified(someone)).Should(Equal(before + 1))
}

func TestAPartIsNewsToTheFollowersOfTheWhole(t *testing.T) {
	w := newWorld(t)
	w.follow(someone, apple)
	w.follow(another, apple)
	w.set.Follow(someone, []Target{apple}, named(apple, "red"))
	w.set.Follow(another, []Target{apple}, named(apple, "green", "boskoop"))
	before := []int{w.notified(someone)(), w.notified(another)()}
	expect := func(of string, more ...int) {
		w.Eventually(w.notified(someone)).Should(Equal(before[0]+more[0]), of)
		w.Eventually(w.notified(another)).Should(Equal(before[1]+more[1]), of)
	}
	w.create("test", "boskoop", "red")
	expect("of a part that comes, and itself", 1, 1)
	w.update("test", "boskoop", "green")
	expect("of one that becomes a part of another", 2, 3)
	w.delete("test", "boskoop")
	expect("of one that goes", 2, 5)
}

func TestTheStoreHoldsAChangeBeforeAnybodyIsToldOfIt(t *testing.T) {
	held := make(chan string, 8)
	var w *world
	w = newWorld(t, func(o *Options[*kept]) {
		o.Changed = func(Target, *kept, *kept) bool { held <- w.get("test", "boskoop")(); return true }
	})
	w.create("test", "boskoop", "red")
	w.follow(someone, apple)
	w.Eventually(held).Should(Receive(Equal("red")))
	w.delete("test", "boskoop")
	w.Eventually(held).Should(Receive(BeEmpty()))
}

func TestAWatchStartsWithTheFirstFollowerAndEndsWithTheLast(t *testing.T) {
	w := newWorld(t)
	w.follow(someone, apple)
	w.follow(another, apple)
	w.Eventually(w.watching(apples)).Should(Equal(1))
	w.Expect(w.calls("list", apples)()).To(Equal(1))

	w.set.Follow(someone, nil, nil)
	w.Expect(w.set.Targets()).To(ConsistOf(apple))
	w.Expect(w.state(apple)()).To(works())
	w.Consistently(w.watching(apples)).Should(Equal(1))

	w.set.Follow(another, nil, nil)
	w.Expect(w.set.Targets()).To(BeEmpty())
	w.Expect(w.state(apple)()).To(Equal(State{}))
	w.Eventually(w.watching(apples)).Should(BeZero())

	w.create("test", "boskoop", "red")
	w.follow(someone, apple)
	w.Expect(w.get("test", "boskoop")()).To(Equal("red"), "it starts afresh")
	w.Expect(w.calls("list", apples)()).To(Equal(2))
}

func TestFollowingNothingTwiceOrWithoutNeedIsNoFault(t *testing.T) {
	w := newWorld(t)
	w.set.Follow(someone, nil, nil)
	w.follow(another, apple)
	w.set.Follow(someone, nil, nil)
	w.set.Follow(someone, nil, nil)
	w.Expect(w.set.Targets()).To(ConsistOf(apple))
}

func TestAFollowerThatNeedsSomethingElseReleasesTheRest(t *testing.T) {
	w := newWorld(t)
	w.follow(someone, apple, pear)
	w.Eventually(w.watching(apples)).Should(Equal(1))
	w.Eventually(w.watching(pears)).Should(Equal(1))

	w.follow(someone, pear)
	w.Expect(w.set.Targets()).To(ConsistOf(pear))
	w.Eventually(w.watching(apples)).Should(BeZero())
	w.Expect(w.watching(pears)()).To(Equal(1))
	w.Expect(w.calls("list", pears)()).To(Equal(1), "what is still needed goes on")
}

func TestAFullTargetIsOneOfItsOwn(t *testing.T) {
	w := newWorld(t)
	full := Target{GroupVersionKind: apple.GroupVersionKind, Full: true}
	w.create("test", "boskoop", "red")
	w.follow(someone, apple)
	w.follow(another, full)
	w.Expect(w.set.Targets()).To(ConsistOf(apple, full))
	for _, target := range []Target{apple, full} {
		found, _ := w.set.Get(named(target, "boskoop")[0])
		w.Expect(found.target).To(Equal(target))
	}
	w.set.Follow(another, nil, nil)
	w.Expect(w.set.Targets()).To(ConsistOf(apple))
}

func TestOnlyWhatCarriesOneOfTheLabelsIsAskedFor(t *testing.T) {
	w := newWorld(t, func(o *Options[*kept]) { o.LabelSelectors = []string{"watched=true", "seen=true"} })
	w.follow(someone, apple)
	w.Eventually(w.calls("watch", apples)).Should(Equal(2))
	asked := map[string][]string{}
	for _, action := range w.client.Actions() {
		var labels string
		switch action := action.(type) {
		case clienttesting.ListActionImpl:
			labels = action.ListOptions.LabelSelector
		case clienttesting.WatchActionImpl:
			labels = action.ListOptions.LabelSelector
		}
		asked[action.GetVerb()] = append(asked[action.GetVerb()], labels)
	}
	w.Expect(asked).To(And(HaveLen(2), HaveEach(ConsistOf("watched=true", "seen=true"))))
}

func TestWhatCarriesAnyOfTheLabelsIsKnown(t *testing.T) {
	w := newWorld(t, func(o *Options[*kept]) {
		o.LabelSelectors = []string{"watched=true", "seen=true"}
		o.Namespaces = []string{"test", "elsewhere"}
	})
	for name, labels := range map[string]map[string]string{
		"boskoop": {"watched": "true"}, "gala": {"seen": "true"}, "smith": {"watched": "true", "seen": "true"}, "none": {"watched": "no"},
	} {
		u := fruit(apples, "Apple", "elsewhere", name, "red")
		u.SetLabels(labels)
		_, err := w.client.Resource(apples).Namespace("elsewhere").Create(t.Context(), u, metav1.CreateOptions{})
		w.Expect(err).NotTo(HaveOccurred())
	}
	w.follow(someone, apple)
	for _, name := range []string{"boskoop", "gala", "smith"} {
		w.Eventually(w.get("elsewhere", name)).Should(Equal("red"), name)
	}
	w.Expect(w.get("elsewhere", "none")()).To(BeEmpty())
	w.Expect(w.get("test", "boskoop")()).To(BeEmpty())
	w.Eventually(w.watching(apples)).Should(Equal(4))
}

func TestTheMembersOfAnObject(t *testing.T) {
	w := newWorld(t)
	w.create("test", "boskoop", "red")
	w.create("test", "gala", "red")
	w.create("elsewhere", "gala", "red")
	w.create("test", "smith", "green")
	w.follow(someone, apple)
	whole := types.NamespacedName{Namespace: "test", Name: "red"}
	red := func() []string {
		members, _ := w.set.Members(apple, whole)
		var names []string
		for _, o := range members {
			names = append(names, o.Name)
		}
		return names
	}
	w.Expect(red()).To(ConsistOf("boskoop", "gala"))
	w.update("test", "gala", "green")
	w.Eventually(red).Should(ConsistOf("boskoop"))
	w.delete("test", "boskoop")
	w.Eventually(red).Should(BeEmpty())
	_, state := w.set.Members(apple, whole)
	w.Expect(state).To(works())
}

func TestWithoutARuleForMembersThereAreNone(t *testing.T) {
	w := newWorld(t, func(o *Options[*kept]) { o.MemberOf = nil })
	w.create("test", "boskoop", "red")
	w.follow(someone, apple)
	members, state := w.set.Members(apple, types.NamespacedName{Namespace: "test", Name: "red"})
	w.Expect(members).To(BeEmpty())
	w.Expect(state.Err).To(HaveOccurred())
}

func TestAClusterScopedKindIsReadWhateverTheNamespaces(t *testing.T) {
	w := newWorld(t, func(o *Options[*kept]) { o.Namespaces = []string{"test"} })
	w.mapper.serve(apple, apples, meta.RESTScopeRoot)
	of := apple
	of.ClusterScoped = true
	w.create("", "boskoop", "red")
	w.set.Follow(someone, []Target{of}, nil)
	w.Eventually(func() State { return w.set.State(of, "") }).Should(works())
	found, _ := w.set.Get(Name{of, types.NamespacedName{Name: "boskoop"}})
	w.Expect(found.colour).To(Equal("red"))
}

func TestAllWatchesEndWithTheContext(t *testing.T) {
	w := newWorld(t)
	w.follow(someone, apple, pear)
	w.Eventually(w.watching(apples)).Should(Equal(1))
	w.Eventually(w.watching(pears)).Should(Equal(1))
	w.stop()
	w.Eventually(w.watching(apples)).Should(BeZero())
	w.Eventually(w.watching(pears)).Should(BeZero())
}

func TestEachNamespaceOfAListIsWatchedByItself(t *testing.T) {
	w := newWorld(t, func(o *Options[*kept]) { o.Namespaces = []string{"test", "elsewhere"} })
	w.create("test", "boskoop", "red")
	w.create("elsewhere", "gala", "red")
	w.create("beyond", "smith", "green")
	w.follow(someone, apple)
	w.Expect(w.get("test", "boskoop")()).To(Equal("red"))
	w.Expect(w.get("elsewhere", "gala")()).To(Equal("red"))
	w.Expect(w.get("beyond", "smith")()).To(BeEmpty())
	members, _ := w.set.Members(apple, types.NamespacedName{Namespace: "elsewhere", Name: "red"})
	w.Expect(members).To(HaveLen(1), "of that namespace only")
	w.Eventually(w.watching(apples)).Should(Equal(2))
	for _, action := range w.client.Actions() {
		if action.GetVerb() != "create" {
			w.Expect(action.GetNamespace()).To(BeElementOf("test", "elsewhere"))
		}
	}
	w.set.Follow(someone, nil, nil)
	w.Eventually(w.watching(apples)).Should(BeZero())
}

func TestAnEndThatWasOnlyFoundOutLaterIsToldToo(t *testing.T) {
	w := newWorld(t)
	handler := w.set.handler(apple)
	last := &kept{colour: "red"}
	last.Name = "boskoop"
	handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "test/boskoop", Obj: last})
	w.Expect(w.changed()).To(Equal([]string{"Apple boskoop:red→nothing"}))
	handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "test/boskoop"})
	w.Expect(w.changed()).To(HaveLen(1), "there is nothing to tell of what was never kept")
}
