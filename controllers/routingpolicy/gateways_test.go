package routingpolicy

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/render"
	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// mirroringAll attaches a route to the Gateway edge, and mirrors to each variant that is available, by its weight
// where it has one.
const mirroringAll = "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}, " +
	"spec: {parentRefs: [{name: edge}], rules: [{filters: [" +
	"{{ range .Values.iter8.variants }}{{ if .available }}{type: RequestMirror, requestMirror: {backendRef: {name: {{ .name }} }" +
	"{{ if .weighted }}, percent: {{ .weight }}{{ end }} } }, {{ end }}{{ end }}]}]}}"

// attached creates a Gateway edge in the cluster, whose class publishes features.
func (w *world) attached(t *testing.T, features string) {
	t.Helper()
	gateway := manifest(t, "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: test}, spec: {gatewayClassName: shiny}}")
	class := manifest(t, "{apiVersion: gateway.networking.k8s.io/v1, kind: GatewayClass, metadata: {name: shiny}, status: {supportedFeatures: ["+features+"]}}")
	w.Expect(w.cluster.Tracker().Create(gatewayObjects, gateway, "test")).To(Succeed())
	w.Expect(w.cluster.Tracker().Create(gatewayClasses, class, "")).To(Succeed())
}

// gateways runs the phases about Gateways.
func (w *world) gateways(t *testing.T, s *scope) outcome {
	t.Helper()
	if o := w.reconciler.followGateways(t.Context(), s); o != advance {
		return o
	}
	return w.reconciler.checkGateways(t.Context(), s)
}

// supported runs the phases from render to those about Gateways, until these are read.
func (w *world) supported(t *testing.T, policy *iter8v1alpha1.RoutingPolicy, variants []render.Variant) (*scope, outcome) {
	t.Helper()
	var s *scope
	o := hold
	w.Eventually(func() outcome {
		s = newScope(policy, now.Time)
		s.variants = variants
		w.Expect(w.reconciler.render(t.Context(), s)).To(Equal(advance))
		w.Expect(w.reconciler.guard(t.Context(), s)).To(Equal(advance))
		o = w.gateways(t, s)
		return o
	}).ShouldNot(Equal(hold))
	return s, o
}

func TestWhatIsRoutedWhereAGatewayLacksAFeature(t *testing.T) {
	const (
		mirror, percentage = "{name: HTTPRouteRequestMirror}", "{name: HTTPRouteRequestPercentageMirror}"
		shiny              = ", and GatewayClass shiny, of Gateway test/edge, does not list the feature "
		noMirror           = "HTTPRoute web mirrors requests" + shiny + "HTTPRouteRequestMirror"
		noPercentage       = "HTTPRoute web mirrors a part of the requests" + shiny + "HTTPRouteRequestPercentageMirror"
		noSeveral          = "HTTPRoute web has several mirrors in a rule" + shiny + "HTTPRouteRequestMultipleMirrors"
	)
	whole := func(name string) render.Variant {
		return render.Variant{Name: name, Available: true, Weight: 1}
	}
	part := func(name string) render.Variant {
		return render.Variant{Name: name, Available: true, Weight: 5, Weighted: true}
	}
	gone := func(name string) render.Variant { return render.Variant{Name: name, Weight: 1} }
	refusal := func(message string) *report {
		return &report{status: metav1.ConditionFalse, reason: iter8v1alpha1.ReasonUnsupportedByGateway, message: message}
	}
	for name, test := range map[string]struct {
		features string
		// standing are the variants that the applied objects were rendered with as available.
		standing []string
		variants []render.Variant
		outcome  outcome
		applied  *report
		withheld *report
		mirrors  []string
	}{
		"all that is taken is listed":           {mirror + "," + percentage, nil, []render.Variant{part("v2")}, advance, nil, nil, []string{"v2"}},
		"nothing that is taken is lacking":      {"{name: HTTPRoute}", []string{"v2"}, []render.Variant{gone("v2")}, advance, nil, nil, nil},
		"a new variant takes what isn't listed": {mirror, nil, []render.Variant{part("v2")}, conclude, refusal(noPercentage), nil, []string{"v2"}},
		"a variant comes that takes what isn't listed": {mirror, []string{"v2"}, []render.Variant{whole("v2"), part("v3")}, conclude,
			refusal(noSeveral + "; " + noPercentage), nil, []string{"v2", "v3"}},
		"a variant stands that takes what isn't listed any more": {"{name: HTTPRoute}", []string{"v2"}, []render.Variant{whole("v2")}, conclude,
			refusal(noMirror), nil, []string{"v2"}},
		"a variant comes that takes what isn't listed, and another never came": {mirror, nil, []render.Variant{gone("v2"), part("v3")}, conclude,
			refusal(noPercentage), nil, []string{"v3"}},
		"a variant comes as another goes": {mirror, []string{"v2"}, []render.Variant{gone("v2"), part("v3")}, advance,
			nil, refusal(noPercentage), nil},
		"a variant comes as another goes, and a third stays": {mirror, []string{"v2", "v4"}, []render.Variant{gone("v2"), part("v3"), whole("v4")}, advance,
			nil, refusal(noSeveral + "; " + noPercentage), []string{"v4"}},
		"a variant goes, and one that stays takes what isn't listed any more": {"{name: HTTPRoute}", []string{"v2", "v3"}, []render.Variant{gone("v2"), whole("v3")}, conclude,
			refusal(noMirror), nil, []string{"v3"}},
		"the class publishes nothing": {"", nil, []render.Variant{part("v2")}, advance, nil, nil, []string{"v2"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.attached(t, test.features)
			policy := templated("web")
			policy.Spec.Templates[0].Template = mirroringAll
			for _, variant := range test.standing {
				policy.Status.Variants = append(policy.Status.Variants, iter8v1alpha1.RenderedVariant{Name: variant, Available: true})
			}
			given := append([]render.Variant(nil), test.variants...)
			s, o := w.supported(t, policy, test.variants)
			w.Expect(o).To(Equal(test.outcome))
			w.Expect(s.unsupported).To(Equal(test.withheld))
			if test.applied == nil {
				w.Expect(s.reports).NotTo(HaveKey(iter8v1alpha1.ConditionApplied))
			} else {
				w.Expect(s.reports[iter8v1alpha1.ConditionApplied]).To(Equal(*test.applied))
			}
			var mirrors []string
			for _, m := range routes.Mirrors(s.manifests[0]) {
				mirrors = append(mirrors, m.To)
			}
			w.Expect(mirrors).To(Equal(test.mirrors))
			w.Expect(test.variants).To(Equal(given), "what was given is changed")
		})
	}
}

func TestWhatIsReducedHasToRenderToo(t *testing.T) {
	variants := []render.Variant{{Name: "v2", Weight: 1}, {Name: "v3", Available: true, Weight: 5, Weighted: true}}
	const otherwise = "{{ if (index .Values.iter8.variants 1).available }}" + mirroringAll + "{{ else }}"
	for name, test := range map[string]struct{ template, rendered string }{
		"it doesn't execute":  {otherwise + `{{ fail "oh" }}{{ end }}`, iter8v1alpha1.ReasonRenderFailed},
		"it renders a Secret": {otherwise + "{apiVersion: v1, kind: Secret, metadata: {name: a}}{{ end }}", iter8v1alpha1.ReasonForbiddenManifest},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.attached(t, "{name: HTTPRouteRequestMirror}")
			policy := templated("web")
			policy.Spec.Templates[0].Template = test.template
			policy.Status.Variants = []iter8v1alpha1.RenderedVariant{{Name: "v2", Available: true}}
			s, o := w.supported(t, policy, variants)
			w.Expect(o).To(Equal(conclude))
			rendered := s.reports[iter8v1alpha1.ConditionRendered]
			w.Expect(rendered.status).To(Equal(metav1.ConditionFalse))
			w.Expect(rendered.reason).To(Equal(test.rendered))
			w.Expect(s.unsupported).To(BeNil())
		})
	}
}

func TestGatewaysAreWaitedForByMirrorsOnly(t *testing.T) {
	w := newWorld(t)
	w.attached(t, "{name: HTTPRoute}")
	w.cluster.PrependReactor("list", "gatewayclasses", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	policy := templated("web")
	policy.Spec.Templates[0].Template = mirroringAll
	support := func(variants ...render.Variant) outcome {
		s := newScope(policy, now.Time)
		s.variants = variants
		w.Expect(w.reconciler.render(t.Context(), s)).To(Equal(advance))
		return w.gateways(t, s)
	}
	w.Expect(support(render.Variant{Name: "v2"})).To(Equal(advance), "it mirrors nothing")
	w.Expect(support(render.Variant{Name: "v2", Available: true})).To(Equal(hold), "nothing is known of its class yet")
	policy.Spec.Templates[0].Template = aRoute("web", "{filters: ["+mirrorTo("name: v2", "")+"]}")
	w.Expect(support(render.Variant{Name: "v2", Available: true})).To(Equal(advance), "it attaches to no Gateway")
}

func TestGatewaysAreWatchedWhileARouteAttachesToThem(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	w.attached(t, "{name: HTTPRoute}")
	w.settled(t, "True Succeeded")
	pending := func() bool {
		return w.reconciler.Gateways.Pending([]types.NamespacedName{{Namespace: "test", Name: "edge"}})
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
	subject := aSubject(iter8v1alpha1.Variant{Name: "v1", Resources: []iter8v1alpha1.ResourceReference{
		{APIVersion: "apps/v1", Kind: "Deployment", Name: "web-v2"}}}, iter8v1alpha1.Variant{Name: "v3", Weight: new(int32)})
	*subject.Spec.Variants[1].Weight = 5
	policy := templated("web")
	policy.Spec.Templates[0].Template = mirroringAll
	policy.Status.Variants = []iter8v1alpha1.RenderedVariant{{Name: "v1", Available: true}}
	w := newWorld(t, subject, policy)
	w.attached(t, "{name: HTTPRouteRequestMirror}")
	w.Expect(w.cluster.Tracker().Create(deployments, aDeployment(metav1.ConditionFalse), "test")).To(Succeed())
	w.subjects.OnAdd(subject, false)
	w.Eventually(func() any { // and not longer, since what is withheld is refused as a whole from then on
		_, _ = w.reconcileOnce(t)
		return w.route("web")
	}).ShouldNot(BeNil())
	got := w.policy(t)
	w.Expect(meta.FindStatusCondition(got.Status.Conditions, iter8v1alpha1.ConditionApplied)).To(And(
		HaveField("Status", metav1.ConditionFalse), HaveField("Reason", iter8v1alpha1.ReasonUnsupportedByGateway),
		HaveField("Message", HavePrefix("HTTPRoute web mirrors a part of the requests"))))
	w.Expect(got.Status.Variants).To(Equal([]iter8v1alpha1.RenderedVariant{{Name: "v1"}, {Name: "v3"}}), "v3 counts as not available")
	w.Expect(got.Status.Mirrors).To(BeEmpty())
	w.Expect(routes.Mirrors(w.route("web"))).To(BeEmpty(), "that of v1 is gone")
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
