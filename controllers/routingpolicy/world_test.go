package routingpolicy

import (
	"context"
	"fmt"
	"os"
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
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/charts"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/chart"
	"iter8.tools/operator/controllers/gateways"
	"iter8.tools/operator/controllers/observe"
	"iter8.tools/operator/controllers/render"
)

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(5 * time.Millisecond)
	apiwatch.DefaultChanSize = 1000 // events that a watch of the fake cluster may lag behind by, else it panics
	ctrl.SetLogger(logr.Discard())
	os.Exit(m.Run())
}

var (
	httpRoutes       = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"}
	gatewayObjects   = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gateways"}
	gatewayClasses   = schema.GroupVersionResource{Group: "gateway.networking.k8s.io", Version: "v1", Resource: "gatewayclasses"}
	virtualServices  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	destinationRules = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"}
	deployments      = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	services         = schema.GroupVersionResource{Version: "v1", Resource: "services"}
)

// kindsOfCluster are those that a world's cluster serves.
var kindsOfCluster = map[schema.GroupVersionResource]string{
	httpRoutes: "HTTPRoute", gatewayObjects: "Gateway", gatewayClasses: "GatewayClass", deployments: "Deployment",
	services: "Service", secrets: "Secret", virtualServices: "VirtualService", destinationRules: "DestinationRule",
	{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}: "EndpointSlice",
}

// newCluster is an empty cluster, and what maps its kinds.
func newCluster() (*dynamicfake.FakeDynamicClient, meta.RESTMapper) {
	lists := map[schema.GroupVersionResource]string{}
	mapper := meta.NewDefaultRESTMapper(nil)
	for resource, kind := range kindsOfCluster {
		lists[resource] = kind + "List"
		scope := meta.RESTScopeNamespace
		if resource == gatewayClasses {
			scope = meta.RESTScopeRoot
		}
		mapper.AddSpecific(resource.GroupVersion().WithKind(kind), resource, resource, scope)
	}
	return dynamicfake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), lists), mapper
}

// world is a Reconciler with all that it works with, and a cluster that holds what is written: what is applied
// comes back by the watches.
type world struct {
	*WithT
	reconciler *Reconciler
	client     client.Client
	cluster    *dynamicfake.FakeDynamicClient
	// observed is how an Observer that begins sees the cluster.
	observed dynamic.Interface
	// subjects takes what the cache of Subjects is to tell the observer.
	subjects toolscache.ResourceEventHandler
	events   chan string

	mu      sync.Mutex
	version int64
	writes  []string
	answers map[string]error
	// reads are those of Services past the cache, of which beforeRead is called before each is answered.
	reads      []string
	beforeRead func(context.Context)
	// meanwhile is called before the next status is written.
	meanwhile func()
	// webhook changes what is written of a route, nil if nothing does.
	webhook func(*unstructured.Unstructured)
	// beforeEdit is called before a JSON patch is applied.
	beforeEdit func()
}

// informers is a cache that hands the observer's handler to the test.
type informers struct {
	cache.Cache
	cache.Informer
	handler chan toolscache.ResourceEventHandler
}

func (i *informers) GetInformer(context.Context, client.Object, ...cache.InformerGetOption) (cache.Informer, error) {
	return i, nil
}

func (i *informers) AddEventHandler(handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	i.handler <- handler
	return nil, nil
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	w := &world{WithT: NewWithT(t), version: 100, answers: map[string]error{}, events: make(chan string, 1000)}
	scheme := runtime.NewScheme()
	w.Expect(iter8v1alpha1.AddToScheme(scheme)).To(Succeed())
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).
		WithStatusSubresource(&iter8v1alpha1.Subject{}, &iter8v1alpha1.RoutingPolicy{}).
		WithInterceptorFuncs(interceptor.Funcs{SubResourcePatch: w.patchStatus}).Build()

	cluster, mapper := newCluster()
	w.cluster, w.observed = cluster, cluster
	for _, resource := range []string{"httproutes", "virtualservices", "destinationrules"} {
		w.cluster.PrependReactor("patch", resource, w.patch)
	}
	w.cluster.PrependReactor("delete", "httproutes", w.delete)

	builtIn, err := chart.LoadBuiltIn(plainAnd(t, charts.FS))
	w.Expect(err).NotTo(HaveOccurred())
	sources, err := chart.NewSources(chart.Options{BuiltIn: builtIn, Charts: configv1alpha1.DefaultCharts()})
	w.Expect(err).NotTo(HaveOccurred())
	capabilities := NewCapabilities(served(gateway()), routeKinds, ignore)
	routes := apply.NewCache(t.Context(), apply.CacheOptions{Client: w.cluster, Mapper: mapper, Versions: capabilities.Versions})
	w.reconciler = &Reconciler{
		Client:       w.client,
		Reader:       apiReader{w.client, w},
		Charts:       sources,
		Capabilities: capabilities,
		Renders:      render.NewMemory(render.NewRenderer()),
		Routes:       routes,
		Gateways:     gateways.New(t.Context(), gateways.Options{Client: w.cluster, Mapper: mapper}),
		Executor:     &apply.Executor{Mapper: mapper, Cache: routes},
		Accounts:     apply.NewAccounts(&rest.Config{Host: "::"}, w.cluster, ""),
		Recorder:     &events.FakeRecorder{Events: w.events},
		Kinds:        routeKinds,
		UnknownGrace: time.Minute,
	}
	w.observing(t)
	return w
}

// observing has an Observer begin that knows nothing yet, as after a start.
func (w *world) observing(t *testing.T) {
	t.Helper()
	informers := &informers{handler: make(chan toolscache.ResourceEventHandler, 1)}
	observer := observe.New(t.Context(), observe.Options{
		Subjects: informers, Dynamic: w.observed, Metadata: metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme()), Mapper: w.reconciler.Executor.Mapper, Config: configv1alpha1.Default(),
		Notify: ignore,
	})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { _ = observer.Start(ctx); close(ended) }()
	t.Cleanup(func() { cancel(); <-ended })
	w.subjects = <-informers.handler
	w.reconciler.Observer = observer
}

// ignore is for whom notifications don't matter.
func ignore(types.NamespacedName) {}

func (w *world) reconcileOnce(t *testing.T) (ctrl.Result, error) {
	t.Helper()
	return w.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(aPolicy())})
}

// settled reconciles until the policy's Ready condition is what it is to be, as "status reason: message".
func (w *world) settled(t *testing.T, ready string) *iter8v1alpha1.RoutingPolicy {
	t.Helper()
	var policy *iter8v1alpha1.RoutingPolicy
	w.Eventually(func() string {
		_, _ = w.reconcileOnce(t)
		policy = w.policy(t)
		c := meta.FindStatusCondition(policy.Status.Conditions, iter8v1alpha1.ConditionReady)
		if c == nil {
			return ""
		}
		return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
	}).Should(HavePrefix(ready))
	return policy
}

func (w *world) policy(t *testing.T) *iter8v1alpha1.RoutingPolicy {
	t.Helper()
	policy := &iter8v1alpha1.RoutingPolicy{}
	w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(aPolicy()), policy)).To(Succeed())
	return policy
}

// change changes the policy as its owner would.
func (w *world) change(t *testing.T, change func(*iter8v1alpha1.RoutingPolicy)) {
	t.Helper()
	policy := w.policy(t)
	change(policy)
	policy.Generation++
	w.Expect(w.client.Update(t.Context(), policy)).To(Succeed())
}

// route gives a route of the cluster, nil if there is none.
func (w *world) route(name string) *unstructured.Unstructured {
	return w.object(httpRoutes, name)
}

func (w *world) object(resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	found, err := w.cluster.Tracker().Get(resource, "test", name)
	if err != nil {
		return nil
	}
	return found.(*unstructured.Unstructured)
}

// templated is a policy with a template for each route that it is to apply.
func templated(names ...string) *iter8v1alpha1.RoutingPolicy {
	policy := aPolicy()
	for _, name := range names {
		policy.Spec.Templates = append(policy.Spec.Templates, iter8v1alpha1.InlineTemplate{Name: name, Template: aRoute(name, "")})
	}
	return policy
}

func aDeployment(available metav1.ConditionStatus) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "Deployment",
		"metadata": map[string]any{"namespace": "test", "name": "web-v2", "labels": map[string]any{iter8v1alpha1.DetectLabel: "true"}},
		"status":   map[string]any{"availableReplicas": int64(1), "conditions": []any{map[string]any{"type": "Available", "status": string(available), "reason": "R", "message": "M"}}},
	}}
}
