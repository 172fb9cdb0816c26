package routingpolicy

import (
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func suspend(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend = true }

// conditionsOf returns the conditions as "type status reason".
func conditionsOf(policy *iter8v1alpha1.RoutingPolicy) []string {
	var lines []string
	for _, line := range summed(policy.Status.Conditions) {
		line, _, _ = strings.Cut(line, ":")
		lines = append(lines, line)
	}
	return lines
}

// suspended polls until a policy's condition Suspended is of its generation, and returns what it says then.
func (w *world) suspended(t *testing.T) string {
	t.Helper()
	message := ""
	w.Eventually(func() int64 {
		_, _ = w.reconcileOnce(t)
		policy := w.policy(t)
		c := meta.FindStatusCondition(policy.Status.Conditions, "Suspended")
		if c == nil || policy.Status.ObservedGeneration != policy.Generation {
			return 0
		}
		message = c.Message
		return c.ObservedGeneration - policy.Generation
	}).Should(BeZero())
	w.Eventually(func() string { return message }).ShouldNot(BeEmpty())
	return message
}

// A suspended policy is Ready or not by what stands, and who waits for it waits no longer.
func TestASuspendedPolicy(t *testing.T) {
	const (
		asItIs = "spec.suspend is set: what is applied stays as it is"
	)
	well := []string{"ChartResolved True InlineTemplates", "Rendered True Succeeded", "Applied True Succeeded", "Accepted Unknown NotReported",
		"Suspended True Suspended", "Ready True Suspended"}
	broken := func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates[0].Template = "{{" }
	for name, test := range map[string]struct {
		// changes before the one that suspends.
		before    func(*testing.T, *world)
		change    func(*iter8v1alpha1.RoutingPolicy)
		suspended string
		// ready is how the message of Ready begins.
		ready      string
		conditions []string
		computed   string
	}{
		"all is well": {nil, suspend, asItIs, asItIs, well, "Current: 4, 4, True of 4"},
		"its spec is changed as well": {nil, func(p *iter8v1alpha1.RoutingPolicy) { suspend(p); broken(p) },
			asItIs + "; changes of the spec since generation 3, which was applied last, wait", asItIs, well, "Current: 4, 4, True of 4"},
		"its spec was changed, and failed": {func(t *testing.T, w *world) { w.change(t, broken); w.settled(t, "False RenderFailed") }, suspend,
			asItIs + "; changes of the spec since generation 3, which was applied last, wait", "when it was last looked at: rendering: template: web:1: ",
			[]string{"ChartResolved True InlineTemplates", "Rendered False RenderFailed", "Accepted Unknown NotReported", "Applied Unknown Skipped"}, "Failed: 5, 5, False of 5"},
		"its Subject has no such variant": {func(t *testing.T, w *world) {
			w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
				p.Spec.Trigger = &iter8v1alpha1.Trigger{Variants: []string{"v9"}}
			})
			w.settled(t, "False VariantNotFound")
		}, suspend, asItIs + "; changes of the spec since generation 3, which was applied last, wait", "when it was last looked at: ",
			[]string{"Ready False VariantNotFound", "Stalled True VariantNotFound"}, "Failed: 5, 5, False of 5"},
		"its Subject is gone": {func(t *testing.T, w *world) {
			w.Expect(w.client.Delete(t.Context(), simple())).To(Succeed())
			w.settled(t, "False SubjectNotFound")
		}, suspend, asItIs + "; nothing is known to be applied", "when it was last looked at: Subject web does not exist",
			[]string{"Ready False SubjectNotFound", "Stalled True SubjectNotFound"}, "Failed: 4, 4, False of 4"},
		"its route is taken away": {func(_ *testing.T, w *world) {
			w.Expect(w.cluster.Tracker().Delete(httpRoutes, "test", "web")).To(Succeed())
			w.Eventually(func() any {
				return w.reconciler.Routes.Get(httpRoutes.GroupVersion().WithKind("HTTPRoute"), nameIn("web"))
			}).Should(BeNil())
		}, suspend,
			asItIs, "HTTPRoute/web no longer stands as it was applied, and is applied again once the policy is resumed",
			[]string{"Applied False NotApplied", "Ready False NotApplied", "Stalled True NotApplied"}, "Failed: 4, 4, False of 4"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simple(), templated("web"))
			w.subjects.OnAdd(simple(), false)
			w.settled(t, "True Succeeded")
			if test.before != nil {
				test.before(t, w)
			}
			w.change(t, test.change)
			w.written()
			w.Eventually(func() string { return w.suspended(t) }).Should(Equal(test.suspended))
			policy := w.policy(t)
			w.Expect(conditionsOf(policy)).To(ContainElements(test.conditions))
			w.Expect(meta.FindStatusCondition(policy.Status.Conditions, "Ready").Message).To(HavePrefix(test.ready))
			w.Expect(generations(w.WithT, policy)).To(Equal(test.computed))
			w.Expect(policy.Status.Conditions).NotTo(ContainElement(And(HaveField("Reason", "Succeeded"), HaveField("ObservedGeneration", policy.Generation))),
				"what stands is of an earlier generation")
			w.Expect(w.written()).To(HaveEach(HavePrefix("status")), "nothing is changed")

			_, err := w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.written()).To(BeEmpty(), "at rest")
		})
	}
}

func TestAPolicyThatIsSuspendedFromTheBeginning(t *testing.T) {
	policy := templated("web")
	suspend(policy)
	w := newWorld(t, simple(), policy)
	w.Expect(w.suspended(t)).To(Equal("spec.suspend is set: what is applied stays as it is; nothing is known to be applied"))
	w.Expect(conditionsOf(w.policy(t))).To(Equal([]string{"ChartResolved Unknown Skipped", "Rendered Unknown Skipped", "Applied Unknown Skipped", "Accepted Unknown Skipped",
		"Suspended True Suspended", "Ready True Suspended"}))
	w.Expect(generations(w.WithT, w.policy(t))).To(Equal("Current: 3, 3, True of 3"))
	w.Expect(w.route("web")).To(BeNil())
}

func TestAPolicyThatIsResumed(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	w.subjects.OnAdd(simple(), false)
	w.settled(t, "True Succeeded")
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		suspend(p)
		p.Spec.Templates = templated("web", "api").Spec.Templates
	})
	w.suspended(t)
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend = false })
	policy := w.settled(t, "True Succeeded: 2 objects applied")
	w.Expect(conditionsOf(policy)).To(Equal([]string{"ChartResolved True InlineTemplates", "Rendered True Succeeded", "Applied True Succeeded", "Accepted Unknown NotReported",
		"Ready True Succeeded"}))
	w.Expect(policy.Status.Conditions).To(HaveEach(HaveField("ObservedGeneration", policy.Generation)))
	w.Expect(policy.Status.AppliedSpec.Generation).To(Equal(policy.Generation))
}

// What others do to the routes of a suspended policy stands in its status.
func TestTheMirrorsOfASuspendedPolicyAreThoseOfTheLiveRoute(t *testing.T) {
	w := newMirrored(t)
	w.change(t, suspend)
	w.suspended(t)
	w.Expect(w.mirrors(t)).To(Equal([]string{mirroredToV2, mirroredToV3}))
	route := w.route("web").DeepCopy()
	rules, _, err := unstructured.NestedSlice(route.Object, "spec", "rules")
	w.Expect(err).NotTo(HaveOccurred())
	delete(rules[0].(map[string]any), "filters")
	w.Expect(unstructured.SetNestedSlice(route.Object, rules, "spec", "rules")).To(Succeed())
	route.SetGeneration(route.GetGeneration() + 1)
	route.SetResourceVersion("999")
	w.Expect(w.cluster.Tracker().Update(httpRoutes, route, "test")).To(Succeed())
	w.Eventually(func() []string {
		_, _ = w.reconcileOnce(t)
		return w.mirrors(t)
	}).Should(Equal([]string{mirroredToV3, "web-v2:80 0% Withheld v2 NotApplied: no mirror to web-v2:80: HTTPRoute/web is not applied as it is rendered"}))
	w.Expect(w.policy(t).Status.MirrorTargets).To(Equal("web-v3:80"))
}

// A try that failed says nothing once the next one has not.
func TestWhatASuspendedPolicyCouldNotTakeOutAtFirst(t *testing.T) {
	w := newMirrored(t)
	w.answer("edit web", apierrors.NewServiceUnavailable("starting"))
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend, p.Spec.Withdrawn = true, true })
	_, err := w.reconcileOnce(t)
	w.Expect(err).To(HaveOccurred(), "it is tried again")
	w.Expect(w.ready(t)).To(Equal("False ApplyFailed: taking mirrors out of HTTPRoute web: starting"))
	w.Expect(conditionsOf(w.policy(t))).To(ContainElements("Applied True Succeeded", "Reconciling True ApplyFailed"))

	w.answer("edit web", nil)
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", "")))
	w.Expect(w.ready(t)).To(HavePrefix("True Suspended"))
	w.Expect(conditionsOf(w.policy(t))).To(ContainElement("Applied True Succeeded"))
}

func TestAFightEndsThoughThePolicyIsSuspended(t *testing.T) {
	w := newMirrored(t)
	w.clockAt(time.Now()) // the executor's clock is the real one
	w.reconcile(t)
	for range 4 {
		w.drifts(t, []any{})
		_, _ = w.reconcileOnce(t)
	}
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = valuesOf(`{"rules": ` + rulesOf(toV2, "") + `}`) })
	_, _ = w.reconcileOnce(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, "")))
	w.Expect(w.ready(t)).To(HavePrefix("False Contended"))
	w.change(t, suspend)
	w.suspended(t)
	w.Expect(w.ready(t)).To(HavePrefix("False Contended"))
	w.clockAt(time.Now().Add(10 * time.Minute))
	w.reconcile(t)
	w.Expect(w.ready(t)).To(HavePrefix("True Suspended"))
	w.Expect(conditionsOf(w.policy(t))).NotTo(ContainElement(HavePrefix("Contended")))
}

// The version in which an object is looked up may change from one look to the next.
func TestAnObjectOfASuspendedPolicyStandsInWhateverVersionItIsRead(t *testing.T) {
	w := newMirrored(t)
	w.change(t, suspend)
	s := newScope(w.policy(t), now.Time)
	s.suspended = "spec.suspend is set"
	web := w.reconciler.standing(s)
	w.Expect(web).To(HaveLen(1))
	web[0].kind.Version = "v1beta1"
	s.unwatched = web
	w.reconciler.lookAtApplied(s)
	w.Expect(s.reports).NotTo(HaveKey("Applied"), "it stands")
	web[0].name.Name = "api"
	w.Expect(w.cluster.Tracker().Delete(httpRoutes, "test", "web")).To(Succeed())
	w.Eventually(func() string {
		w.reconciler.lookAtApplied(s)
		return s.reports["Applied"].reason
	}).Should(Equal("NotApplied"), "another object of the kind is none of it")
}
