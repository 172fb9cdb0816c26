package routingpolicy

import (
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// brokenTemplate is what a policy never applies.
func brokenTemplate(p *iter8v1alpha1.RoutingPolicy) {
	p.Spec.Chart, p.Spec.Values, p.Spec.Templates = nil, nil, []iter8v1alpha1.InlineTemplate{{Name: "a", Template: "{{"}}
}

// refersToOther has a policy refer to a Subject other, whose variants are v1, and another v2 that is the same.
func (w *world) refersToOther(t *testing.T, spoil func(*iter8v1alpha1.RoutingPolicy)) {
	t.Helper()
	other := threeVariants()
	other.Name, other.UID, other.Spec.Variants = "other", "other-uid", other.Spec.Variants[:2]
	other.Spec.Variants[1].Resources = other.Spec.Variants[0].Resources
	w.Expect(w.client.Create(t.Context(), other)).To(Succeed())
	w.subjects.OnAdd(other, false)
	w.Eventually(func() bool { return w.reconciler.Observer.Observe(other).Variants[0].Available() }).Should(BeTrue())
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.SubjectRef.Name = "other"
		spoil(p)
	})
}

// drops has the Subject list a variant no more.
func (w *world) drops(t *testing.T, name string) {
	t.Helper()
	subject := &iter8v1alpha1.Subject{}
	w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(threeVariants()), subject)).To(Succeed())
	before := subject.DeepCopy()
	subject.Spec.Variants = slices.DeleteFunc(subject.Spec.Variants, func(v iter8v1alpha1.Variant) bool { return v.Name == name })
	subject.Generation++
	w.Expect(w.client.Update(t.Context(), subject)).To(Succeed())
	w.subjects.OnUpdate(before, subject)
	w.Eventually(func() int { return len(w.reconciler.Observer.Observe(subject).Variants) }).Should(Equal(len(subject.Spec.Variants)))
}

// The built-in chart mirrors to a target that no variant lists.
func TestAMirrorOfABuiltInChartGoesByAllVariantsThoughTheSpecIsATemplateNow(t *testing.T) {
	toAlias := strings.Replace(toV2, "web-v2", "alias", 1)
	policy := mirroring()
	policy.Spec.Values = valuesOf(`{"rules": ` + rulesOf(toAlias, toV3) + `}`)
	w := newMirroredBy(t, policy)
	w.settled(t, "True Succeeded: 1 object applied")
	w.Expect(w.mirrors(t)).To(HaveExactElements("alias:80 100% Unconfirmed v1, v2, v3", mirroredToV3))
	w.change(t, brokenTemplate)
	w.settled(t, "False RenderFailed")
	w.Expect(w.mirrors(t)).To(HaveExactElements("alias:80 100% Unconfirmed v1, v2, v3", mirroredToV3))
	w.written()

	w.goes(t, "v2")
	_, _ = w.reconcileOnce(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	w.Expect(w.mirrors(t)).To(ConsistOf("alias:80 0% Withheld v1, v2, v3 VariantNotAvailable: no mirror to alias:80: Service web-v2 does not exist", mirroredToV3))
	w.Expect(w.written()).To(Equal([]string{"edit web", "status web"}))
}

// What stands was applied for variants that aren't observed any more, and the spec as it is can't be applied.
func TestAMirrorStandsForAWhileWhereItsVariantIsNotObservedAnyMore(t *testing.T) {
	const (
		unobservedV2 = "web-v2:80 0% Withheld v2 VariantStateUnknown: no mirror to web-v2:80: variant v2 of Subject web is not observed any more"
		unobservedV3 = "web-v3:80 0% Withheld v3 VariantStateUnknown: no mirror to web-v3:80: variant v3 of Subject web is not observed any more"
	)
	for name, test := range map[string]struct {
		spoil func(*testing.T, *world)
		ready string
		// rules are those of the route after the grace, and mirrors the status's.
		rules   string
		mirrors []string
	}{
		"the Subject lists it no more, and the template doesn't parse": {func(t *testing.T, w *world) {
			w.change(t, brokenTemplate)
			w.drops(t, "v2")
		}, "False RenderFailed", rulesOf("", toV3), []string{unobservedV2, mirroredToV3}},
		"the policy refers to another Subject, and the template doesn't parse": {func(t *testing.T, w *world) {
			w.refersToOther(t, brokenTemplate)
		}, "False RenderFailed", rulesOf("", ""), []string{unobservedV2, unobservedV3}},
		"the policy refers to another Subject, the one before is deleted, and the template doesn't parse": {func(t *testing.T, w *world) {
			w.refersToOther(t, brokenTemplate)
			w.Expect(w.client.Delete(t.Context(), threeVariants(), client.GracePeriodSeconds(0))).To(Succeed())
		}, "False RenderFailed", rulesOf("", ""), []string{unobservedV2, unobservedV3}},
		"the policy refers to another Subject, and the values don't fit the built-in chart": {func(t *testing.T, w *world) {
			w.refersToOther(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = valuesOf(`{"rules": 1}`) })
		}, "False InvalidValues", rulesOf("", ""), []string{unobservedV2, unobservedV3}},
		"the policy refers to another Subject, and the apiserver refuses what is applied": {func(t *testing.T, w *world) {
			w.answer("apply web", invalid("no"))
			w.refersToOther(t, func(p *iter8v1alpha1.RoutingPolicy) {
				p.Spec.Chart, p.Spec.Values = nil, nil
				p.Spec.Templates = []iter8v1alpha1.InlineTemplate{{Name: "a", Template: strings.Replace(
					aRoute("web", strings.Trim(rulesOf(toV2, toV3), "[]")), "spec: {", "spec: {hostnames: [example.com], ", 1)}}
			})
		}, "False Rejected", rulesOf("", ""), []string{unobservedV2, unobservedV3}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			w.goes(t, "v2")
			test.spoil(t, w)
			result, _ := w.reconcileOnce(t)
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
			w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
			w.Expect(w.ready(t)).To(HavePrefix(test.ready))
			w.Expect(result.RequeueAfter).To(And(BeNumerically(">=", 45*time.Second), BeNumerically("<=", time.Minute)), "the end of the grace is no event")
			w.Expect(w.policy(t).Status.Mirrors[0].UnknownSince).To(HaveValue(BeComparableTo(now)))
			w.written()

			w.clockAt(now.Add(44 * time.Second))
			_, _ = w.reconcileOnce(t)
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
			w.Expect(w.written()).NotTo(ContainElement(HavePrefix("status")), "it is unknown since before")

			w.clockAt(now.Add(time.Minute))
			_, _ = w.reconcileOnce(t)
			w.Expect(w.rules("web")).To(MatchJSON(test.rules))
			w.Expect(w.mirrors(t)).To(ConsistOf(test.mirrors))
			w.Expect(w.written()).To(ContainElements("edit web", "status web"))
			w.Expect(w.policy(t).Status.Mirrors).To(HaveEach(HaveField("UnknownSince", BeNil())))
		})
	}
}

// The rules of built-in charts are those of what a built-in chart has rendered, whatever the spec says now.
func TestWhatStandsGoesByTheRulesByWhichItWasApplied(t *testing.T) {
	toAlias := strings.Replace(toV2, "web-v2", "alias", 1)
	t.Run("a weight bounds the mirrors of a built-in chart", func(t *testing.T) {
		w := newMirrored(t)
		w.change(t, brokenTemplate)
		w.settled(t, "False RenderFailed")
		service := aService("web-v2")
		service.SetAnnotations(map[string]string{iter8v1alpha1.WeightAnnotation: "0"})
		w.Expect(w.cluster.Tracker().Update(services, service, "test")).To(Succeed())
		w.Eventually(func() *string { return w.reconciler.Observer.Observe(threeVariants()).Variants[1].AnnotatedWeight }).ShouldNot(BeNil())
		_, _ = w.reconcileOnce(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
		w.Expect(w.mirrors(t)).To(ConsistOf("web-v2:80 0% Withheld v2 LimitedByWeight: no mirror to web-v2:80: "+
			"the weight of variant v2 is 0 (annotation iter8.tools/weight of Service web-v2)", mirroredToV3))
	})
	t.Run("a template's mirror to what no variant lists stays", func(t *testing.T) {
		policy := templated("web")
		policy.Spec.Templates[0].Template = aRoute("web", strings.Trim(rulesOf(toAlias, toV3), "[]"))
		w := newMirroredBy(t, policy)
		w.settled(t, "True Succeeded: 1 object applied")
		w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
			p.Spec.Templates, p.Spec.Chart, p.Spec.Values = nil, &iter8v1alpha1.ChartReference{Name: "plain"}, valuesOf(`{"rules": 1}`)
		})
		w.settled(t, "False InvalidValues")
		w.goes(t, "v2")
		w.goes(t, "v3")
		_, _ = w.reconcileOnce(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toAlias, "")))
	})
}

// Its variant was not available when that was last known, and the mirror could not be taken out then.
func TestAMirrorGoesAtOnceWhereItsVariantIsNotObservedAnyMoreAndWasNotAvailable(t *testing.T) {
	w := newMirrored(t)
	w.goes(t, "v2")
	w.change(t, brokenTemplate)
	w.answer("edit web", apierrors.NewServiceUnavailable("starting"))
	_, err := w.reconcileOnce(t)
	w.Expect(err).To(HaveOccurred())
	w.refersToOther(t, brokenTemplate)
	w.answer("edit web", nil)
	_, _ = w.reconcileOnce(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
}
