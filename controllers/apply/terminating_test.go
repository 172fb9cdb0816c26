package apply

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestAnothersObjectThatIsBeingDeletedIsWaitedFor(t *testing.T) {
	for name, existing := range map[string]Existing{
		"another controller's":     {Terminating: true, Controller: &metav1.OwnerReference{Kind: "Deployment", Name: "a"}},
		"no controller's":          {Terminating: true},
		"one that was handed over": {Terminating: true, Adopt: true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			result := w.execute(t, w.plan(routesNamed("web"), nil, map[string]*Existing{"web": &existing}))
			w.Expect(result.Failures).To(Equal([]Failure{{Reason: iter8v1alpha1.ReasonTerminating,
				Message: "HTTPRoute web, which does not belong to this policy, is being deleted; it is applied once that is gone"}}))
			w.Expect(result.Inventory).To(BeEmpty())
			w.Expect(w.calls()).To(BeEmpty())
		})
	}
}
