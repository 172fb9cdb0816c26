package sweep

import (
	"context"
	"encoding/json"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	clienttesting "k8s.io/client-go/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/notify"
)

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(5 * time.Millisecond)
	SetDefaultConsistentlyDuration(100 * time.Millisecond)
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

var (
	rules    = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"}
	services = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	theRule  = Object{schema.GroupKind{Group: "networking.istio.io", Kind: "DestinationRule"}, types.NamespacedName{Namespace: "test", Name: "rule"}}
)

// world is a Reconciler, and the cluster that it works on.
type world struct {
	*WithT
	reconciler *Reconciler
	cluster    *dynamicfake.FakeDynamicClient

	mu     sync.Mutex
	serves []schema.GroupVersionKind
	// servesBeside are versions of VirtualServices, where policies may not render these, and askErr is why that can't be known.
	servesBeside []string
	askErr       error
	readErr      error

	enqueued []Object
}

// newWorld has a cluster hold objects, written as YAML. The cache has the policies that it names "cached", the apiserver all.
func newWorld(t *testing.T, live, cached []client.Object, objects ...*unstructured.Unstructured) *world {
	t.Helper()
	w := &world{WithT: NewWithT(t)}
	mapper := meta.NewDefaultRESTMapper(nil)
	for _, kind := range []string{"DestinationRule", "VirtualService"} {
		mapper.Add(rules.GroupVersion().WithKind(kind), meta.RESTScopeNamespace)
		w.serves = append(w.serves, rules.GroupVersion().WithKind(kind))
	}
	w.cluster = dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(),
		map[schema.GroupVersionResource]string{rules: "DestinationRuleList", services: "VirtualServiceList"})
	for _, o := range objects {
		resource := services
		if o.GetKind() == "DestinationRule" {
			resource = rules
		}
		w.Expect(w.cluster.Tracker().Create(resource, o, o.GetNamespace())).To(Succeed())
	}
	scheme := runtime.NewScheme()
	w.Expect(iter8v1alpha1.AddToScheme(scheme)).To(Succeed())
	reader := fake.NewClientBuilder().WithScheme(scheme).WithObjects(live...).WithInterceptorFuncs(interceptor.Funcs{
		Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, o client.Object, options ...client.GetOption) error {
			if w.readErr != nil {
				return w.readErr
			}
			return c.Get(ctx, key, o, options...)
		},
	}).Build()
	w.reconciler = New(t.Context(), Options{
		Policies: fake.NewClientBuilder().WithScheme(scheme).WithObjects(cached...).Build(), Reader: reader, Client: w.cluster, Mapper: mapper,
		Served: func() ([]schema.GroupVersionKind, error) { return w.serves, nil }, Changed: &notify.Notifier{},
		Ask: func(schema.GroupKind) ([]string, error) { return w.servesBeside, w.askErr },
	})
	w.reconciler.enqueue = w.enqueue
	return w
}

func (w *world) enqueue(o Object) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.enqueued = append(w.enqueued, o)
}

// watchOnly has the operator watch some namespaces, one by one.
func (w *world) watchOnly(t *testing.T, namespaces ...string) {
	t.Helper()
	options := w.reconciler.Options
	options.Namespaces = namespaces
	w.reconciler = New(t.Context(), options)
	w.reconciler.enqueue = w.enqueue
}

// sweep sees to all that is enqueued until nothing is any more.
func (w *world) sweep(t *testing.T) {
	t.Helper()
	_, err := w.reconciler.Reconcile(t.Context(), everything)
	w.Expect(err).NotTo(HaveOccurred())
	w.Eventually(func() bool { return w.synced() }).Should(BeTrue())
	w.drain(t)
}

// synced reports whether all that is watched is known.
func (w *world) synced() bool {
	for _, target := range w.reconciler.marked.Targets() {
		if !w.reconciler.marked.State(target, "test").Synced {
			return false
		}
	}
	for _, target := range w.reconciler.users.Targets() {
		if !w.reconciler.users.State(target, "test").Synced {
			return false
		}
	}
	return true
}

// drain sees to what is enqueued, for as long as something comes.
func (w *world) drain(t *testing.T) {
	t.Helper()
	for quiet := 0; quiet < 3; quiet++ {
		w.Eventually(w.synced).Should(BeTrue())
		w.mu.Lock()
		enqueued := w.enqueued
		w.enqueued = nil
		w.mu.Unlock()
		for _, o := range append(enqueued, theRule) {
			_, err := w.reconciler.Reconcile(t.Context(), o)
			w.Expect(err).NotTo(HaveOccurred())
		}
	}
}

// deleted returns the names of what was deleted.
func (w *world) deleted() []string {
	names := []string{}
	for _, action := range w.cluster.Actions() {
		if d, ok := action.(clienttesting.DeleteActionImpl); ok {
			names = append(names, d.Name)
		}
	}
	slices.Sort(names)
	return names
}

func policy(name string, uid types.UID) client.Object {
	return &iter8v1alpha1.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: name, UID: uid}}
}

func object(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	u := &unstructured.Unstructured{}
	NewWithT(t).Expect(yaml.Unmarshal([]byte(text), &u.Object)).To(Succeed())
	u.SetAPIVersion("networking.istio.io/v1")
	if u.GetNamespace() == "" {
		u.SetNamespace("test")
	}
	u.SetUID(types.UID("uid-of-" + u.GetName()))
	u.SetResourceVersion("7")
	return u
}

// marked marks an object as that of a policy, as if the operator had applied it.
func marked(t *testing.T, u *unstructured.Unstructured, name, uid string) *unstructured.Unstructured {
	t.Helper()
	u.SetLabels(map[string]string{"iter8.tools/policy-uid": uid})
	u.SetAnnotations(map[string]string{"iter8.tools/policy": name, "iter8.tools/deletion-policy": "Delete"})
	fields, err := json.Marshal(map[string]any{"f:spec": map[string]any{}, "f:metadata": map[string]any{
		"f:labels":      map[string]any{"f:iter8.tools/policy-uid": map[string]any{}},
		"f:annotations": map[string]any{"f:iter8.tools/policy": map[string]any{}, "f:iter8.tools/deletion-policy": map[string]any{}},
	}})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	u.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "iter8-operator", Operation: metav1.ManagedFieldsOperationApply,
		FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(fields))}})
	return u
}
