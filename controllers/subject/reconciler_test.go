package subject

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	dynamicfake "k8s.io/client-go/dynamic/fake"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/notify"
	"iter8.tools/operator/controllers/observe"
)

// world is a Reconciler and the cluster that it works on. Variants of its Subjects have no resources, so that
// they are available, or ones that nobody watches, so that they are pending.
type world struct {
	*WithT
	reconciler *Reconciler
	client     client.Client
	// writes counts the status patches, which fail with refusal.
	writes  int
	onWrite func(context.Context)
	refusal error
	// cached is what the cache shows, if that isn't what the cluster holds; unread is its error.
	cached *iter8v1alpha1.Subject
	unread error
}

func newWorld(t *testing.T, objects ...client.Object) *world {
	t.Helper()
	scheme := runtime.NewScheme()
	w := &world{WithT: NewWithT(t)}
	w.Expect(iter8v1alpha1.AddToScheme(scheme)).To(Succeed())
	w.client = fake.NewClientBuilder().WithScheme(scheme).WithObjects(objects...).WithStatusSubresource(&iter8v1alpha1.Subject{}).
		WithInterceptorFuncs(interceptor.Funcs{
			Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
				if w.unread != nil {
					return w.unread
				}
				if w.cached != nil {
					w.cached.DeepCopyInto(object.(*iter8v1alpha1.Subject))
					return nil
				}
				return c.Get(ctx, key, object, options...)
			},
			SubResourcePatch: func(ctx context.Context, c client.Client, _ string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
				w.writes++
				if w.onWrite != nil {
					w.onWrite(ctx)
				}
				if w.refusal != nil {
					return w.refusal
				}
				return c.Status().Patch(ctx, object, patch, options...)
			},
		}).Build()
	observer := observe.New(t.Context(), observe.Options{
		Dynamic: dynamicfake.NewSimpleDynamicClient(runtime.NewScheme()),
		Mapper:  meta.NewDefaultRESTMapper(nil),
		Config:  configv1alpha1.Default(),
	})
	w.reconciler = &Reconciler{Client: w.client, Observer: observer, Subjects: &notify.Notifier{}}
	return w
}

func (w *world) reconcile(t *testing.T) error {
	t.Helper()
	result, err := w.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(web())})
	w.Expect(result).To(Equal(ctrl.Result{}), "nothing is done but by events and backoff")
	return err
}

func (w *world) stored(t *testing.T) *iter8v1alpha1.Subject {
	t.Helper()
	s := &iter8v1alpha1.Subject{}
	w.cached = nil
	w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(web()), s)).To(Succeed())
	return s
}

// web is a Subject with two variants.
func web() *iter8v1alpha1.Subject {
	s := subject()
	s.UID = "u"
	s.Spec.Variants = []iter8v1alpha1.Variant{{Name: "v1"}, {Name: "v2"}}
	return s
}

func TestTheStatusIsWrittenOnceAndAgainOnlyWhereItDiffers(t *testing.T) {
	w := newWorld(t, web())
	w.Expect(w.reconcile(t)).To(Succeed())
	s := w.stored(t)
	w.Expect(s.Status.Available).To(Equal("2/2"))
	w.Expect(s.Status.ObservedGeneration).To(BeEquivalentTo(3))
	w.Expect(w.writes).To(Equal(1))
	w.Expect(w.reconcile(t)).To(Succeed())
	w.Expect(w.writes).To(Equal(1), "nothing has changed")

	s.Spec.Variants = s.Spec.Variants[:1]
	w.Expect(w.client.Update(t.Context(), s)).To(Succeed())
	w.Expect(w.reconcile(t)).To(Succeed())
	w.Expect(w.stored(t).Status.Available).To(Equal("1/1"))
	w.Expect(w.writes).To(Equal(2))
}

func TestASubjectIsLookedAtOnceInAWhileWhichCostsNothing(t *testing.T) {
	w := newWorld(t, web())
	w.reconciler.Resync = 20 * time.Minute
	for range 10 {
		result, err := w.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(web())})
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(result.RequeueAfter).To(And(BeNumerically(">=", 10*time.Minute), BeNumerically("<=", 30*time.Minute)))
	}
	w.Expect(w.writes).To(Equal(1), "of the first")

	s := w.stored(t)
	s.Status.Available = "0/2"
	w.Expect(w.client.Status().Update(t.Context(), s)).To(Succeed())
	_, err := w.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(web())})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.stored(t).Status.Available).To(Equal("2/2"), "what was missed is put right")
}

func TestAStatusIsNotWaitedForForGood(t *testing.T) {
	w := newWorld(t, web())
	w.onWrite = func(ctx context.Context) {
		deadline, bounded := ctx.Deadline()
		w.Expect(bounded).To(BeTrue())
		w.Expect(time.Until(deadline)).To(BeNumerically("<=", 35*time.Second))
	}
	w.Expect(w.reconcile(t)).To(Succeed())
	w.Expect(w.writes).To(Equal(1))
}

func TestACacheThatLagsHasNothingWrittenTwice(t *testing.T) {
	w := newWorld(t, web())
	lagging := w.stored(t)
	w.Expect(w.reconcile(t)).To(Succeed())
	w.cached = lagging
	w.Expect(w.reconcile(t)).To(Succeed())
	w.Expect(w.writes).To(Equal(1))
}

func TestAStatusIsNotWrittenOverOneThatTheCacheDoesNotShow(t *testing.T) {
	w := newWorld(t, web())
	lagging := w.stored(t)
	other := w.stored(t)
	other.Status.Available = "another replica's"
	w.Expect(w.client.Status().Update(t.Context(), other)).To(Succeed())
	w.cached = lagging
	result, err := w.reconciler.Reconcile(t.Context(), ctrl.Request{NamespacedName: client.ObjectKeyFromObject(web())})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(result).To(Equal(ctrl.Result{RequeueAfter: conflictRetry}))
	w.Expect(w.stored(t).Status.Available).To(Equal("another replica's"))

	w.Expect(w.reconcile(t)).To(Succeed(), "now that the cache shows it")
	w.Expect(w.stored(t).Status.Available).To(Equal("2/2"))
}

func TestASubjectThatIsStillReadIsLeftAlone(t *testing.T) {
	s := web()
	s.Spec.Variants[1].Resources = []iter8v1alpha1.ResourceReference{{APIVersion: "v1", Kind: "Service", Name: "nobody-watches-this"}}
	w := newWorld(t, s)
	w.Expect(w.reconcile(t)).To(Succeed())
	w.Expect(w.writes).To(BeZero())
}

func TestASubjectThatGoesIsLeftAlone(t *testing.T) {
	s := web()
	s.Finalizers = []string{"example.com/stay"}
	s.DeletionTimestamp = &metav1.Time{Time: then.Time}
	w := newWorld(t, s)
	w.Expect(w.reconcile(t)).To(Succeed())
	w.Expect(w.writes).To(BeZero())
}

func TestASubjectThatIsGoneIsForgotten(t *testing.T) {
	w := newWorld(t, web())
	lagging := w.stored(t)
	w.Expect(w.reconcile(t)).To(Succeed())
	w.Expect(w.client.Delete(t.Context(), web())).To(Succeed())
	w.Expect(w.reconcile(t)).To(Succeed())
	w.Expect(w.writes).To(Equal(1))
	w.Expect(w.reconciler.written.Latest(lagging)).To(BeIdenticalTo(lagging))
}

func TestASubjectThatCanNotBeReadIsNotForgotten(t *testing.T) {
	w := newWorld(t, web())
	lagging := w.stored(t)
	w.Expect(w.reconcile(t)).To(Succeed())
	w.unread = errors.New("the cache is not started")
	w.Expect(w.reconcile(t)).To(MatchError("the cache is not started"))
	w.unread, w.cached = nil, lagging
	w.Expect(w.reconcile(t)).To(Succeed())
	w.Expect(w.writes).To(Equal(1), "nothing has changed")
}

func TestAStatusThatCanNotBeWritten(t *testing.T) {
	resource := schema.GroupResource{Group: "iter8.tools", Resource: "subjects"}
	for name, test := range map[string]struct {
		refusal error
		message string
	}{
		"the apiserver refuses": {errors.New("no"), "writing the status of Subject test/web: no"},
		"its kind is not served just now": {apierrors.NewGenericServerResponse(404, "patch", resource, "web", "404 page not found", 0, true),
			"writing the status of Subject test/web: the server could not find the requested resource (patch subjects.iter8.tools web)"},
		"the Subject has gone since then": {apierrors.NewNotFound(resource, "web"), ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, web())
			w.refusal = test.refusal
			err := w.reconcile(t)
			if test.message == "" {
				w.Expect(err).NotTo(HaveOccurred())
			} else {
				w.Expect(err).To(MatchError(test.message))
			}
			w.refusal = nil
			w.Expect(w.reconcile(t)).To(Succeed())
			w.Expect(w.writes).To(Equal(2), "what failed counts as not written")
			w.Expect(w.stored(t).Status.Available).To(Equal("2/2"))
		})
	}
}
