package routingpolicy

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// TestNothingIsDecidedWhileAVariantIsBeingRead has the routes read all the while, so that nothing but the variant
// is waited for.
func TestNothingIsDecidedWhileAVariantIsBeingRead(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	before := w.settled(t, "True Succeeded: 1 object applied for v1 available")
	w.written()

	subject := &iter8v1alpha1.Subject{}
	w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(simple()), subject)).To(Succeed())
	subject.Spec.Variants[0].Resources = []iter8v1alpha1.ResourceReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web-v2"}}
	w.Expect(w.client.Update(t.Context(), subject)).To(Succeed())
	w.Expect(w.reconciler.Observer.Observe(subject).Pending()).To(BeTrue(), "the observer has not been told of the Deployment")
	result, err := w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(result).To(Equal(ctrl.Result{}), "an event tells of the end")
	w.Expect(w.written()).To(BeEmpty())
	w.Expect(w.policy(t).Status).To(Equal(before.Status))

	w.Expect(w.cluster.Tracker().Create(deployments, aDeployment(metav1.ConditionFalse), "test")).To(Succeed())
	w.subjects.OnAdd(subject, false)
	w.settled(t, "True Succeeded: 1 object applied for v1 not available")
}

func TestNothingIsDecidedWhileRoutesAreBeingRead(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	w.cluster.PrependReactor("list", "httproutes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	for range 3 {
		result, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(result).To(Equal(ctrl.Result{}), "an event tells of the end")
	}
	w.Expect(w.written()).To(BeEmpty())
	w.cluster.Lock()
	w.cluster.ReactionChain = w.cluster.ReactionChain[1:]
	w.cluster.Unlock()
	w.settled(t, "True Succeeded: 1 object applied")
}
