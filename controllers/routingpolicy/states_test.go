package routingpolicy

import (
	"net/http"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/render"
)

// refusing has the accounts that policies name be refused whatever they ask for.
func (w *world) refusing(t *testing.T) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(http.StatusForbidden)
		_, _ = rw.Write([]byte(`{"apiVersion": "v1", "kind": "Status", "status": "Failure", "reason": "Forbidden", "code": 403, "message": "router may not"}`))
	}))
	t.Cleanup(server.Close)
	w.reconciler.Accounts = apply.NewAccounts(&rest.Config{Host: server.URL}, w.cluster, "")
}

// Whatever else is wrong with a policy, a mirror to a variant that goes is out after one reconcile, and nothing else of the route
// has changed.
func TestAMirrorGoesWithItsVariantWhateverElseIsWrong(t *testing.T) {
	type rows = map[string]struct {
		spoil func(*testing.T, *world)
		ready string
		// mirrors are those of the status, and rules the route's.
		mirrors []string
		rules   string
		writes  []string
	}
	spec := func(change func(*iter8v1alpha1.RoutingPolicySpec)) func(*testing.T, *world) {
		return func(t *testing.T, w *world) {
			w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { change(&p.Spec) })
		}
	}
	values := func(text string) func(*testing.T, *world) {
		return spec(func(s *iter8v1alpha1.RoutingPolicySpec) { s.Values = valuesOf(text) })
	}
	onlyV3 := rulesOf("", toV3)
	edited := []string{"edit web", "status web"}
	for name, test := range (rows{
		"nothing": {func(*testing.T, *world) {}, "True Succeeded: no mirror to web-v2:80: Service web-v2 does not exist",
			[]string{goneV2, mirroredToV3}, onlyV3, []string{"apply web", "status web"}},
		"its values don't fit the chart": {values(`{"rules": 1}`), "False InvalidValues: ", []string{mirroredToV3, goneV2}, onlyV3, edited},
		"its values can't be read":       {values(`[]`), "False InvalidValues: ", []string{mirroredToV3, goneV2}, onlyV3, edited},
		"its trigger names a variant that there isn't": {spec(func(s *iter8v1alpha1.RoutingPolicySpec) {
			s.Trigger = &iter8v1alpha1.Trigger{Variants: []string{"v9"}}
		}), "False VariantNotFound: ", []string{mirroredToV3, goneV2}, onlyV3, edited},
		"its chart isn't found": {spec(func(s *iter8v1alpha1.RoutingPolicySpec) { s.Chart.Name = "gone" }),
			"False ChartNotFound: ", []string{mirroredToV3, goneV2}, onlyV3, edited},
		"its chart is on its way": {spec(func(s *iter8v1alpha1.RoutingPolicySpec) { s.Chart.Repository = "https://example.com" }),
			"Unknown Resolving: ", []string{mirroredToV3, goneV2}, onlyV3, edited},
		"its template doesn't parse": {spec(func(s *iter8v1alpha1.RoutingPolicySpec) {
			s.Chart, s.Values, s.Templates = nil, nil, []iter8v1alpha1.InlineTemplate{{Name: "a", Template: "{{"}}
		}), "False RenderFailed: ", []string{mirroredToV3, goneV2}, onlyV3, edited},
		"it renders a Secret": {spec(func(s *iter8v1alpha1.RoutingPolicySpec) {
			s.Chart, s.Values, s.Templates = nil, nil, []iter8v1alpha1.InlineTemplate{{Name: "a", Template: "{apiVersion: v1, kind: Secret, metadata: {name: a}}"}}
		}), "False ForbiddenManifest: ", []string{mirroredToV3, goneV2}, onlyV3, edited},
		"the worker hasn't answered yet, and the status goes on": {func(t *testing.T, w *world) {
			w.reconciler.Renders = render.NewMemory(&answering{err: render.ErrPending})
			spec(func(s *iter8v1alpha1.RoutingPolicySpec) {
				s.Chart, s.Values, s.Templates = nil, nil, []iter8v1alpha1.InlineTemplate{{Name: "a", Template: aRoute("web", "")}}
			})(t, w)
		}, "True Succeeded: 1 object applied", []string{mirroredToV3, goneV2}, onlyV3, edited},
		"another mirror has no port": {values(`{"rules": ` + rulesOf(toV2, `{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web-v3"}}}`) + `}`),
			"False InvalidMirror: spec.values.rules[1].filters[0].requestMirror.backendRef.port: is missing", []string{mirroredToV3, goneV2}, onlyV3, edited},
		"the weight of another variant is not valid": {func(_ *testing.T, w *world) {
			service := aService("web-v3")
			service.SetAnnotations(map[string]string{iter8v1alpha1.WeightAnnotation: "1%"})
			w.Expect(w.cluster.Tracker().Update(services, service, "test")).To(Succeed())
			w.Eventually(func() *string { return w.reconciler.Observer.Observe(threeVariants()).Variants[2].AnnotatedWeight }).ShouldNot(BeNil())
		}, "False InvalidWeight: no mirror to web-v3:80: ", []string{goneV2, `web-v3:80 0% Withheld v3 InvalidWeight: no mirror to web-v3:80: ` +
			`the weight of variant v3 must be a whole number from 0 to 100, and is "1%" (annotation iter8.tools/weight of Service web-v3)`},
			rulesOf("", ""), []string{"apply web", "status web"}},
		"an object of another owner has the name of one": {func(t *testing.T, w *world) {
			w.Expect(w.cluster.Tracker().Create(httpRoutes, manifest(t, "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: foreign, namespace: test, uid: f}}"), "test")).To(Succeed())
			values(`{"rules": `+rulesOf(toV2, toV3)+`, "others": ["foreign"]}`)(t, w)
			w.Eventually(func() any {
				return w.reconciler.Routes.Get(httpRoutes.GroupVersion().WithKind("HTTPRoute"), nameIn("foreign"))
			}).ShouldNot(BeNil())
		}, "False OwnershipConflict: ", []string{goneV2, mirroredToV3}, onlyV3, []string{"apply web", "status web"}},
		"its account is refused, so that the operator does it": {func(t *testing.T, w *world) {
			w.refusing(t)
			spec(func(s *iter8v1alpha1.RoutingPolicySpec) { s.ServiceAccountName = "router" })(t, w)
		}, "False ", []string{goneV2, mirroredToV3}, onlyV3, edited},
		"the apiserver refuses what is applied": {func(_ *testing.T, w *world) { w.answer("apply web", invalid("no")) },
			"False Rejected: applying HTTPRoute web: ", []string{goneV2, mirroredToV3}, onlyV3, []string{"apply web", "edit web", "status web"}},
		"the apiserver refuses what is asked for": {func(t *testing.T, w *world) {
			w.answer("dry-run web", invalid("no"))
			values(`{"rules": `+rulesOf(toV2, toV3+", "+toV2)+`}`)(t, w)
		}, "False Rejected: with every variant available, applying HTTPRoute web: ", []string{goneV2, mirroredToV3,
			"web-v2:80 0% Withheld v2 VariantNotAvailable: no mirror to web-v2:80: Service web-v2 does not exist"}, onlyV3, []string{"edit web", "dry-run web", "status web"}},
	}) {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			w.goes(t, "v2")
			test.spoil(t, w)
			_, _ = w.reconcileOnce(t)
			w.Expect(w.rules("web")).To(MatchJSON(test.rules))
			w.Expect(w.mirrors(t)).To(Equal(test.mirrors))
			w.Expect(w.policy(t).Status.MirrorTargets).NotTo(ContainSubstring("web-v2"))
			w.Expect(w.ready(t)).To(HavePrefix(test.ready))
			w.Expect(w.written()).To(Equal(test.writes))
			_, _ = w.reconcileOnce(t)
			w.Expect(w.rules("web")).To(MatchJSON(test.rules))
			w.Expect(w.mirrors(t)).To(Equal(test.mirrors), "the same again")
		})
	}
}

// The inventory can't be written, so that nothing is applied; what only takes a mirror out waits for no inventory.
func TestAMirrorGoesWithItsVariantWhereTheInventoryConflicts(t *testing.T) {
	w := newMirrored(t)
	w.goes(t, "v2")
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Values = valuesOf(`{"rules": ` + rulesOf(toV2, toV3) + `, "others": ["other"]}`)
	})
	w.meanwhile = func() {
		another := w.policy(t)
		another.Status.MirrorTargets = "another leader's"
		w.Expect(w.client.Status().Update(t.Context(), another)).To(Succeed())
	}
	result, err := w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(result.RequeueAfter).To(Equal(conflictRetry))
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	w.Expect(w.route("other")).To(BeNil())
	w.Expect(w.written()).To(ContainElement("edit web"))

	w.settled(t, "True Succeeded: no mirror to web-v2:80: Service web-v2 does not exist")
	w.Expect(w.mirrors(t)).To(HaveExactElements(goneV2, mirroredToV3))
	w.Expect(w.route("other")).NotTo(BeNil())
}

// The route was edited beside what was applied, so that what is applied next is no other than before.
func TestAMirrorComesBackOnceAllIsWell(t *testing.T) {
	w := newMirrored(t)
	w.goes(t, "v2")
	before := w.policy(t).Spec
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = valuesOf(`{"rules": 1}`) })
	w.settled(t, "False InvalidValues")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	w.comes(t, "v2")
	w.settled(t, "False InvalidValues")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)), "nothing is widened")
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec = *before.DeepCopy() })
	w.settled(t, "True Succeeded: 1 object applied")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
}

// Another controller's finalizer keeps a policy that was deleted.
func TestAMirrorGoesWithItsVariantWhileThePolicyIsBeingDeleted(t *testing.T) {
	w := newMirrored(t)
	policy := w.policy(t)
	policy.Finalizers = []string{"example.com/hold"}
	w.Expect(w.client.Update(t.Context(), policy)).To(Succeed())
	w.Expect(w.client.Delete(t.Context(), w.policy(t))).To(Succeed())
	_, _ = w.reconcileOnce(t)
	w.Expect(w.written()).To(BeEmpty(), "all is well")

	w.goes(t, "v2")
	w.startedAgain(t, threeVariants())
	w.Eventually(func() string {
		_, _ = w.reconcileOnce(t)
		return w.rules("web")
	}).Should(MatchJSON(rulesOf("", toV3)))
	w.Expect(w.mirrors(t)).To(ConsistOf(goneV2, mirroredToV3))
	w.Expect(w.written()).To(HaveExactElements("edit web", HavePrefix("status web")))

	w.comes(t, "v2")
	_, _ = w.reconcileOnce(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)), "nothing is applied")

	w.Expect(w.client.Delete(t.Context(), threeVariants(), client.GracePeriodSeconds(0))).To(Succeed())
	_, _ = w.reconcileOnce(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", "")))
}
