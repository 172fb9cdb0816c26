package subject

import (
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	metadatafake "k8s.io/client-go/metadata/fake"
	"k8s.io/client-go/rest"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllertest"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/observe"
)

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(20 * time.Second)
	os.Exit(m.Run())
}

// informer of Subjects, whose events a test makes.
type informer struct {
	*controllertest.FakeInformer

	mu       sync.Mutex
	handlers int
	// existing are what handlers are told of that come later.
	existing []metav1.Object
}

func (i *informer) AddEventHandler(handler toolscache.ResourceEventHandler) (toolscache.ResourceEventHandlerRegistration, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.handlers++
	for _, object := range i.existing {
		handler.OnAdd(object, true)
	}
	return i.FakeInformer.AddEventHandler(handler)
}

func (i *informer) AddEventHandlerWithOptions(handler toolscache.ResourceEventHandler, _ toolscache.HandlerOptions) (toolscache.ResourceEventHandlerRegistration, error) {
	return i.AddEventHandler(handler)
}

func (i *informer) Add(object metav1.Object) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.existing = append(i.existing, object)
	i.FakeInformer.Add(object)
}

func (i *informer) Update(before, after metav1.Object) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.FakeInformer.Update(before, after)
}

// added polls how many handlers there are.
func (i *informer) added() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.handlers
}

// managed is a manager whose cache has that informer.
func (w *world) managed(subjects *informer) (ctrl.Manager, cache.Cache) {
	scheme := w.client.Scheme()
	informers := &informertest.FakeInformers{Scheme: scheme, InformersByGVK: map[schema.GroupVersionKind]toolscache.SharedIndexInformer{
		iter8v1alpha1.GroupVersion.WithKind("Subject"): subjects,
	}}
	mgr, err := ctrl.NewManager(&rest.Config{Host: "nowhere"}, ctrl.Options{
		Scheme:         scheme,
		Metrics:        metricsserver.Options{BindAddress: "0"},
		NewCache:       func(*rest.Config, cache.Options) (cache.Cache, error) { return informers, nil },
		NewClient:      func(*rest.Config, client.Options) (client.Client, error) { return w.client, nil },
		MapperProvider: func(*rest.Config, *http.Client) (meta.RESTMapper, error) { return meta.NewDefaultRESTMapper(nil), nil },
	})
	w.Expect(err).NotTo(HaveOccurred())
	return mgr, informers
}

func TestTheStatusFollowsWhatTheObserverTells(t *testing.T) {
	w := newWorld(t, web())
	subjects := &informer{FakeInformer: controllertest.NewFakeInformer(controllertest.Synced)}
	mgr, informers := w.managed(subjects)
	w.reconciler.Observer = observe.New(t.Context(), observe.Options{
		Subjects: informers, Dynamic: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme()), Mapper: meta.NewDefaultRESTMapper(nil),
		Metadata: metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme()), Config: configv1alpha1.Default(),
		Notify: w.reconciler.Subjects.Notify,
	})
	w.Expect(w.reconciler.SetupWithManager(mgr, controller.Options{SkipNameValidation: ptr.To(true)})).To(Succeed())
	w.Expect(mgr.Add(w.reconciler.Observer)).To(Succeed())
	go func() { _ = mgr.Start(t.Context()) }()
	w.Eventually(subjects.added).Should(Equal(2), "the reconciler's, and the observer's")

	before := web()
	before.ResourceVersion = "1"
	subjects.Add(before)
	written := &iter8v1alpha1.Subject{}
	w.Eventually(func() string {
		w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(web()), written)).To(Succeed())
		return written.Status.Available
	}).Should(Equal("2/2"))
	w.Eventually(func() *iter8v1alpha1.Subject { return w.reconciler.written.Latest(before) }).Should(
		HaveField("ResourceVersion", written.ResourceVersion), "what was written counts until the cache shows it")
	subjects.Update(before, written)
	w.Expect(w.reconciler.written.Latest(before)).To(BeIdenticalTo(before))

	emptied := written.DeepCopy()
	emptied.Status = iter8v1alpha1.SubjectStatus{ObservedGeneration: -1}
	w.Expect(w.client.Status().Update(t.Context(), emptied)).To(Succeed())
	subjects.Update(written, emptied)
	w.Eventually(func() iter8v1alpha1.SubjectStatus {
		w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(web()), written)).To(Succeed())
		return written.Status
	}).Should(HaveField("Available", "2/2"), "what another wrote is put right")
}

func TestASubjectThatTheObserverFollowedBeforeIsReportedToo(t *testing.T) {
	w := newWorld(t, web())
	subjects := &informer{FakeInformer: controllertest.NewFakeInformer(controllertest.Synced)}
	mgr, informers := w.managed(subjects)
	observer := observe.New(t.Context(), observe.Options{
		Subjects: informers, Dynamic: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme()), Mapper: meta.NewDefaultRESTMapper(nil),
		Metadata: metadatafake.NewSimpleMetadataClient(metadatafake.NewTestScheme()), Config: configv1alpha1.Default(),
		Notify: w.reconciler.Subjects.Notify,
	})
	w.reconciler.Observer = observer
	go func() { _ = observer.Start(t.Context()) }()
	w.Eventually(subjects.added).Should(Equal(1))
	before := web()
	before.ResourceVersion = "1"
	subjects.Add(before) // no reconciler has subscribed yet

	w.Expect(w.reconciler.SetupWithManager(mgr, controller.Options{SkipNameValidation: ptr.To(true)})).To(Succeed())
	go func() { _ = mgr.Start(t.Context()) }()
	w.Eventually(func() string {
		written := &iter8v1alpha1.Subject{}
		w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(before), written)).To(Succeed())
		return written.Status.Available
	}).Should(Equal("2/2"))
}
