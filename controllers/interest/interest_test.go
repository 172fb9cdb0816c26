package interest

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
)

func TestWhoCaresAboutWhat(t *testing.T) {
	g := NewWithT(t)
	a, b := types.NamespacedName{Name: "a"}, types.NamespacedName{Name: "b"}
	x := New[string]()
	g.Expect(x.Set(a, []string{"red", "blue"})).To(BeEmpty())
	g.Expect(x.Set(b, []string{"blue", "blue"})).To(BeEmpty())
	g.Expect(x.In("blue")).To(ConsistOf(a, b))
	g.Expect(x.In("green")).To(BeEmpty())
	g.Expect(x.Things()).To(ConsistOf("red", "blue"))

	g.Expect(x.Set(a, []string{"green"})).To(Equal([]string{"red", "blue"}))
	g.Expect(x.In("blue")).To(ConsistOf(b))
	g.Expect(x.Any("red")).To(BeFalse())
	g.Expect(x.Any("green")).To(BeTrue())

	g.Expect(x.Set(a, nil)).To(Equal([]string{"green"}))
	g.Expect(x.Users()).To(ConsistOf(a, b), "also one who cares about nothing")
	g.Expect(x.Forget(a)).To(BeEmpty())
	g.Expect(x.Forget(b)).To(Equal([]string{"blue", "blue"}))
	g.Expect(x.Users()).To(BeEmpty())
	g.Expect(x.Things()).To(BeEmpty())
}
