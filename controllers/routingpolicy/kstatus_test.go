package routingpolicy

import (
	"errors"
	"fmt"
	"testing"

	kstatus "github.com/fluxcd/cli-utils/pkg/kstatus/status"
	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// computed returns what kstatus makes of a policy, by which Flux and others wait.
func computed(g *WithT, policy *iter8v1alpha1.RoutingPolicy) kstatus.Status {
	object, err := runtime.DefaultUnstructuredConverter.ToUnstructured(policy)
	g.Expect(err).NotTo(HaveOccurred())
	result, err := kstatus.Compute(&unstructured.Unstructured{Object: object})
	g.Expect(err).NotTo(HaveOccurred())
	return result.Status
}

// generations sums a policy up as "kstatus: generation, observed generation, Ready with the generation that it is of".
func generations(g *WithT, policy *iter8v1alpha1.RoutingPolicy) string {
	ready := "not judged"
	if c := meta.FindStatusCondition(policy.Status.Conditions, iter8v1alpha1.ConditionReady); c != nil {
		ready = fmt.Sprintf("%s of %d", c.Status, c.ObservedGeneration)
	}
	return fmt.Sprintf("%s: %d, %d, %s", computed(g, policy), policy.Generation, policy.Status.ObservedGeneration, ready)
}

// While a spec is worked on, the status is that of the one before.
func TestAStatusIsOfTheSpecThatWasActedOn(t *testing.T) {
	policy := templated("one")
	policy.Status.ObservedGeneration = -1 // by the CRD's default
	w := newWorld(t, simple(), policy)
	w.subjects.OnAdd(simple(), false)
	var atApply []string
	w.webhook = func(u *unstructured.Unstructured) {
		atApply = append(atApply, u.GetName()+" "+generations(w.WithT, w.policy(t)))
	}
	w.Expect(generations(w.WithT, w.policy(t))).To(Equal("InProgress: 3, -1, not judged"))
	w.settled(t, "True Succeeded")
	w.Expect(generations(w.WithT, w.policy(t))).To(Equal("Current: 3, 3, True of 3"))

	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates = templated("one", "two").Spec.Templates })
	w.settled(t, "True Succeeded: 2 objects applied")
	w.Expect(generations(w.WithT, w.policy(t))).To(Equal("Current: 4, 4, True of 4"))
	w.Expect(atApply).To(Equal([]string{"one InProgress: 3, -1, not judged", "two InProgress: 4, 3, True of 3"}), "the inventory is announced, and nothing else")

	w.answer("apply three", errors.New("timeout"))
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Templates = templated("one", "two", "three").Spec.Templates
	})
	w.settled(t, "False ApplyFailed")
	w.Expect(generations(w.WithT, w.policy(t))).To(Equal("InProgress: 5, 5, False of 5"))
	w.answer("apply three", nil)
	w.settled(t, "True Succeeded: 3 objects applied")

	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates[0].Template = "{{" })
	w.settled(t, "False RenderFailed")
	w.Expect(generations(w.WithT, w.policy(t))).To(Equal("Failed: 6, 6, False of 6"))
}
