package observe

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
)

func TestTheLabelsByWhichResourcesAreWatched(t *testing.T) {
	for name, test := range map[string]struct {
		legacy bool
		want   []string
	}{
		"the operator's own":                         {false, []string{"iter8.tools/detect=true"}},
		"with Iter8's ConfigMaps, that of Iter8 too": {true, []string{"iter8.tools/detect=true", "iter8.tools/watch=true"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, func(c *configv1alpha1.OperatorConfiguration) { c.Legacy.Enabled = test.legacy })
			w.observed(subject("web", deployment("web")))
			var labels []string
			for _, action := range w.client.Actions() {
				if list, ok := action.(clienttesting.ListActionImpl); ok {
					labels = append(labels, list.ListOptions.LabelSelector)
				}
			}
			w.Expect(labels).To(ConsistOf(test.want))
		})
	}
}

func TestAResourceWithIter8sFinalizerIsReportedOnce(t *testing.T) {
	w := newWorld(t)
	found := make(chan types.NamespacedName, 8)
	kinds := make(chan schema.GroupVersionKind, 8)
	w.onLegacyFinalizer = func(kind schema.GroupVersionKind, resource types.NamespacedName) {
		kinds <- kind
		found <- resource
	}
	carrying := func(name, status string) string {
		return "{apiVersion: apps/v1, kind: Deployment, metadata: {name: " + name + ", finalizers: [example.com/other, iter8.tools/finalizer]}, " +
			"status: {conditions: [{type: Available, status: '" + status + "'}]}}"
	}
	w.create(deployments, carrying("web", "True"))
	w.create(deployments, aDeployment("plain", "True"))
	s := subject("web", deployment("web"))
	w.observed(s)
	w.Eventually(found).Should(Receive(Equal(types.NamespacedName{Namespace: "test", Name: "web"})))
	w.Expect(kinds).To(Receive(Equal(deployments.GroupVersion().WithKind("Deployment"))))

	w.update(deployments, carrying("web", "False"))
	w.Eventually(w.state(s)).Should(HaveField("State", NotReady))
	w.Expect(found).NotTo(Receive(), "it is known already, and the other has none")

	w.update(deployments, carrying("plain", "True"))
	w.Eventually(found).Should(Receive(Equal(types.NamespacedName{Namespace: "test", Name: "plain"})), "one that comes to carry it")
	w.delete(deployments, "web")
	w.Eventually(w.state(s)).Should(HaveField("State", Missing))
	w.Expect(found).NotTo(Receive(), "one that is gone needs nothing")
}
