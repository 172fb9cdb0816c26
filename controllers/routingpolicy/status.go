package routingpolicy

import (
	"fmt"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/conditions"
	"iter8.tools/operator/controllers/routes"
)

// phaseConditions are in the order of the phases that they report.
var phaseConditions = []string{
	iter8v1alpha1.ConditionChartResolved,
	iter8v1alpha1.ConditionRendered,
	iter8v1alpha1.ConditionApplied,
	iter8v1alpha1.ConditionAccepted,
}

// mirrorStatus is the status with what is known of the mirrors, and all else as it was.
func (s *scope) mirrorStatus() *iter8v1alpha1.RoutingPolicyStatus {
	status := s.stateStatus()
	fit(status, s.mirrors)
	return status
}

// stateStatus is the status with what is known of the state, but for the list of mirrors, and all else as it was.
func (s *scope) stateStatus() *iter8v1alpha1.RoutingPolicyStatus {
	status := s.policy.Status.DeepCopy()
	status.Applied = s.withAcceptance(s.inventory())
	status.MirrorTargets = conditions.Truncate(routes.Targets(s.mirrors), maxTargets)
	switch {
	case s.subjectGone:
		status.Variants = nil
	case s.known != nil && (status.Subject == nil || status.Subject.UID == s.subject.UID || s.settled()):
		// Until all is applied for another Subject, what stands is that of the one before.
		status.Subject = s.observed()
		status.Variants = s.known
	}
	return status
}

// settled reports whether all is applied.
func (s *scope) settled() bool { return s.result != nil && len(s.result.Failures) == 0 }

// observed identifies the Subject whose variants were observed.
func (s *scope) observed() *iter8v1alpha1.ObservedSubject {
	return &iter8v1alpha1.ObservedSubject{Name: s.subject.Name, Namespace: s.subject.Namespace, UID: s.subject.UID}
}

// status is what the phases found. What no phase touched stays as it was.
func (s *scope) status() *iter8v1alpha1.RoutingPolicyStatus {
	status := s.stateStatus()
	if !s.unorphaned { // by which a person sees that it may be deleted
		status.ObservedGeneration = s.policy.Generation
	}
	if s.checked != "" && s.settled() {
		status.Checked = s.checked
	}
	if s.settled() {
		status.Chart = s.renderedChart()
		status.AppliedSpec = s.appliedSpec()
	}
	if s.warned {
		status.Warnings = s.warnings
	}
	status.Conditions = conditions.Update(status.Conditions, s.policy.Generation, metav1.NewTime(s.now), s.conditions()...)
	whole := fit(status, s.mirrors)
	tellOmissions(status, len(s.mirrors))
	switch {
	case !whole:
		status.Inputs = "" // by which what is left out would be lost
	case s.suspended == "":
		status.Inputs = sealed(s.inputs, status)
	}
	return status
}

// renderedChart is the chart that the applied objects were made of, nil where there is none.
func (s *scope) renderedChart() *iter8v1alpha1.ResolvedChart {
	if s.state.Chart == nil {
		return nil
	}
	resolved := s.state.Chart.Resolved
	return &resolved
}

// conditions is the only place that makes a policy's conditions. Ready repeats the first problem, and so does Stalled or
// Reconciling; but what is tried again keeps the policy from being Stalled.
func (s *scope) conditions() []metav1.Condition {
	problems := s.problems()
	switch {
	case len(problems) > 0:
	case s.suspended != "":
		problems = []report{{status: metav1.ConditionTrue, reason: iter8v1alpha1.ReasonSuspended, message: s.suspended}}
	default:
		problems = []report{{status: metav1.ConditionTrue, reason: iter8v1alpha1.ReasonSucceeded, message: s.applied()}}
	}
	ready := problems[0]
	wanted := make([]metav1.Condition, 0, len(phaseConditions)+3)
	for _, t := range phaseConditions {
		r, ok := s.reports[t]
		if !ok {
			r = report{status: metav1.ConditionUnknown, reason: iter8v1alpha1.ReasonSkipped, message: "not tried, because of " + s.skippedFor(ready)}
		}
		wanted = append(wanted, conditionOf(t, r))
	}
	if s.contended != "" {
		wanted = append(wanted, conditionOf(iter8v1alpha1.ConditionContended, report{status: metav1.ConditionTrue, reason: iter8v1alpha1.ReasonContended, message: s.contended}))
	}
	if s.suspended != "" {
		wanted = append(wanted, metav1.Condition{Type: iter8v1alpha1.ConditionSuspended, Status: metav1.ConditionTrue,
			Reason: iter8v1alpha1.ReasonSuspended, Message: s.suspended})
	}
	ready.generation = 0 // Ready is of the present one, which suspends what another one brought about
	wanted = append(wanted, conditionOf(iter8v1alpha1.ConditionReady, ready))
	progress := ready
	if i := slices.IndexFunc(problems, func(r report) bool { return r.recovery() == iter8v1alpha1.Retries }); i >= 0 {
		progress = problems[i]
	}
	if kind := s.condition(progress.recovery()); kind != "" {
		wanted = append(wanted, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: progress.reason, Message: progress.message})
	}
	return wanted
}

func conditionOf(kind string, r report) metav1.Condition {
	return metav1.Condition{Type: kind, Status: r.status, Reason: r.reason, Message: r.message, ObservedGeneration: r.generation}
}

// condition is the type of the condition that stands beside Ready. What waits in a suspended policy waits for it to be resumed.
func (s *scope) condition(recovery iter8v1alpha1.Recovery) string {
	if s.suspended != "" && recovery == iter8v1alpha1.Waits {
		recovery = iter8v1alpha1.Stalls
	}
	return recovery.Condition()
}

// skippedFor is the reason for which phases weren't tried.
func (s *scope) skippedFor(ready report) string {
	if s.suspended != "" {
		return iter8v1alpha1.ReasonSuspended
	}
	return ready.reason
}

// problems are what keeps the policy from being Ready, in the order of the phases.
func (s *scope) problems() []report {
	if s.suspended != "" {
		return s.problemsOfSuspended()
	}
	if s.interruption != nil {
		return []report{*s.interruption}
	}
	var problems []report
	for _, t := range phaseConditions {
		r := s.reports[t]
		if r.status == metav1.ConditionFalse || r.status == metav1.ConditionUnknown && t != iter8v1alpha1.ConditionAccepted { // a gateway's silence is no failure
			problems = append(problems, r)
		}
	}
	if s.contended != "" {
		problems = append(problems, s.fight())
	}
	if s.stateUnknown != "" {
		problems = append(problems, report{status: metav1.ConditionFalse, reason: s.unknownBecause, message: s.stateUnknown})
	}
	for _, m := range s.mirrors {
		row, _ := iter8v1alpha1.LookupReason(m.Reason)
		said := s.stateUnknown != "" && m.Reason == s.unknownBecause
		if !said && slices.Contains(row.Conditions, ofReady) {
			return append(problems, report{status: metav1.ConditionFalse, reason: m.Reason, message: m.Message})
		}
	}
	return problems
}

// fight is what others fight with the policy about.
func (s *scope) fight() report {
	return report{status: metav1.ConditionFalse, reason: iter8v1alpha1.ReasonContended, message: s.contended}
}

// ofReady marks the reasons of a mirror that keep a policy from being Ready.
const ofReady = "RoutingPolicy " + iter8v1alpha1.ConditionReady

// applied says why something isn't mirrored, else what stands, and for which state of the triggering variants.
func (s *scope) applied() string {
	var why []string
	for _, m := range s.mirrors {
		if m.State == iter8v1alpha1.MirrorWithheld && !slices.Contains(why, m.Message) {
			why = append(why, m.Message)
		}
	}
	switch len(why) {
	case 0:
	case 1:
		return why[0]
	default:
		return fmt.Sprintf("%s (and %d more: see status.mirrors)", why[0], len(why)-1)
	}
	states := make([]string, 0, len(s.known))
	for _, v := range s.known {
		if trigger := s.policy.Spec.Trigger; trigger == nil || slices.Contains(trigger.Variants, v.Name) {
			states = append(states, v.Name+" "+availability(v.Available))
		}
	}
	return fmt.Sprintf("%s applied for %s", count(len(s.inventory()), "object"), strings.Join(states, ", "))
}
