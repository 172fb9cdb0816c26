package routingpolicy

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestKindsThatCanNotBeWatched(t *testing.T) {
	forbidden := func(resource schema.GroupVersionResource) func(*world) {
		return func(w *world) {
			w.cluster.PrependReactor("list", resource.Resource, func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(resource.GroupResource(), "", errors.New("not you"))
			})
		}
	}
	for name, test := range map[string]struct {
		spoil func(*world)
		// listed is an object that was applied, and isn't rendered any more.
		listed  iter8v1alpha1.AppliedObject
		ready   string
		applied bool
	}{
		"what is rendered may not be read": {forbidden(httpRoutes), iter8v1alpha1.AppliedObject{APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Name: "web", UID: "u"},
			"False WatchFailed: HTTPRoute.gateway.networking.k8s.io can't be watched: may not list httproutes.gateway.networking.k8s.io", false},
		"what left the render may not be read": {forbidden(deployments), iter8v1alpha1.AppliedObject{APIVersion: "apps/v1", Kind: "Deployment", Name: "old", UID: "u"},
			"False WatchFailed: Deployment.apps can't be watched: may not list deployments.apps", false},
		"the kind of what left the render is gone": {func(*world) {}, iter8v1alpha1.AppliedObject{APIVersion: "networking.istio.io/v1beta1", Kind: "VirtualService", Name: "old", UID: "u"},
			"True Succeeded: 1 object applied", true},
	} {
		t.Run(name, func(t *testing.T) {
			policy := templated("web")
			policy.Status.Applied = []iter8v1alpha1.AppliedObject{test.listed}
			w := newWorld(t, simple(), policy)
			test.spoil(w)
			got := w.settled(t, test.ready)
			if test.applied {
				w.Expect(got.Status.Applied).To(HaveExactElements(HaveField("Name", "web")))
				w.Expect(w.route("web")).NotTo(BeNil())
			} else {
				w.Expect(got.Status.Applied).To(Equal(policy.Status.Applied))
				w.Expect(w.route("web")).To(BeNil())
			}
		})
	}
}

func TestWhatIsTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*testing.T, *world)
		err   string
	}{
		"a Subject that the cache doesn't give": {func(_ *testing.T, w *world) {
			w.reconciler.Client = interceptor.NewClient(w.client.(client.WithWatch), interceptor.Funcs{
				Get: func(ctx context.Context, c client.WithWatch, key client.ObjectKey, object client.Object, options ...client.GetOption) error {
					if _, ok := object.(*iter8v1alpha1.Subject); ok {
						return errors.New("the cache is not started")
					}
					return c.Get(ctx, key, object, options...)
				},
			})
		}, "the cache is not started"},
		"an account that has no client": {func(t *testing.T, w *world) {
			policy := w.policy(t)
			policy.Spec.ServiceAccountName = "router"
			w.Expect(w.client.Update(t.Context(), policy)).To(Succeed())
		}, "making a client for ServiceAccount test/router"},
		"an inventory that can't be recorded": {func(_ *testing.T, w *world) {
			w.answer("status web?", errors.New("etcd is unwell"))
		}, "recording what is about to be applied: etcd is unwell"},
		"an inventory whose kind isn't served just now": {func(_ *testing.T, w *world) {
			w.answer("status web?", apierrors.NewGenericServerResponse(404, "patch", schema.GroupResource{Resource: "routingpolicies"}, "policy", "404 page not found", 0, true))
		}, "recording what is about to be applied: "},
		"not a policy that has gone": {func(_ *testing.T, w *world) {
			w.answer("status web?", apierrors.NewNotFound(schema.GroupResource{Resource: "routingpolicies"}, "policy"))
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simple(), templated("web"))
			kind := httpRoutes.GroupVersion().WithKind("HTTPRoute")
			s := newScope(templated("web"), now.Time)
			s.manifests = append(s.manifests, manifest(t, aRoute("web", "")))
			w.Eventually(func() bool {
				w.reconciler.followRoutes(t.Context(), s)
				return w.reconciler.Routes.State(kind, "test").Synced
			}).Should(BeTrue())
			test.spoil(t, w)
			result, err := w.reconcileOnce(t)
			w.Expect(result).To(Equal(ctrl.Result{}))
			if test.err == "" {
				w.Expect(err).NotTo(HaveOccurred())
			} else {
				w.Expect(err).To(MatchError(ContainSubstring(test.err)))
			}
			w.Expect(w.route("web")).To(BeNil())
		})
	}
}

func TestARightToRoutesThatIsTakenAwayIsSaid(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	w.settled(t, "True Succeeded")
	w.cluster.PrependWatchReactor("httproutes", func(clienttesting.Action) (bool, apiwatch.Interface, error) {
		return true, nil, apierrors.NewForbidden(httpRoutes.GroupResource(), "", errors.New("not you"))
	})
	w.restarted(t)
	policy := w.settled(t, "False WatchFailed: HTTPRoute.gateway.networking.k8s.io can't be watched any more: may not watch httproutes")
	w.Expect(meta.IsStatusConditionTrue(policy.Status.Conditions, "Reconciling")).To(BeTrue())
	w.Expect(policy.Status.Applied).To(HaveLen(1), "what stands stays")
}

// A namespace that is being deleted takes its objects away in any order, and may wait for long then.
func TestAPolicyIsNotReadyWhereItsNamespaceTakesItsRoutesAway(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	w.subjects.OnAdd(simple(), false)
	w.settled(t, "True Succeeded")
	going := apierrors.NewForbidden(httpRoutes.GroupResource(), "web", errors.New("because it is being terminated"))
	going.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	w.answer("apply web", going)
	w.Expect(w.cluster.Tracker().Delete(httpRoutes, "test", "web")).To(Succeed())
	const ready = "False NamespaceTerminating: namespace test is being deleted, and takes no new objects"
	w.settled(t, ready)
	w.written()
	for range 3 {
		result, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(result.RequeueAfter).To(BeZero())
	}
	w.Expect(w.written()).NotTo(ContainElement(HavePrefix("status")))
	w.Expect(w.events).NotTo(Receive(), "a namespace that goes takes no Events")
}
