package observe

import (
	"slices"
	"sync"
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
	var mu sync.Mutex
	var reported []string
	w.onLegacyFinalizer = func(kind schema.GroupVersionKind, resource types.NamespacedName) {
		mu.Lock()
		defer mu.Unlock()
		reported = append(reported, kind.String()+" "+resource.String())
	}
	reports := func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(reported)
	}
	const web, plain = "apps/v1, Kind=Deployment test/web", "apps/v1, Kind=Deployment test/plain"
	w.create(deployments, carryingFinalizer("web", "True"))
	w.create(deployments, aDeployment("plain", "True"))
	s := subject("web", deployment("web"), deployment("plain"))
	w.observed(s)
	w.Eventually(w.state(s)).Should(HaveField("State", Ready))
	w.Eventually(reports).Should(Equal([]string{web}))
	w.Consistently(reports).Should(Equal([]string{web}), "the other has none")

	w.update(deployments, carryingFinalizer("web", "False"))
	w.Eventually(w.state(s)).Should(HaveField("State", NotReady))
	w.Consistently(reports).Should(Equal([]string{web}), "it is known already")

	w.update(deployments, carryingFinalizer("plain", "True"))
	w.Eventually(reports).Should(Equal([]string{web, plain}), "one that comes to carry it")
	w.delete(deployments, "web")
	w.Eventually(w.state(s)).Should(HaveField("State", Missing))
	w.Consistently(reports).Should(Equal([]string{web, plain}), "one that is gone needs nothing")
}

func TestIter8sFinalizerIsNothingToAnOperatorThatKnowsNothingOfIt(t *testing.T) {
	w := newWorld(t)
	w.create(deployments, carryingFinalizer("web", "True"))
	s := subject("web", deployment("web"))
	w.observed(s)
	w.Eventually(w.state(s)).Should(HaveField("State", Ready))
	told := w.quiet(s)
	w.update(deployments, carryingFinalizer("web", "False"))
	w.Eventually(w.times(s)).Should(Equal(told + 1))
}

// carryingFinalizer is a Deployment as Iter8's controller left it.
func carryingFinalizer(name, available string) string {
	return "{apiVersion: apps/v1, kind: Deployment, metadata: {name: " + name + ", finalizers: [example.com/other, iter8.tools/finalizer]}, " +
		"status: {availableReplicas: 1, conditions: [{type: Available, status: '" + available + "'}]}}"
}
