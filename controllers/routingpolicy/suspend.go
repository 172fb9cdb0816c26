package routingpolicy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/desired"
	"iter8.tools/operator/controllers/routes"
)

// suspend leaves everything as it is, but for mirrors that are to be out whatever else is. What the phases said of what stands goes on
// being said of it, by the conditions of the status: nothing else knows it.
func (r *Reconciler) suspend(_ context.Context, s *scope) outcome {
	s.withheld = append(s.withheld, desired.Withheld(s.policy)...)
	if !s.policy.Spec.Suspend {
		return advance
	}
	s.suspended = s.suspension()
	for _, t := range phaseConditions {
		c := meta.FindStatusCondition(s.policy.Status.Conditions, t)
		if c != nil && c.Reason != iter8v1alpha1.ReasonSkipped {
			s.reports[t] = report{status: c.Status, reason: c.Reason, message: c.Message, generation: c.ObservedGeneration, before: true}
		}
	}
	return conclude
}

// suspension says what a suspended policy's spec comes to, and which changes of it wait.
func (s *scope) suspension() string {
	message := "spec.suspend is set: what is applied stays as it is"
	if s.policy.Spec.Withdrawn {
		message = "spec.suspend and spec.withdrawn are set: mirrors are taken out, all else that is applied stays as it is"
	}
	last := s.policy.Status.AppliedSpec
	switch {
	case last == nil && len(s.policy.Status.Applied) == 0:
		return message + "; nothing is known to be applied"
	case last != nil && last.Digest != specDigest(s.policy.Spec):
		return fmt.Sprintf("%s; changes of the spec since generation %d, which was applied last, wait", message, last.Generation)
	default:
		return message
	}
}

// lookAtApplied finds which of the objects that a suspended policy has applied are gone.
func (r *Reconciler) lookAtApplied(s *scope) {
	const condition = iter8v1alpha1.ConditionApplied
	if s.suspended == "" {
		return
	}
	all := r.standing(s)
	var gone []string
	for _, entry := range s.inventory() {
		stands := slices.ContainsFunc(all, func(o standing) bool {
			return o.kind.GroupKind() == apply.KeyOf(entry).GroupKind && o.name == types.NamespacedName{Namespace: s.policy.Namespace, Name: entry.Name}
		})
		if name := routes.Name(entry.Kind, entry.Name); !stands && entry.UID != "" && !s.unread[name] {
			gone = append(gone, name)
		}
	}
	switch {
	case len(gone) > 0:
		s.reports[condition] = report{status: metav1.ConditionFalse, reason: iter8v1alpha1.ReasonNotApplied,
			message: strings.Join(gone, ", ") + " no longer stands as it was applied, and is applied again once the policy is resumed"}
	case s.reports[condition].reason == iter8v1alpha1.ReasonNotApplied:
		s.reportApplied(len(s.inventory()))
	}
}

// appliedSpec is the spec that is applied now; nil where all that was applied went with its Subject.
func (s *scope) appliedSpec() *iter8v1alpha1.AppliedSpec {
	if s.subjectGone {
		return nil
	}
	if last := s.policy.Status.AppliedSpec; last != nil && last.Generation == s.policy.Generation {
		return last
	}
	return &iter8v1alpha1.AppliedSpec{Generation: s.policy.Generation, Digest: specDigest(s.policy.Spec)}
}

// specDigest stands for a spec, but for what says whether it is acted on. A default that an earlier version of the API didn't have changes
// nothing.
func specDigest(spec iter8v1alpha1.RoutingPolicySpec) string {
	spec.Suspend, spec.Withdrawn = false, false
	if spec.DeletionPolicy == iter8v1alpha1.DeletionDelete {
		spec.DeletionPolicy = ""
	}
	return "sha256:" + digestOf(spec)
}

// lastLook marks what isn't looked at while a policy is suspended.
const lastLook = "when it was last looked at: "

func asLastSeen(message string) string { return lastLook + strings.TrimPrefix(message, lastLook) }

// problemsOfSuspended are what keeps a suspended policy from being Ready: what is wrong with what stands, and what was wrong with the
// policy as a whole when it was suspended. Nothing of the latter ends before it is resumed, but for fights.
func (s *scope) problemsOfSuspended() []report {
	var problems []report
	if s.editFailed != nil {
		problems = append(problems, *s.editFailed)
	}
	for _, t := range phaseConditions {
		r, ok := s.reports[t]
		if !ok || r.status == metav1.ConditionTrue || r.status == metav1.ConditionUnknown && t == iter8v1alpha1.ConditionAccepted {
			continue
		}
		r.status = metav1.ConditionFalse // what isn't known won't be
		if r.before {
			r.message = asLastSeen(r.message)
		}
		problems = append(problems, r)
	}
	if s.contended != "" {
		problems = append(problems, s.fight())
	}
	was := meta.FindStatusCondition(s.policy.Status.Conditions, iter8v1alpha1.ConditionReady)
	if len(problems) == 0 && was != nil && was.Status == metav1.ConditionFalse && was.Reason != iter8v1alpha1.ReasonContended {
		if row, _ := iter8v1alpha1.LookupReason(was.Reason); slices.Contains(row.Conditions, ofReady) {
			problems = append(problems, report{status: was.Status, reason: was.Reason, message: asLastSeen(was.Message), before: true})
		}
	}
	return problems
}
