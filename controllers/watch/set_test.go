package watch

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
)

func TestWhatNobodyRequiresIsNotWatched(t *testing.T) {
	w := newWorld(t)
	w.create("test", "boskoop", "red")
	found, state := w.set.Get(apple, types.NamespacedName{Namespace: "test", Name: "boskoop"})
	w.Expect(found).To(BeNil())
	w.Expect(state.Pending()).To(BeTrue())
	all, state := w.set.ByIndex(apple, "test", "red")
	w.Expect(all).To(BeNil())
	w.Expect(state.Pending()).To(BeTrue())
	w.Expect(w.set.Targets()).To(BeEmpty())
	w.Expect(w.set.Users(apple)).To(BeEmpty())
	w.Expect(w.calls("list", apples)()).To(BeZero())
}

func TestWhatIsRequiredIsKnownWithAllThatHappensToIt(t *testing.T) {
	w := newWorld(t)
	w.create("test", "boskoop", "red")
	w.create("elsewhere", "boskoop", "green")
	w.require(someone, apple)
	w.Expect(w.get("test", "boskoop")()).To(Equal("red"), "what is synced is there")
	w.Expect(w.get("elsewhere", "boskoop")()).To(Equal("green"))
	w.Eventually(w.told).Should(ConsistOf("Apple nothing→boskoop:red", "Apple nothing→boskoop:green"))
	w.Expect(w.toldOfStates()).To(Equal(1), "that it is synced")

	w.update("test", "boskoop", "yellow")
	w.Eventually(w.get("test", "boskoop")).Should(Equal("yellow"))
	w.Eventually(w.told).Should(ContainElement("Apple boskoop:red→boskoop:yellow"))

	w.delete("test", "boskoop")
	w.Eventually(w.get("test", "boskoop")).Should(BeEmpty())
	w.Eventually(w.told).Should(ContainElement("Apple boskoop:yellow→nothing"))
	w.Expect(w.told()).To(HaveLen(4))
	w.Expect(w.get("elsewhere", "boskoop")()).To(Equal("green"))
}

func TestTheStoreHoldsAChangeBeforeAnybodyIsToldOfIt(t *testing.T) {
	held := make(chan string, 8)
	var w *world
	w = newWorld(t, func(o *Options) {
		o.OnChange = func(Target, Object, Object) { held <- w.get("test", "boskoop")() }
	})
	w.create("test", "boskoop", "red")
	w.require(someone, apple)
	w.Eventually(held).Should(Receive(Equal("red")))
	w.delete("test", "boskoop")
	w.Eventually(held).Should(Receive(BeEmpty()))
}

func TestAWatchStartsWithTheFirstUserAndEndsWithTheLast(t *testing.T) {
	w := newWorld(t)
	w.require(someone, apple)
	w.require(another, apple)
	w.Eventually(w.watching(apples)).Should(Equal(1))
	w.Expect(w.calls("list", apples)()).To(Equal(1))
	w.Expect(w.set.Users(apple)).To(ConsistOf(someone, another))

	w.set.Require(someone)
	w.Expect(w.set.Targets()).To(ConsistOf(apple))
	w.Expect(w.set.Users(apple)).To(ConsistOf(another))
	w.Expect(w.state(apple)()).To(Equal(State{Synced: true}))
	w.Consistently(w.watching(apples)).Should(Equal(1))

	w.set.Require(another)
	w.Expect(w.set.Targets()).To(BeEmpty())
	w.Expect(w.state(apple)()).To(Equal(State{}))
	w.Eventually(w.watching(apples)).Should(BeZero())

	w.create("test", "boskoop", "red")
	w.require(someone, apple)
	w.Expect(w.get("test", "boskoop")()).To(Equal("red"), "it starts afresh")
	w.Expect(w.calls("list", apples)()).To(Equal(2))
}

func TestReleasingTwiceOrWithoutNeedIsNoFault(t *testing.T) {
	w := newWorld(t)
	w.set.Require(someone)
	w.require(another, apple)
	w.set.Require(someone)
	w.set.Require(someone)
	w.Expect(w.set.Users(apple)).To(ConsistOf(another))
}

func TestAUserThatNeedsSomethingElseReleasesTheRest(t *testing.T) {
	w := newWorld(t)
	w.require(someone, apple, pear)
	w.Eventually(w.watching(apples)).Should(Equal(1))
	w.Eventually(w.watching(pears)).Should(Equal(1))

	w.require(someone, pear)
	w.Expect(w.set.Targets()).To(ConsistOf(pear))
	w.Eventually(w.watching(apples)).Should(BeZero())
	w.Expect(w.watching(pears)()).To(Equal(1))
	w.Expect(w.calls("list", pears)()).To(Equal(1), "what is still needed goes on")
}

func TestAFullTargetIsOneOfItsOwn(t *testing.T) {
	w := newWorld(t)
	full := Target{GroupVersionKind: apple.GroupVersionKind, Full: true}
	w.create("test", "boskoop", "red")
	w.require(someone, apple)
	w.require(another, full)
	w.Expect(w.set.Targets()).To(ConsistOf(apple, full))
	key := types.NamespacedName{Namespace: "test", Name: "boskoop"}
	for _, target := range []Target{apple, full} {
		found, _ := w.set.Get(target, key)
		w.Expect(found.(*kept).target).To(Equal(target))
	}
	w.set.Require(another)
	w.Expect(w.set.Targets()).To(ConsistOf(apple))
}

func TestOnlyWhatCarriesOneOfTheLabelsIsAskedFor(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.LabelSelectors = []string{"watched=true", "seen=true"} })
	w.require(someone, apple)
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
	w := newWorld(t, func(o *Options) {
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
	w.require(someone, apple)
	for _, name := range []string{"boskoop", "gala", "smith"} {
		w.Expect(w.get("elsewhere", name)()).To(Equal("red"), name)
	}
	w.Expect(w.get("elsewhere", "none")()).To(BeEmpty())
	w.Expect(w.get("test", "boskoop")()).To(BeEmpty())
	w.Eventually(w.watching(apples)).Should(Equal(4))
}

func TestObjectsAreFoundByWhatTheyAreIndexedBy(t *testing.T) {
	w := newWorld(t)
	w.create("test", "boskoop", "red")
	w.create("test", "gala", "red")
	w.create("test", "smith", "green")
	w.require(someone, apple)
	red := func() []string {
		objects, _ := w.set.ByIndex(apple, "test", "red")
		var names []string
		for _, o := range objects {
			names = append(names, o.(*kept).Name)
		}
		return names
	}
	w.Expect(red()).To(ConsistOf("boskoop", "gala"))
	w.update("test", "gala", "green")
	w.Eventually(red).Should(ConsistOf("boskoop"))
	w.delete("test", "boskoop")
	w.Eventually(red).Should(BeEmpty())
	_, state := w.set.ByIndex(apple, "test", "red")
	w.Expect(state).To(Equal(State{Synced: true}))
}

func TestWithoutAnIndexNothingIsFoundByOne(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Index = nil })
	w.create("test", "boskoop", "red")
	w.require(someone, apple)
	found, state := w.set.ByIndex(apple, "test", "red")
	w.Expect(found).To(BeEmpty())
	w.Expect(state.Err).To(HaveOccurred())
}

func TestAllWatchesEndWithTheContext(t *testing.T) {
	w := newWorld(t)
	w.require(someone, apple, pear)
	w.Eventually(w.watching(apples)).Should(Equal(1))
	w.Eventually(w.watching(pears)).Should(Equal(1))
	w.stop()
	w.Eventually(w.watching(apples)).Should(BeZero())
	w.Eventually(w.watching(pears)).Should(BeZero())
}

func TestEachNamespaceOfAListIsWatchedByItself(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Namespaces = []string{"test", "elsewhere"} })
	w.create("test", "boskoop", "red")
	w.create("elsewhere", "gala", "red")
	w.create("beyond", "smith", "green")
	w.require(someone, apple)
	w.Expect(w.get("test", "boskoop")()).To(Equal("red"))
	w.Expect(w.get("elsewhere", "gala")()).To(Equal("red"))
	w.Expect(w.get("beyond", "smith")()).To(BeEmpty())
	found, _ := w.set.ByIndex(apple, "elsewhere", "red")
	w.Expect(found).To(HaveLen(1), "of that namespace only")
	w.Eventually(w.watching(apples)).Should(Equal(2))
	for _, action := range w.client.Actions() {
		if action.GetVerb() != "create" {
			w.Expect(action.GetNamespace()).To(BeElementOf("test", "elsewhere"))
		}
	}
	w.set.Require(someone)
	w.Eventually(w.watching(apples)).Should(BeZero())
}

func TestAnEndThatWasOnlyFoundOutLaterIsToldToo(t *testing.T) {
	w := newWorld(t)
	handler := w.set.handler(apple)
	last := &kept{colour: "red"}
	last.Name = "boskoop"
	handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "test/boskoop", Obj: last})
	w.Expect(w.told()).To(Equal([]string{"Apple boskoop:red→nothing"}))
	handler.OnDelete(cache.DeletedFinalStateUnknown{Key: "test/boskoop"})
	w.Expect(w.told()).To(HaveLen(1), "there is nothing to tell of what was never kept")
}
