package apply

import (
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(5 * time.Millisecond)
	SetDefaultConsistentlyDuration(100 * time.Millisecond)
	os.Exit(m.Run())
}

var (
	httpRoutes = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}
	betaRoutes = httpRoutes.GroupResource().WithVersion("v1beta1")
	routeKind  = httpRoutes.GroupVersion().WithKind("HTTPRoute")
	betaKind   = betaRoutes.GroupVersion().WithKind("HTTPRoute")
	policy     = types.NamespacedName{Namespace: "test", Name: "policy"}
	other      = types.NamespacedName{Namespace: "test", Name: "other"}
)

// world is an Executor, a Cache, and the cluster that they work on.
type world struct {
	*WithT
	executor *Executor
	cache    *Cache
	client   *fake.FakeDynamicClient

	// listing is held while nothing is to be listed yet.
	listing sync.RWMutex

	mu      sync.Mutex
	version int
	told    []types.NamespacedName
	// served are versions in which the cluster is known to serve routes.
	served []string
	// answers are what the cluster says to writes of objects by name; without one it agrees.
	answers map[string]error
}

func newWorld(t *testing.T) *world {
	t.Helper()
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(routeKind, meta.RESTScopeNamespace)
	mapper.Add(httpRoutes.GroupVersion().WithKind("GRPCRoute"), meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "DestinationRule"}, meta.RESTScopeNamespace)
	mapper.Add(schema.GroupVersionKind{Group: "networking.istio.io", Version: "v1", Kind: "VirtualService"}, meta.RESTScopeNamespace)
	w := &world{
		WithT:   NewWithT(t),
		version: 100,
		answers: map[string]error{},
		client: fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), map[schema.GroupVersionResource]string{
			httpRoutes: "HTTPRouteList", betaRoutes: "HTTPRouteList", httpRoutes.GroupVersion().WithResource("grpcroutes"): "GRPCRouteList",
		}),
	}
	w.client.PrependReactor("patch", "*", w.answerPatch)
	w.client.PrependReactor("list", "*", func(clienttesting.Action) (bool, runtime.Object, error) {
		w.listing.RLock()
		defer w.listing.RUnlock()
		return false, nil, nil
	})
	w.client.PrependReactor("delete", "*", func(action clienttesting.Action) (bool, runtime.Object, error) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return true, nil, w.answers[action.(clienttesting.DeleteActionImpl).Name]
	})
	w.cache = NewCache(t.Context(), CacheOptions{Client: w.client, Mapper: mapper, Notify: func(policy types.NamespacedName) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.told = append(w.told, policy)
	}, Versions: func(schema.GroupKind) []string { return w.served }})
	w.executor = &Executor{Mapper: mapper, Cache: w.cache}
	return w
}

// answerPatch gives what an apiserver would: the object that was applied, with a uid, a generation and a version.
// No watch shows it: a test has to.
func (w *world) answerPatch(action clienttesting.Action) (bool, runtime.Object, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	patch := action.(clienttesting.PatchActionImpl)
	if err := w.answers[patch.Name]; err != nil {
		return true, nil, err
	}
	u := &unstructured.Unstructured{}
	if patch.PatchType == types.JSONPatchType {
		u.Object = map[string]any{} // of an edit the tests look at the patch only
		u.SetName(patch.Name)
		u.SetNamespace(patch.Namespace)
	} else if err := utiljson.Unmarshal(patch.Patch, &u.Object); err != nil {
		return true, nil, err
	}
	w.version++
	if u.GetUID() == "" {
		u.SetUID(types.UID("uid-of-" + patch.Name))
	}
	u.SetGeneration(7)
	u.SetResourceVersion(fmt.Sprint(w.version))
	return true, u, nil
}

func (w *world) refuse(name string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[name] = err
}

// calls gives the writes so far, as "verb name".
func (w *world) calls() []string {
	calls := []string{}
	for _, action := range w.client.Actions() {
		switch action := action.(type) {
		case clienttesting.PatchActionImpl:
			calls = append(calls, "patch "+action.Name)
		case clienttesting.DeleteActionImpl:
			calls = append(calls, "delete "+action.Name)
		}
	}
	return calls
}

// patches gives the patches so far.
func (w *world) patches() []clienttesting.PatchActionImpl {
	var patches []clienttesting.PatchActionImpl
	for _, action := range w.client.Actions() {
		if patch, ok := action.(clienttesting.PatchActionImpl); ok {
			patches = append(patches, patch)
		}
	}
	return patches
}

// plan makes the steps for routes of some names over an inventory, in a cluster that holds what it says and serves every version.
func (w *world) plan(manifests []*unstructured.Unstructured, inventory []iter8v1alpha1.AppliedObject, cluster map[string]*Existing) []Step {
	steps, err := plan(owner, manifests, inventory, func(key Key) *Existing { return cluster[key.Name] })
	w.Expect(err).NotTo(HaveOccurred())
	for i, step := range steps {
		steps[i].Watched = schema.FromAPIVersionAndKind(step.Entry.APIVersion, step.Entry.Kind)
	}
	return steps
}

func (w *world) execute(t *testing.T, steps []Step) Result {
	t.Helper()
	return w.executor.execute(t.Context(), w.client, nil, owner, steps)
}

// toldOf polls which policies were told of something.
func (w *world) toldOf() []types.NamespacedName {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]types.NamespacedName{}, w.told...)
}

func routesNamed(names ...string) []*unstructured.Unstructured {
	manifests := make([]*unstructured.Unstructured, 0, len(names))
	for _, name := range names {
		manifests = append(manifests, routeNamed(name))
	}
	return manifests
}

// entryOf is the line of a route of ours that was applied.
func entryOf(name string) iter8v1alpha1.AppliedObject {
	return iter8v1alpha1.AppliedObject{
		APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Name: name, UID: types.UID("old-uid-of-" + name), Generation: 1, Digest: "sha256:old",
	}
}

// ours is what the cluster holds of such a route.
func ours(name string) *Existing {
	return &Existing{UID: entryOf(name).UID, Generation: 1, Controller: controlledBy(owner.UID)}
}

func keyOf(name string) Key { return Key{GroupKind: routeKey.GroupKind, Name: name} }
