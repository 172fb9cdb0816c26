package controller

import (
	"context"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// subjectConfigMap is a subject of Iter8's, as its mirroring tutorial has it.
func subjectConfigMap() *corev1.ConfigMap {
	immutable := true
	return &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "httpbin", UID: "1", Labels: map[string]string{
			"app.kubernetes.io/managed-by": "iter8", "iter8.tools/kind": "subject", "iter8.tools/version": "v0.14",
		}},
		Immutable: &immutable,
		Data:      map[string]string{"spec": "variants:\n- resources:\n  - {gvrShort: svc, name: httpbin-v1, namespace: test}\n"},
	}
}

// converting returns a Reconciler in a cluster that holds the ConfigMap and answers to a creation with an error.
func converting(answer error) *Reconciler {
	scheme := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(scheme))
	utilruntime.Must(iter8v1alpha1.AddToScheme(scheme))
	return &Reconciler{
		Client: fake.NewClientBuilder().WithScheme(scheme).WithObjects(subjectConfigMap()).WithInterceptorFuncs(interceptor.Funcs{
			Create: func(ctx context.Context, c client.WithWatch, object client.Object, options ...client.CreateOption) error {
				if answer != nil {
					return answer
				}
				return c.Create(ctx, object, options...)
			},
		}).Build(),
		Recorder: events.NewFakeRecorder(10),
	}
}

func TestAConfigMapInANamespaceOnItsWayOutIsLeftToIt(t *testing.T) {
	g := NewWithT(t)
	terminating := apierrors.NewForbidden(schema.GroupResource{Group: "iter8.tools", Resource: "subjects"}, "httpbin", errors.New("it is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	request := ctrl.Request{NamespacedName: client.ObjectKeyFromObject(subjectConfigMap())}
	g.Expect(converting(terminating).Reconcile(t.Context(), request)).To(Equal(ctrl.Result{}), "not tried again")

	_, err := converting(errors.New("no answer")).Reconcile(t.Context(), request)
	g.Expect(err).To(MatchError(ContainSubstring("creating Subject test/httpbin: no answer")), "any other fault is")

	subjects := schema.GroupResource{Group: "iter8.tools", Resource: "subjects"}
	for _, behind := range []error{apierrors.NewAlreadyExists(subjects, "httpbin"), apierrors.NewConflict(subjects, "httpbin", errors.New("it has been modified"))} {
		g.Expect(converting(behind).Reconcile(t.Context(), request)).To(Equal(ctrl.Result{RequeueAfter: 500 * time.Millisecond}), "a cache that is behind is none")
	}

	r := converting(nil)
	g.Expect(r.Reconcile(t.Context(), request)).To(Equal(ctrl.Result{}))
	g.Expect(r.Client.Get(t.Context(), request.NamespacedName, &iter8v1alpha1.Subject{})).To(Succeed(), "the ConfigMap is one that is converted")
}
