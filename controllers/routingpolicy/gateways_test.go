package routingpolicy

import (
	"errors"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/gateways"
	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// edged is a route that attaches to the Gateway edge, with filters.
func edged(filters ...string) string {
	return "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}, " +
		"spec: {parentRefs: [{name: edge}], rules: [{backendRefs: [{name: v1, port: 80}], filters: [" + strings.Join(filters, ", ") + "]}]}}"
}

// attached creates a Gateway edge in the cluster, whose class publishes features.
func (w *world) attached(t *testing.T, features string) {
	t.Helper()
	gateway := manifest(t, "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: test}, spec: {gatewayClassName: shiny}}")
	class := manifest(t, "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: shiny}, status: {supportedFeatures: ["+features+"]}}")
	w.Expect(w.cluster.Tracker().Create(gatewayObjects, gateway, "test")).To(Succeed())
	w.Expect(w.cluster.Tracker().Create(gatewayClasses, class, "")).To(Succeed())
}

func TestWhatIsMirroredWhereAGatewayLacksAFeature(t *testing.T) {
	const mirror, percentage, several = "{name: HTTPRouteRequestMirror}", "{name: HTTPRouteRequestPercentageMirror}", "{name: HTTPRouteRequestMultipleMirrors}"
	toV2, toV3, partToV3 := mirrorTo("name: v2, port: 80", ""), mirrorTo("name: v3, port: 80", ""), mirrorTo("name: v3, port: 80", ", percent: 5")
	for name, test := range map[string]struct {
		features, route string
		// stand are the mirrors that are left, and withheld those that are not.
		stand, withheld []string
	}{
		"all that is taken is listed":           {mirror + "," + percentage + "," + several, edged(toV2, partToV3), []string{"v2:80", "v3:80"}, nil},
		"nothing that is taken is lacking":      {"{name: HTTPRoute}", edged(), nil, nil},
		"parts aren't mirrored":                 {mirror + "," + several, edged(partToV3), nil, []string{"v3:80"}},
		"parts aren't, and there is a whole":    {mirror + "," + several, edged(toV2, partToV3), []string{"v2:80"}, []string{"v3:80"}},
		"there is to be but one in a rule":      {mirror + "," + percentage, edged(toV2, toV3), []string{"v2:80"}, []string{"v3:80"}},
		"but one, and the first isn't possible": {mirror, edged(partToV3, toV2), []string{"v2:80"}, []string{"v3:80"}},
		"nothing is mirrored":                   {"{name: HTTPRoute}", edged(toV2, partToV3), nil, []string{"v2:80", "v3:80"}},
		"the class publishes nothing":           {"", edged(toV2, partToV3), []string{"v2:80", "v3:80"}, nil},
		"it attaches to no Gateway":             {"{name: HTTPRoute}", aRoute("web", "{backendRefs: [{name: v1, port: 80}], filters: ["+toV2+"]}"), []string{"v2:80"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.attached(t, test.features)
			var s *scope
			w.Eventually(func() outcome {
				s = scopeOf(templated("web"))
				s.manifests = append(s.manifests, manifest(t, test.route))
				return w.reconciler.followGateways(t.Context(), s)
			}).Should(Equal(advance))
			w.Expect(w.reconciler.gate(t.Context(), s)).To(Equal(advance))
			var stand, withheld []string
			for _, m := range routes.Mirrors(s.gated.Manifests[0]) {
				stand = append(stand, m.To)
			}
			for _, m := range s.gated.Mirrors {
				if m.Withheld() {
					w.Expect(m.Reason).To(Equal("UnsupportedByGateway"))
					withheld = append(withheld, m.To)
				}
			}
			w.Expect(stand).To(Equal(test.stand))
			w.Expect(withheld).To(Equal(test.withheld))
			w.Expect(s.manifests).To(HaveExactElements(manifest(t, test.route)), "what was rendered is changed")
		})
	}
}

func TestGatewaysAreWaitedForByMirrorsOnly(t *testing.T) {
	w := newWorld(t)
	w.attached(t, "{name: HTTPRoute}")
	w.cluster.PrependReactor("list", "gatewayclasses", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	follow := func(route string) outcome {
		s := newScope(templated("web"), now.Time)
		s.manifests = append(s.manifests, manifest(t, route))
		return w.reconciler.followGateways(t.Context(), s)
	}
	w.Expect(follow(edged())).To(Equal(advance), "it mirrors nothing")
	w.Expect(follow(edged(mirrorTo("name: v2", "")))).To(Equal(hold), "nothing is known of its class yet")
	w.Expect(follow(aRoute("web", "{filters: ["+mirrorTo("name: v2", "")+"]}"))).To(Equal(advance), "it attaches to no Gateway")
}

func TestGatewaysAreWatchedWhileARouteAttachesToThem(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	w.attached(t, "{name: HTTPRoute}")
	w.settled(t, "True Succeeded")
	pending := func() bool {
		return w.reconciler.Gateways.Pending([]routes.Attachment{{Kind: routes.GatewayKind, NamespacedName: types.NamespacedName{Namespace: "test", Name: "edge"}}})
	}
	w.Expect(pending()).To(BeTrue(), "nothing asks for them")
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Templates[0].Template = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}, spec: {parentRefs: [{name: edge}]}}"
	})
	w.settled(t, "True Succeeded")
	w.Eventually(pending).Should(BeFalse(), "a mirror would need to know them")
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates[0].Template = aRoute("web", "") })
	w.settled(t, "True Succeeded")
	w.Eventually(func() bool {
		_, _ = w.reconcileOnce(t)
		return pending()
	}).Should(BeTrue(), "nothing asks for them any more")
}

func TestWhatIsWithheldIsToldAndTheRestIsApplied(t *testing.T) {
	policy := templated("web")
	policy.Spec.Templates[0].Template = edged(mirrorTo("name: v2, port: 80", ""), mirrorTo("name: v3, port: 80", ", percent: 5"))
	w := newWorld(t, simple(), policy)
	w.Expect(w.cluster.Tracker().Create(services, aService("v1"), "test")).To(Succeed())
	w.attached(t, "{name: HTTPRouteRequestMirror}, {name: HTTPRouteRequestMultipleMirrors}")
	got := w.settled(t, "False UnsupportedByGateway: no mirror to v3:80: ")
	w.Expect(got.Status.Conditions).To(ContainElement(And(HaveField("Type", "Applied"), HaveField("Status", metav1.ConditionTrue))))
	w.Expect(got.Status.Conditions).To(ContainElement(And(HaveField("Type", "Stalled"), HaveField("Reason", "UnsupportedByGateway"))))
	w.Expect(w.mirrors(t)).To(HaveExactElements("v2:80 100% Unconfirmed", HavePrefix("v3:80 0% Withheld  UnsupportedByGateway: no mirror to v3:80: ")))
	w.Expect(routes.Mirrors(w.route("web"))).To(HaveExactElements(HaveField("To", "v2:80")))
}

func TestWhatAHostileChartRendersIsNotWatched(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	w.settled(t, "True Succeeded")
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Templates[0].Template = "{apiVersion: v1, kind: Secret, metadata: {name: a}}"
	})
	w.settled(t, "False ForbiddenManifest")
	w.Expect(w.reconciler.Routes.State(secrets.GroupVersion().WithKind("Secret"), "test")).To(Equal(watch.State{}))
	for _, action := range w.cluster.Actions() {
		w.Expect(action.GetResource()).NotTo(Equal(secrets))
	}
	w.Expect(w.reconciler.Routes.State(httpRoutes.GroupVersion().WithKind("HTTPRoute"), "test").Synced).To(BeTrue(), "what stands is")
}

// What is rendered says nothing of the Gateway of a route that stands.
func TestAMirrorGoesWhereTheGatewayOfWhatStandsIsFoundToLackIt(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*testing.T, *world)
		// next is what the next reconcile says of the mirror.
		next string
	}{
		"nothing is rendered": {func(t *testing.T, w *world) {
			w.change(t, brokenTemplate)
			w.settled(t, "False RenderFailed")
		}, "UnsupportedByGateway"},
		"nothing is rendered by another process": {func(t *testing.T, w *world) {
			w.change(t, brokenTemplate)
			w.startedAgain(t, threeVariants())
			w.reconciler.Gateways = gateways.New(t.Context(), gateways.Options{Client: w.cluster, Mapper: w.reconciler.Executor.Mapper})
			w.settled(t, "False RenderFailed")
		}, "UnsupportedByGateway"},
		"what is rendered attaches to another one, and is refused": {func(t *testing.T, w *world) {
			w.answer("apply web", invalid("no"))
			w.answer("dry-run web", invalid("no"))
			w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
				p.Spec.Templates[0].Template = strings.Replace(p.Spec.Templates[0].Template, "name: edge", "name: another", 1)
			})
			w.settled(t, "False Rejected")
		}, "NotApplied"},
	} {
		t.Run(name, func(t *testing.T) {
			policy := templated("web")
			policy.Spec.Templates[0].Template = strings.Replace(edged(mirrorTo("name: web-v2, port: 80", "")), "{name: v1, ", "{name: web-v1, ", 1)
			w := newMirroredBy(t, policy)
			w.attached(t, "")
			w.settled(t, "True Succeeded: 1 object applied")
			w.Expect(routes.Mirrors(w.route("web"))).To(HaveLen(1))
			test.spoil(t, w)
			w.Expect(routes.Mirrors(w.route("web"))).To(HaveLen(1))

			class := manifest(t, "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: shiny}, spec: {controllerName: traefik.io/gateway-controller}}")
			w.Expect(w.cluster.Tracker().Update(gatewayClasses, class, "")).To(Succeed())
			w.Eventually(func() any {
				_, _ = w.reconcileOnce(t)
				return routes.Mirrors(w.route("web"))
			}).Should(BeEmpty())
			w.Expect(w.mirrors(t)).To(HaveExactElements(HavePrefix("web-v2:80 0% Withheld v2 UnsupportedByGateway: no mirror to web-v2:80: ")))
			_, _ = w.reconcileOnce(t)
			w.Expect(w.mirrors(t)).To(HaveExactElements(HavePrefix("web-v2:80 0% Withheld v2 " + test.next + ": no mirror to web-v2:80: ")))
		})
	}
}
