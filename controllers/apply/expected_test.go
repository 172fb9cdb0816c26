package apply

import (
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
)

// gap is a cluster whose watch can be interrupted for longer than the apiserver remembers, so that everything is listed again.
type gap struct {
	mu      sync.Mutex
	version string
	items   []unstructured.Unstructured
	lists   int
	open    *apiwatch.RaceFreeFakeWatcher
}

func (w *world) withGap(version string) *gap {
	g := &gap{version: version}
	w.client.PrependReactor("list", "httproutes", func(clienttesting.Action) (bool, runtime.Object, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.lists++
		list := &unstructured.UnstructuredList{Items: g.items}
		list.SetGroupVersionKind(routeKind.GroupVersion().WithKind("HTTPRouteList"))
		list.SetResourceVersion(g.version)
		return true, list, nil
	})
	w.client.PrependWatchReactor("httproutes", func(clienttesting.Action) (bool, apiwatch.Interface, error) {
		g.mu.Lock()
		defer g.mu.Unlock()
		g.open = apiwatch.NewRaceFreeFake()
		return true, g.open, nil
	})
	return g
}

// end has the watch end, and what there is then listed.
func (g *gap) end(version string, items ...*unstructured.Unstructured) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.version, g.items = version, nil
	for _, item := range items {
		g.items = append(g.items, *item)
	}
	g.open.Error(&metav1.Status{Status: metav1.StatusFailure, Code: 410, Reason: metav1.StatusReasonExpired})
}

func (g *gap) watched() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.open != nil
}

func (g *gap) listed() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.lists
}

func TestAnObjectThatCameAndWentWhileTheWatchWasInterrupted(t *testing.T) {
	for name, test := range map[string]struct {
		listed     string
		items      []*unstructured.Unstructured
		generation int64
		told       bool
	}{
		"a list of a later moment doesn't have it: it is gone":                                                 {"30", nil, -1, true},
		"a list of the moment of the write doesn't have it: it is gone, since it was there then at the latest": {"20", nil, -1, true},
		"a list of an earlier moment doesn't have it: it is still to be shown":                                 {"15", nil, 3, false},
		"a list without a version says nothing of it":                                                          {"", nil, 3, false},
		"a list has it, as it was written":                                                                     {"30", []*unstructured.Unstructured{seen("u", "20", 3)}, 3, false},
		"a list has another of its name":                                                                       {"30", []*unstructured.Unstructured{seen("another", "25", 1)}, 1, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			g := w.withGap("10")
			w.follow(policy)
			w.Eventually(g.watched).Should(BeTrue())
			w.cache.remember(web, seen("u", "20", 3))
			w.Expect(w.generation()).To(BeEquivalentTo(3))

			g.end(test.listed, test.items...)
			w.Eventually(g.listed).Should(BeNumerically(">", 1))
			w.Eventually(w.generation).Should(Equal(test.generation))
			if test.told {
				w.Eventually(w.toldOf).Should(ConsistOf(policy))
				w.Expect(w.unshown()).To(BeEmpty())
				return
			}
			w.Consistently(w.toldOf, expectedAfter+500*time.Millisecond).Should(BeEmpty())
			w.Expect(w.generation()).To(Equal(test.generation))
		})
	}
}

func TestAnAnswerThatComesAfterTheListWithoutItsObjectDoesNotCount(t *testing.T) {
	w := newWorld(t)
	g := w.withGap("30")
	w.follow(policy)
	w.Eventually(g.watched).Should(BeTrue())
	w.cache.remember(web, seen("u", "20", 3))
	w.Expect(w.generation()).To(BeEquivalentTo(-1))
	w.Eventually(w.toldOf).Should(ConsistOf(policy))
	w.Expect(w.unshown()).To(BeEmpty())
}

func TestWhatIsWrittenOfAnObjectThatNoPolicyFollowsIsForgotten(t *testing.T) {
	w := newWorld(t)
	w.follow(policy)
	unfollowed := nameOf(routeKind, webName)
	unfollowed.Object.Name = "unfollowed"
	w.cache.remember(unfollowed, seen("u", "20", 3))
	w.Expect(w.unshown()).To(HaveLen(1))
	w.Eventually(w.unshown).Should(BeEmpty())
	w.Expect(w.toldOf()).To(BeEmpty())
}
