package routingpolicy

import (
	"testing"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/render"
)

// templateOf is an inline template of the route web.
func templateOf(rules string) string {
	return `{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "web"}, "spec": {"rules": ` + rules + `}}`
}

func TestNothingIsRenderedWhereNothingHasChanged(t *testing.T) {
	const applied = "True Succeeded: 1 object applied for v1 available, v2 available, v3 available"
	for name, test := range map[string]struct {
		meanwhile func(*testing.T, *world)
		renders   int
		ready     string
		writes    []string
	}{
		"nothing has": {func(*testing.T, *world) {}, 0, applied, nil},
		"the operator has started again": {func(t *testing.T, w *world) {
			w.startedAgain(t, threeVariants())
			for _, name := range []string{"v1", "v2", "v3"} {
				w.observedAs(t, name, true)
			}
		}, 0, applied, nil},
		"the operator is another one": {func(_ *testing.T, w *world) { w.reconciler.Build = "another" }, 1, applied, []string{"status web"}},
		"the policy asks for something else": {func(t *testing.T, w *world) {
			w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates[0].Template = templateOf(rulesOf(toV2, "")) })
		}, 1, applied, []string{"apply web", "status web"}},
		"a variant has gone": {func(t *testing.T, w *world) { w.goes(t, "v2") }, 1,
			"True Succeeded: no mirror to web-v2:80: Service web-v2 does not exist", []string{"apply web", "status web"}},
	} {
		t.Run(name, func(t *testing.T) {
			policy := mirroring()
			policy.Spec.Chart, policy.Spec.Values = nil, nil
			policy.Spec.Templates = []iter8v1alpha1.InlineTemplate{{Name: "web", Template: templateOf(rulesOf(toV2, toV3))}}
			w := newMirroredBy(t, policy)
			w.settled(t, applied)
			w.written()
			worker := &answering{} // of templates
			test.meanwhile(t, w)
			w.reconciler.Renders = render.NewMemory(worker)
			w.Eventually(func() string {
				_, err := w.reconcileOnce(t)
				w.Expect(err).NotTo(HaveOccurred())
				return w.ready(t)
			}).Should(Equal(test.ready))
			w.Expect(worker.asked).To(Equal(test.renders))
			w.Expect(w.written()).To(HaveExactElements(test.writes))
		})
	}
}
