package observe

import (
	"testing"

	. "github.com/onsi/gomega"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
)

func TestAResourceInANamespaceThatIsNotWatchedIsInvalid(t *testing.T) {
	w := newWorld(t, func(c *configv1alpha1.OperatorConfiguration) {
		c.AllowCrossNamespaceReferences = true
		c.WatchNamespaces = []string{"test"}
	})
	ref := deployment("good")
	ref.Namespace = "elsewhere"
	s := subject("web", ref)
	w.observed(s)
	w.Expect(w.state(s)()).To(Equal(Variant{Name: "v1", State: Invalid, WeightUnread: true,
		Problems: []Problem{{Invalid, "Deployment good is in namespace elsewhere, which this operator does not watch"}}}))
}
