package routingpolicy

import (
	"errors"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/chart"
	"iter8.tools/operator/controllers/observe"
)

var (
	then = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	now  = metav1.NewTime(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
)

// through has found that the phases up to that of a condition are through.
func through(s *scope, conditions ...string) {
	for _, c := range conditions {
		s.succeed(c, iter8v1alpha1.ReasonSucceeded, c+" is done")
	}
}

// summed gives the conditions as "type status reason: message".
func summed(conditions []metav1.Condition) []string {
	var lines []string
	for _, c := range conditions {
		lines = append(lines, strings.Join([]string{c.Type, string(c.Status), c.Reason}, " ")+": "+c.Message)
	}
	return lines
}

func TestTheConditionsOfAPolicy(t *testing.T) {
	const (
		resolved, rendered = iter8v1alpha1.ConditionChartResolved, iter8v1alpha1.ConditionRendered
		applied, accepted  = iter8v1alpha1.ConditionApplied, iter8v1alpha1.ConditionAccepted
		notTried           = "not tried, because of "
	)
	for name, test := range map[string]struct {
		found func(*scope)
		want  []string
	}{
		"all is done": {func(s *scope) { through(s, resolved, rendered, applied, accepted) }, []string{
			"ChartResolved True Succeeded: ChartResolved is done", "Rendered True Succeeded: Rendered is done", "Applied True Succeeded: Applied is done", "Accepted True Succeeded: Accepted is done",
			"Ready True Succeeded: 1 object applied for v1 available, v2 not available"}},
		"the chart isn't found": {func(s *scope) { s.fail(resolved, iter8v1alpha1.ReasonChartNotFound, errors.New("no such chart")) }, []string{
			"ChartResolved False ChartNotFound: no such chart", "Rendered Unknown Skipped: " + notTried + "ChartNotFound", "Applied Unknown Skipped: " + notTried + "ChartNotFound", "Accepted Unknown Skipped: " + notTried + "ChartNotFound",
			"Ready False ChartNotFound: no such chart", "Stalled True ChartNotFound: no such chart"}},
		"the values are wrong": {func(s *scope) {
			through(s, resolved)
			s.fail(rendered, iter8v1alpha1.ReasonInvalidValues, errors.New("no hosts"))
		}, []string{
			"ChartResolved True Succeeded: ChartResolved is done", "Rendered False InvalidValues: no hosts", "Applied Unknown Skipped: " + notTried + "InvalidValues", "Accepted Unknown Skipped: " + notTried + "InvalidValues",
			"Ready False InvalidValues: no hosts", "Stalled True InvalidValues: no hosts"}},
		"a write failed": {func(s *scope) {
			through(s, resolved, rendered)
			s.fail(applied, iter8v1alpha1.ReasonApplyFailed, errors.New("timeout"))
		}, []string{
			"ChartResolved True Succeeded: ChartResolved is done", "Rendered True Succeeded: Rendered is done", "Applied False ApplyFailed: timeout", "Accepted Unknown Skipped: " + notTried + "ApplyFailed",
			"Ready False ApplyFailed: timeout", "Reconciling True ApplyFailed: timeout"}},
		"two things failed, of which the first counts": {func(s *scope) {
			s.fail(resolved, iter8v1alpha1.ReasonUnverified, errors.New("no signature; the last chart is used"))
			through(s, rendered)
			s.fail(applied, iter8v1alpha1.ReasonRejected, errors.New("no host"))
		}, []string{
			"ChartResolved False Unverified: no signature; the last chart is used", "Rendered True Succeeded: Rendered is done", "Applied False Rejected: no host", "Accepted Unknown Skipped: " + notTried + "Unverified",
			"Ready False Unverified: no signature; the last chart is used", "Stalled True Unverified: no signature; the last chart is used"}},
		"two things failed, of which the second is tried again": {func(s *scope) {
			s.fail(resolved, iter8v1alpha1.ReasonUnverified, errors.New("no signature; the last chart is used"))
			through(s, rendered)
			s.fail(applied, iter8v1alpha1.ReasonApplyFailed, errors.New("timeout"))
		}, []string{
			"ChartResolved False Unverified: no signature; the last chart is used", "Rendered True Succeeded: Rendered is done", "Applied False ApplyFailed: timeout", "Accepted Unknown Skipped: " + notTried + "Unverified",
			"Ready False Unverified: no signature; the last chart is used", "Reconciling True ApplyFailed: timeout"}},
		"the policy was suspended before it was looked at": {func(s *scope) { s.suspended = "suspended" }, []string{
			"ChartResolved Unknown Skipped: " + notTried + "Suspended", "Rendered Unknown Skipped: " + notTried + "Suspended", "Applied Unknown Skipped: " + notTried + "Suspended", "Accepted Unknown Skipped: " + notTried + "Suspended",
			"Suspended True Suspended: suspended", "Ready True Suspended: suspended"}},
		"the Subject is gone, and all that was applied": {func(s *scope) {
			through(s, applied, accepted)
			s.interrupt(iter8v1alpha1.ReasonSubjectNotFound, "no Subject")
		}, []string{
			"ChartResolved Unknown Skipped: " + notTried + "SubjectNotFound", "Rendered Unknown Skipped: " + notTried + "SubjectNotFound", "Applied True Succeeded: Applied is done", "Accepted True Succeeded: Accepted is done",
			"Ready False SubjectNotFound: no Subject", "Reconciling True SubjectNotFound: no Subject"}},
		"the trigger is wrong": {func(s *scope) { s.interrupt(iter8v1alpha1.ReasonVariantNotFound, "no v9") }, []string{
			"ChartResolved Unknown Skipped: " + notTried + "VariantNotFound", "Rendered Unknown Skipped: " + notTried + "VariantNotFound", "Applied Unknown Skipped: " + notTried + "VariantNotFound", "Accepted Unknown Skipped: " + notTried + "VariantNotFound",
			"Ready False VariantNotFound: no v9", "Stalled True VariantNotFound: no v9"}},
		"a variant is unknown": {func(s *scope) {
			through(s, resolved, rendered, applied, accepted)
			s.stateUnknown, s.unknownBecause = "v2 is not known", iter8v1alpha1.ReasonVariantStateUnknown
		}, []string{
			"ChartResolved True Succeeded: ChartResolved is done", "Rendered True Succeeded: Rendered is done", "Applied True Succeeded: Applied is done", "Accepted True Succeeded: Accepted is done",
			"Ready False VariantStateUnknown: v2 is not known", "Reconciling True VariantStateUnknown: v2 is not known"}},
		"a variant is unknown, and a write failed": {func(s *scope) {
			through(s, resolved, rendered)
			s.fail(applied, iter8v1alpha1.ReasonApplyFailed, errors.New("timeout"))
			s.stateUnknown, s.unknownBecause = "v2 is not known", iter8v1alpha1.ReasonVariantStateUnknown
		}, []string{
			"ChartResolved True Succeeded: ChartResolved is done", "Rendered True Succeeded: Rendered is done", "Applied False ApplyFailed: timeout", "Accepted Unknown Skipped: " + notTried + "ApplyFailed",
			"Ready False ApplyFailed: timeout", "Reconciling True ApplyFailed: timeout"}},
		"a variant is unknown, since its Subject can't work": {func(s *scope) {
			through(s, resolved, rendered, applied, accepted)
			s.stateUnknown, s.unknownBecause = "v2 is not known", iter8v1alpha1.ReasonSubjectInvalid
		}, []string{
			"ChartResolved True Succeeded: ChartResolved is done", "Rendered True Succeeded: Rendered is done", "Applied True Succeeded: Applied is done", "Accepted True Succeeded: Accepted is done",
			"Ready False SubjectInvalid: v2 is not known", "Stalled True SubjectInvalid: v2 is not known"}},
		"a Subject that can't work, in a variant that doesn't matter": {func(s *scope) {
			through(s, resolved, rendered, applied, accepted)
			s.observation = observe.Observation{Variants: []observe.Variant{{Problems: []observe.Problem{{State: observe.Invalid}}}}}
		}, []string{
			"ChartResolved True Succeeded: ChartResolved is done", "Rendered True Succeeded: Rendered is done", "Applied True Succeeded: Applied is done", "Accepted True Succeeded: Accepted is done",
			"Ready True Succeeded: 1 object applied for v1 available, v2 not available"}},
		"the gateway has not reported, which is not ours to wait for": {func(s *scope) {
			through(s, resolved, rendered, applied)
			s.reports[accepted] = report{status: metav1.ConditionUnknown, reason: iter8v1alpha1.ReasonAwaitingReport, message: "HTTPRoute web: Gateway test/web has not reported on it as it is now"}
		}, []string{
			"ChartResolved True Succeeded: ChartResolved is done", "Rendered True Succeeded: Rendered is done", "Applied True Succeeded: Applied is done",
			"Accepted Unknown AwaitingReport: HTTPRoute web: Gateway test/web has not reported on it as it is now",
			"Ready True Succeeded: 1 object applied for v1 available, v2 not available"}},
		"the gateway refuses the route, for a reason that has the name of one of ours": {func(s *scope) {
			through(s, resolved, rendered, applied)
			s.reports[accepted] = report{status: metav1.ConditionFalse, byGateway: true, reason: iter8v1alpha1.ReasonRejected, message: "no"}
		}, []string{
			"ChartResolved True Succeeded: ChartResolved is done", "Rendered True Succeeded: Rendered is done", "Applied True Succeeded: Applied is done", "Accepted False Rejected: no",
			"Ready False Rejected: no", "Reconciling True Rejected: no"}},
		"the gateway refuses the route": {func(s *scope) {
			through(s, resolved, rendered, applied)
			s.reports[accepted] = report{status: metav1.ConditionFalse, byGateway: true, reason: "BackendNotFound", message: "no v2"}
		}, []string{
			"ChartResolved True Succeeded: ChartResolved is done", "Rendered True Succeeded: Rendered is done", "Applied True Succeeded: Applied is done", "Accepted False BackendNotFound: no v2",
			"Ready False BackendNotFound: no v2", "Reconciling True BackendNotFound: no v2"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScope(aPolicy(), now.Time)
			s.result = &apply.Result{Inventory: make([]iter8v1alpha1.AppliedObject, 1)}
			s.known = []iter8v1alpha1.KnownVariant{{Name: "v1", Available: true}, {Name: "v2"}}
			test.found(s)
			g.Expect(summed(s.conditions())).To(Equal(test.want))
		})
	}
}

func TestThePolicyIsAppliedForItsTriggeringVariants(t *testing.T) {
	g := NewWithT(t)
	s := newScope(aPolicy("v2"), now.Time)
	s.known = []iter8v1alpha1.KnownVariant{{Name: "v1", Available: true}, {Name: "v2"}}
	g.Expect(s.applied()).To(Equal("0 objects applied for v2 not available"))
	s.known[1].Available = true
	s.result = &apply.Result{Inventory: make([]iter8v1alpha1.AppliedObject, 2)}
	g.Expect(s.applied()).To(Equal("2 objects applied for v2 available"))
}

func TestTheStatusAfterAPlanWasExecuted(t *testing.T) {
	before := iter8v1alpha1.RoutingPolicyStatus{
		ObservedGeneration: 2,
		Chart:              &iter8v1alpha1.ResolvedChart{Name: "mirror", Version: "0.1.0"},
		Checked:            "sha256:before",
		Variants:           []iter8v1alpha1.KnownVariant{{Name: "v2", Available: true}},
		Applied:            []iter8v1alpha1.AppliedObject{{Name: "a"}},
	}
	s := newScope(aPolicy("v2"), now.Time)
	s.policy.Status = before
	s.state.Chart = &chart.Chart{Resolved: iter8v1alpha1.ResolvedChart{Name: "mirror", Version: "0.2.0"}}
	s.subject, s.known = aSubject(), []iter8v1alpha1.KnownVariant{{Name: "v1", Available: true}, {Name: "v2", UnknownSince: &then}}
	s.result = &apply.Result{Inventory: []iter8v1alpha1.AppliedObject{{Name: "a"}, {Name: "b"}}}
	s.mirrors = []iter8v1alpha1.Mirror{{To: "v2:80", Percent: "5", State: iter8v1alpha1.MirrorActive}, {To: "v3:80", Percent: "0", State: iter8v1alpha1.MirrorWithheld}}

	t.Run("something failed", func(t *testing.T) {
		g := NewWithT(t)
		s.result.Failures = []apply.Failure{{Reason: iter8v1alpha1.ReasonApplyFailed}}
		given := s.policy.DeepCopy()
		status := s.status()
		g.Expect(s.policy).To(Equal(given), "the policy is changed")
		g.Expect(status.ObservedGeneration).To(BeEquivalentTo(3))
		g.Expect(status.Applied).To(Equal(s.result.Inventory))
		g.Expect(status.Mirrors).To(Equal(s.mirrors))
		g.Expect(status.MirrorTargets).To(Equal("v2:80 (5%)"))
		g.Expect(status.Chart).To(Equal(before.Chart), "what stands is of the chart before")
		g.Expect(status.Checked).To(Equal("sha256:before"), "nothing else has been accepted")
	})
	t.Run("all was applied", func(t *testing.T) {
		g := NewWithT(t)
		s.result.Failures, s.checked = nil, "sha256:after"
		status := s.status()
		g.Expect(status.Chart).To(Equal(&iter8v1alpha1.ResolvedChart{Name: "mirror", Version: "0.2.0"}))
		g.Expect(status.Checked).To(Equal("sha256:after"))
		g.Expect(status.Subject).To(Equal(&iter8v1alpha1.ObservedSubject{Name: "web", Namespace: "test", UID: "subject-uid"}))
		g.Expect(status.Variants).To(Equal([]iter8v1alpha1.KnownVariant{{Name: "v1", Available: true}, {Name: "v2", UnknownSince: &then}}))
	})
	t.Run("the policy brings its own templates", func(t *testing.T) {
		s.state.Chart = nil
		NewWithT(t).Expect(s.status().Chart).To(BeNil())
	})
	t.Run("the Subject is gone, and what is known of its variants", func(t *testing.T) {
		g := NewWithT(t)
		gone := newScope(aPolicy("v2"), now.Time)
		gone.policy.Status, gone.subjectGone = before, true
		g.Expect(gone.status().Variants).To(BeEmpty())
	})
	t.Run("nothing was planned", func(t *testing.T) {
		g := NewWithT(t)
		stopped := newScope(aPolicy("v2"), now.Time)
		stopped.policy.Status = before
		stopped.suspended = "suspended"
		status := stopped.status()
		status.Conditions, status.ObservedGeneration = nil, 2
		g.Expect(*status).To(Equal(before), "what is applied stays, and so does what is told of it")
	})
}

func TestAMirrorThatIsWithheldIsSaidInReady(t *testing.T) {
	withheldFor := func(to, reason string) iter8v1alpha1.Mirror {
		return iter8v1alpha1.Mirror{To: to, Percent: "0", State: iter8v1alpha1.MirrorWithheld, Reason: reason, Message: "no mirror to " + to + ": oh"}
	}
	for name, test := range map[string]struct {
		mirrors []iter8v1alpha1.Mirror
		ready   string
	}{
		"none is": {[]iter8v1alpha1.Mirror{{To: "v2", Percent: "5", State: iter8v1alpha1.MirrorActive, Reason: "LimitedByWeight", Message: "only 5%"}},
			"True Succeeded: 0 objects applied for v2 available"},
		"one is, as it should be": {[]iter8v1alpha1.Mirror{withheldFor("v2", "VariantNotAvailable")}, "True Succeeded: no mirror to v2: oh"},
		"two are, as they should be": {[]iter8v1alpha1.Mirror{withheldFor("v2", "VariantNotAvailable"), withheldFor("v3", "Withdrawn")},
			"True Succeeded: no mirror to v2: oh (and 1 more: see status.mirrors)"},
		"two are, in the same words":                                  {[]iter8v1alpha1.Mirror{withheldFor("v2", "VariantNotAvailable"), withheldFor("v2", "VariantNotAvailable")}, "True Succeeded: no mirror to v2: oh"},
		"a weight is not valid":                                       {[]iter8v1alpha1.Mirror{withheldFor("v2", "ZeroPercent"), withheldFor("v3", "InvalidWeight")}, "False InvalidWeight: no mirror to v3: oh"},
		"its variant is unknown, by which the policy isn't triggered": {[]iter8v1alpha1.Mirror{withheldFor("v3", "VariantStateUnknown")}, "False VariantStateUnknown: no mirror to v3: oh"},
		"it was altered":                                              {[]iter8v1alpha1.Mirror{withheldFor("v2", "Altered")}, "False Altered: no mirror to v2: oh"},
		"a gateway lacks a feature":                                   {[]iter8v1alpha1.Mirror{withheldFor("v2", "UnsupportedByGateway")}, "False UnsupportedByGateway: no mirror to v2: oh"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScope(aPolicy("v2"), now.Time)
			s.known, s.mirrors = []iter8v1alpha1.KnownVariant{{Name: "v2", Available: true}}, test.mirrors
			s.unknownBecause = iter8v1alpha1.ReasonVariantStateUnknown
			through(s, phaseConditions...)
			NewWithT(t).Expect(summed(s.conditions())).To(ContainElement("Ready " + test.ready))
		})
	}
}

func TestAStatusIsTheSameOnTheNextRun(t *testing.T) {
	g := NewWithT(t)
	run := func(policy *iter8v1alpha1.RoutingPolicy, at metav1.Time) {
		s := newScope(policy, at.Time)
		s.subject, s.known = aSubject(), []iter8v1alpha1.KnownVariant{{Name: "v2", Available: true}}
		s.mirrors = mirrorReport{previous: policy.Status.Mirrors, now: at.Time, standing: []iter8v1alpha1.Mirror{
			{Route: "HTTPRoute/a", To: "web-v2:80", Percent: "100", State: iter8v1alpha1.MirrorActive}}}.mirrors()
		s.result = &apply.Result{Inventory: []iter8v1alpha1.AppliedObject{{Name: "a"}}}
		through(s, phaseConditions...)
		policy.Status = *s.status()
	}
	policy := aPolicy()
	run(policy, then)
	first := policy.Status.DeepCopy()
	run(policy, now)
	g.Expect(equality.Semantic.DeepEqual(policy.Status, *first)).To(BeTrue(), "so that nothing is written at rest")
	g.Expect(policy.Status.Conditions).To(HaveEach(HaveField("LastTransitionTime", then)))
	g.Expect(policy.Status.Mirrors).To(HaveEach(HaveField("Since", HaveValue(Equal(then)))))
}
