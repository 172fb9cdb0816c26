package observe

import (
	"context"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/yaml"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/watch"
)

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(20 * time.Second)
	SetDefaultEventuallyPollingInterval(5 * time.Millisecond)
	SetDefaultConsistentlyDuration(100 * time.Millisecond)
	os.Exit(m.Run())
}

var (
	services      = schema.GroupVersionResource{Version: "v1", Resource: "services"}
	deployments   = schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "deployments"}
	sliceResource = schema.GroupVersionResource{Group: "discovery.k8s.io", Version: "v1", Resource: "endpointslices"}
	models        = schema.GroupVersionResource{Group: "example.com", Version: "v1", Resource: "models"}
)

// world is an Observer, the cluster that it observes, and whom it told.
type world struct {
	*WithT
	*Observer
	client   *fake.FakeDynamicClient
	metadata *metadatafake.FakeMetadataClient
	mapper   *mapper
	cache    *informertest.FakeInformers

	mu   sync.Mutex
	told map[types.NamespacedName]int
}

func newWorld(t *testing.T, change ...func(*configv1alpha1.OperatorConfiguration)) *world {
	t.Helper()
	kinds := map[schema.GroupVersionResource]string{
		services: "ServiceList", deployments: "DeploymentList", sliceResource: "EndpointSliceList", models: "ModelList",
	}
	scheme := metadatafake.NewTestScheme()
	g := NewWithT(t)
	g.Expect(metav1.AddMetaToScheme(scheme)).To(Succeed())
	subjects := runtime.NewScheme()
	g.Expect(iter8v1alpha1.AddToScheme(subjects)).To(Succeed())
	w := &world{
		WithT:    g,
		client:   fake.NewSimpleDynamicClientWithCustomListKinds(runtime.NewScheme(), kinds),
		metadata: metadatafake.NewSimpleMetadataClient(scheme),
		mapper:   &mapper{DefaultRESTMapper: meta.NewDefaultRESTMapper(nil)},
		cache:    &informertest.FakeInformers{Scheme: subjects},
		told:     map[types.NamespacedName]int{},
	}
	for resource, list := range kinds {
		w.mapper.serve(resource, strings.TrimSuffix(list, "List"))
	}
	config := configv1alpha1.Default()
	for _, c := range change {
		c(&config)
	}
	w.Observer = New(t.Context(), Options{
		Subjects: w.cache, Dynamic: w.client, Metadata: w.metadata, Mapper: w.mapper, Config: config,
		Notify: func(subject types.NamespacedName) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.told[subject]++
		},
	})
	t.Cleanup(w.unlabelled.queue.ShutDown) // whose goroutines have no context
	return w
}

// mapper serves the kinds that a test says, from when it says so.
type mapper struct {
	*meta.DefaultRESTMapper
	mu sync.RWMutex
}

func (m *mapper) serve(resource schema.GroupVersionResource, kind string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	singular := resource
	singular.Resource = strings.ToLower(kind)
	m.AddSpecific(resource.GroupVersion().WithKind(kind), resource, singular, meta.RESTScopeNamespace)
}

func (m *mapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.DefaultRESTMapper.RESTMapping(kind, versions...)
}

func manifest(t gomegatypes.Gomega, text string) *unstructured.Unstructured {
	data, err := yaml.YAMLToJSON([]byte(text))
	t.Expect(err).NotTo(HaveOccurred())
	u := &unstructured.Unstructured{}
	t.Expect(utiljson.Unmarshal(data, &u.Object)).To(Succeed())
	if u.GetNamespace() == "" {
		u.SetNamespace("test")
	}
	return u
}

// labelled gives an object that is watched.
func (w *world) labelled(text string) *unstructured.Unstructured {
	u := manifest(w, text)
	labels := map[string]string{iter8v1alpha1.DetectLabel: "true"}
	maps.Copy(labels, u.GetLabels())
	u.SetLabels(labels)
	return u
}

func (w *world) create(resource schema.GroupVersionResource, text string) {
	u := w.labelled(text)
	_, err := w.client.Resource(resource).Namespace(u.GetNamespace()).Create(context.Background(), u, metav1.CreateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
}

func (w *world) update(resource schema.GroupVersionResource, text string) {
	u := w.labelled(text)
	_, err := w.client.Resource(resource).Namespace(u.GetNamespace()).Update(context.Background(), u, metav1.UpdateOptions{})
	w.Expect(err).NotTo(HaveOccurred())
}

func (w *world) delete(resource schema.GroupVersionResource, name string) {
	w.Expect(w.client.Resource(resource).Namespace("test").Delete(context.Background(), name, metav1.DeleteOptions{})).To(Succeed())
}

// times gives how often a Subject was told of.
func (w *world) times(subject *iter8v1alpha1.Subject) func() int {
	return func() int {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.told[nameOf(subject)]
	}
}

// state polls the only variant of a Subject.
func (w *world) state(subject *iter8v1alpha1.Subject) func() Variant {
	return func() Variant { return w.Observe(subject).Variants[0] }
}

// judged polls it without the time that it couldn't be read since, of which there are tests of their own.
func (w *world) judged(subject *iter8v1alpha1.Subject) func() Variant {
	return func() Variant {
		variant := w.state(subject)()
		variant.UnreadableSince = time.Time{}
		return variant
	}
}

// targetOf is what is watched for a reference.
func targetOf(ref iter8v1alpha1.ResourceReference) watch.Target {
	return resourceName("test", &ref).Target
}

func nameOf(subject *iter8v1alpha1.Subject) types.NamespacedName {
	return types.NamespacedName{Namespace: subject.Namespace, Name: subject.Name}
}

// subject has one variant of some resources.
func subject(name string, resources ...iter8v1alpha1.ResourceReference) *iter8v1alpha1.Subject {
	return &iter8v1alpha1.Subject{
		ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: name},
		Spec:       iter8v1alpha1.SubjectSpec{Variants: []iter8v1alpha1.Variant{{Name: "v1", Resources: resources}}},
	}
}

func service(name string) iter8v1alpha1.ResourceReference {
	return iter8v1alpha1.ResourceReference{APIVersion: "v1", Kind: "Service", Name: name}
}

func deployment(name string) iter8v1alpha1.ResourceReference {
	return iter8v1alpha1.ResourceReference{APIVersion: "apps/v1", Kind: "Deployment", Name: name}
}

func model(name string) iter8v1alpha1.ResourceReference {
	return iter8v1alpha1.ResourceReference{APIVersion: "example.com/v1", Kind: "Model", Name: name}
}

func withCEL(ref iter8v1alpha1.ResourceReference, expression string) iter8v1alpha1.ResourceReference {
	ref.ReadyWhen = &iter8v1alpha1.ReadyWhen{CEL: expression}
	return ref
}

// aDeployment with a condition Available.
func aDeployment(name, available string) string {
	return "{apiVersion: apps/v1, kind: Deployment, metadata: {name: " + name + "}, spec: {replicas: 2}, " +
		"status: {availableReplicas: 1, conditions: [{type: Available, status: '" + available + "', reason: Why, message: because}]}}"
}

func aService(name, selector string) string {
	return "{apiVersion: v1, kind: Service, metadata: {name: " + name + "}, spec: {selector: {" + selector + "}}}"
}

// aSlice of one endpoint of a Service.
func aSlice(name, service, ready string) string {
	return "{apiVersion: discovery.k8s.io/v1, kind: EndpointSlice, metadata: {name: " + name + ", labels: {kubernetes.io/service-name: " + service +
		"}}, endpoints: [{addresses: [10.0.0.1], conditions: {ready: " + ready + "}}]}"
}
