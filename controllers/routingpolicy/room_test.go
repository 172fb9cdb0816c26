package routingpolicy

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// fifty renders 50 routes, PREFIX-0 to PREFIX-49.
func fifty(prefix string) func(*iter8v1alpha1.RoutingPolicy) {
	return func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Templates[0].Template = "{{ range until 50 }}\n---\n" + aRoute(prefix+"-{{ . }}", "") + "{{ end }}"
	}
}

// stand counts the routes of a prefix that the cluster holds.
func (w *world) stand(prefix string) int {
	n := 0
	for i := range 50 {
		if w.route(fmt.Sprintf("%s-%d", prefix, i)) != nil {
			n++
		}
	}
	return n
}

func TestAPolicyWhoseInventoryIsFullGoesOnOnceObjectsCanBeDeleted(t *testing.T) {
	policy := templated("web")
	fifty("a")(policy)
	w := newWorld(t, simple(), policy)
	w.settled(t, "True Succeeded: 50 objects applied")
	w.answer("delete", errors.New("not today"))
	w.change(t, fifty("b"))
	w.Expect(w.settled(t, "False PruneFailed: deleting HTTPRoute a-").Status.Applied).To(HaveLen(100))

	w.change(t, fifty("c"))
	got := w.settled(t, "False PruneFailed: the inventory, status.applied, lists 100 objects and can list 128, "+
		"so that none of the 50 new ones is applied until 22 that left the render are gone; deleting HTTPRoute a-")
	w.Expect(got.Status.Applied).To(HaveLen(100))
	w.Expect([]int{w.stand("a"), w.stand("b"), w.stand("c")}).To(Equal([]int{50, 50, 0}), "what stood stands")
	_, err := w.reconcileOnce(t)
	w.Expect(err).To(MatchError(And(ContainSubstring("can list 128"), ContainSubstring("not today"))), "it is tried again")

	w.written()
	w.answer("delete", nil)
	_, err = w.reconcileOnce(t)
	w.Expect(err).To(MatchError(ContainSubstring("can list 128")), "it goes on at once, now that there is room")
	w.settled(t, "True Succeeded: 50 objects applied")
	w.Expect([]int{w.stand("a"), w.stand("b"), w.stand("c")}).To(Equal([]int{0, 0, 50}))
	w.Expect(w.policy(t).Status.Applied).To(HaveLen(50))
	writes := w.written()
	first := func(prefix string) int {
		return slices.IndexFunc(writes, func(write string) bool { return strings.HasPrefix(write, prefix) })
	}
	w.Expect(first("delete a-")).To(BeNumerically("<", first("apply c-")), "the oldest make room")
	w.Expect(first("apply c-")).To(BeNumerically("<", first("delete b-")), "what was applied last stands until what takes its place does")
}
