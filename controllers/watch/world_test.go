package watch

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr/funcr"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/log"
)

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(5 * time.Millisecond)
	SetDefaultConsistentlyDuration(100 * time.Millisecond)
	os.Exit(m.Run())
}

var (
	apples  = schema.GroupVersionResource{Group: "fruit.io", Version: "v1", Resource: "apples"}
	pears   = schema.GroupVersionResource{Group: "fruit.io", Version: "v1", Resource: "pears"}
	apple   = Target{GroupVersionKind: apples.GroupVersion().WithKind("Apple")}
	pear    = Target{GroupVersionKind: pears.GroupVersion().WithKind("Pear")}
	someone = types.NamespacedName{Namespace: "test", Name: "someone"}
	another = types.NamespacedName{Namespace: "test", Name: "another"}
)

// kept is what the tests' Transform keeps of an object.
type kept struct {
	metav1.ObjectMeta
	target Target
	colour string
}

// world is a Set, the cluster that it watches, and what it told.
type world struct {
	*WithT
	set    *Set[*kept]
	client *fake.FakeDynamicClient
	mapper *mapper
	stop   context.CancelFunc

	mu      sync.Mutex
	logged  []string
	changes []string
	told    []string
	open    map[schema.GroupVersionResource][]*apiwatch.RaceFreeFakeWatcher
}

// inBubble runs a test in a bubble of goroutines with a clock of its own, which goes on where all of them wait: delays and
// retries take no time there.
func inBubble(t *testing.T, name string, test func(*testing.T)) {
	t.Helper()
	t.Run(name, func(t *testing.T) { synctest.Test(t, test) })
}

func newWorld(t *testing.T, change ...func(*Options[*kept])) *world {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	w := &world{
		WithT: NewWithT(t),
		stop:  cancel,
		client: fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
			apples: "AppleList", pears: "PearList",
		}),
		mapper: &mapper{served: map[schema.GroupKind]*meta.RESTMapping{}, errs: map[schema.GroupKind]error{}},
		open:   map[schema.GroupVersionResource][]*apiwatch.RaceFreeFakeWatcher{},
	}
	w.mapper.serve(apple, apples, meta.RESTScopeNamespace)
	w.mapper.serve(pear, pears, meta.RESTScopeNamespace)
	w.client.PrependWatchReactor("*", func(action clienttesting.Action) (bool, apiwatch.Interface, error) {
		options := action.(clienttesting.WatchActionImpl).ListOptions
		events, err := w.client.Tracker().Watch(action.GetResource(), action.GetNamespace(), options)
		if err != nil {
			return true, nil, err
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.open[action.GetResource()] = append(w.open[action.GetResource()], events.(*apiwatch.RaceFreeFakeWatcher))
		return true, events, nil
	})
	options := Options[*kept]{
		Client: w.client,
		Mapper: w.mapper,
		Transform: func(target Target, u *unstructured.Unstructured) *kept {
			colour, _, _ := unstructured.NestedString(u.Object, "colour")
			return &kept{ObjectMeta: metav1.ObjectMeta{Namespace: u.GetNamespace(), Name: u.GetName()}, target: target, colour: colour}
		},
		MemberOf: func(o *kept) types.NamespacedName {
			if o.colour == "" {
				return types.NamespacedName{}
			}
			return types.NamespacedName{Namespace: o.Namespace, Name: o.colour}
		},
		Changed: func(target Target, before, after *kept) bool {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.changes = append(w.changes, fmt.Sprintf("%s %s→%s", target.Kind, describe(before), describe(after)))
			return true
		},
		Notify: func(follower types.NamespacedName) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told = append(w.told, follower.Name)
		},
	}
	for _, c := range change {
		c(&options)
	}
	logger := funcr.New(func(_, line string) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.logged = append(w.logged, line)
	}, funcr.Options{})
	w.set = New(log.IntoContext(ctx, logger), options)
	w.set.outages = &outages{watches: map[place]int{}}
	return w
}

func describe(o *kept) string {
	if o == nil {
		return "nothing"
	}
	return o.Name + ":" + o.colour
}

// mapper serves the kinds that a test says.
type mapper struct {
	meta.RESTMapper
	mu     sync.Mutex
	served map[schema.GroupKind]*meta.RESTMapping
	errs   map[schema.GroupKind]error
}

func (m *mapper) serve(target Target, resource schema.GroupVersionResource, scope meta.RESTScope) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.served[target.GroupKind()] = &meta.RESTMapping{Resource: resource, GroupVersionKind: target.GroupVersionKind, Scope: scope}
}

func (m *mapper) remove(target Target) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.served, target.GroupKind())
}

func (m *mapper) fail(target Target, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.errs[target.GroupKind()] = err
}

func (m *mapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.errs[kind]; err != nil {
		return nil, err
	}
	if mapping := m.served[kind]; mapping != nil && mapping.GroupVersionKind.Version == versions[0] {
		return mapping, nil
	}
	return nil, &meta.NoKindMatchError{GroupKind: kind, SearchedVersions: versions}
}

// refuse has the cluster answer a verb with an error, for as long as the function that it gives isn't called.
func (w *world) refuse(verb string, resource schema.GroupVersionResource, err error, namespaces ...string) (allow func()) {
	var mu sync.Mutex
	refused := func(action clienttesting.Action) bool {
		mu.Lock()
		defer mu.Unlock()
		if err == nil || action.GetResource() != resource {
			return false
		}
		for _, namespace := range namespaces {
			if namespace == action.GetNamespace() {
				return true
			}
		}
		return len(namespaces) == 0
	}
	if verb == "watch" {
		w.client.PrependWatchReactor("*", func(action clienttesting.Action) (bool, apiwatch.Interface, error) {
			if refused(action) {
				return true, nil, err
			}
			return false, nil, nil
		})
	} else {
		w.client.PrependReactor(verb, "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
			if refused(action) {
				return true, nil, err
			}
			return false, nil, nil
		})
	}
	return func() {
		mu.Lock()
		defer mu.Unlock()
		err = nil
	}
}

func fruit(resource schema.GroupVersionResource, kind, namespace, name, colour string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": resource.GroupVersion().String(), "kind": kind, "colour": colour,
		"metadata": map[string]any{"namespace": namespace, "name": name},
	}}
}

func (w *world) create(namespace, name, colour string) {
	_, err := w.client.Resource(apples).Namespace(namespace).Create(context.Background(), fruit(apples, "Apple", namespace, name, colour), metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
}

func (w *world) update(namespace, name, colour string) {
	_, err := w.client.Resource(apples).Namespace(namespace).Update(context.Background(), fruit(apples, "Apple", namespace, name, colour), metav1.UpdateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
}

func (w *world) delete(namespace, name string) {
	w.Expect(w.client.Resource(apples).Namespace(namespace).Delete(context.Background(), name, metav1.DeleteOptions{})).To(Succeed())
}

// named returns apples and pears of namespace test.
func named(target Target, names ...string) []Name {
	var named []Name
	for _, name := range names {
		named = append(named, Name{target, types.NamespacedName{Namespace: "test", Name: name}})
	}
	return named
}

// follow has a follower follow targets, and waits until these are read.
func (w *world) follow(follower types.NamespacedName, targets ...Target) {
	w.set.Follow(follower, targets, nil)
	for _, target := range targets {
		w.Eventually(w.state(target)).Should(works())
	}
}

// works matches the state of what is read, and goes on being so.
func works() gomegatypes.GomegaMatcher {
	return And(HaveField("Synced", BeTrue()), HaveField("Err", BeNil()), HaveField("UnreadableSince", BeZero()))
}

func (w *world) state(target Target) func() State {
	return func() State { return w.set.State(target, "test") }
}

// get polls the colour of what is kept of an apple, "" while that is nothing.
func (w *world) get(namespace, name string) func() string {
	return func() string {
		found, _ := w.set.Get(Name{apple, types.NamespacedName{Namespace: namespace, Name: name}})
		if found == nil {
			return ""
		}
		return found.colour
	}
}

// changed returns the changes that the Set was asked about.
func (w *world) changed() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string{}, w.changes...)
}

// notified polls how often a follower was notified.
func (w *world) notified(follower types.NamespacedName) func() int {
	return func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		n := 0
		for _, name := range w.told {
			if name == follower.Name {
				n++
			}
		}
		return n
	}
}

// watching polls how many watches on a resource are open.
func (w *world) watching(resource schema.GroupVersionResource) func() int {
	return func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		open := 0
		for _, events := range w.open[resource] {
			if !events.IsStopped() {
				open++
			}
		}
		return open
	}
}

// drop ends the open watches on a resource.
func (w *world) drop(resource schema.GroupVersionResource) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, events := range w.open[resource] {
		events.Stop()
	}
}

// calls polls how often a resource was asked for with a verb.
func (w *world) calls(verb string, resource schema.GroupVersionResource) func() int {
	return func() int {
		calls := 0
		for _, action := range w.client.Actions() {
			if action.GetVerb() == verb && action.GetResource() == resource {
				calls++
			}
		}
		return calls
	}
}
