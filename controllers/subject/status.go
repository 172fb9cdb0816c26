package subject

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/conditions"
	"iter8.tools/operator/controllers/observe"
)

// maxMessage is what the API allows of a variant's message.
const maxMessage = 4096

// statusOf makes the status of a Subject from what was observed, with messages that are as long as there is room for; now is the time
// of whatever changed.
func statusOf(subject *iter8v1alpha1.Subject, observation observe.Observation, now metav1.Time) *iter8v1alpha1.SubjectStatus {
	full := fullStatusOf(subject, observation, now)
	status := full.DeepCopy()
	for _, limit := range conditions.Limits {
		status.Conditions = conditions.Shortened(full.Conditions, limit)
		for i, v := range full.Variants {
			status.Variants[i].Message = conditions.Truncate(v.Message, limit)
		}
		if conditions.Size(status) <= conditions.MaxStatus {
			break
		}
	}
	return status
}

func fullStatusOf(subject *iter8v1alpha1.Subject, observation observe.Observation, now metav1.Time) *iter8v1alpha1.SubjectStatus {
	status := &iter8v1alpha1.SubjectStatus{
		ObservedGeneration: subject.Generation,
		Conditions: conditions.Update(subject.Status.Conditions, subject.Generation, now,
			conditionsOf(summarize(observation))...),
	}
	before := map[string]iter8v1alpha1.VariantStatus{}
	for _, v := range subject.Status.Variants {
		before[v.Name] = v
	}
	var available []string
	for _, v := range observation.Variants {
		variant := variantStatus(v)
		variant.LastTransitionTime = now
		if b := before[v.Name]; b.Available == variant.Available { // a new one has been nothing before
			variant.LastTransitionTime = b.LastTransitionTime
		}
		if v.Available() {
			available = append(available, v.Name)
		}
		status.Variants = append(status.Variants, variant)
	}
	status.Available = fmt.Sprintf("%d/%d", len(available), len(observation.Variants))
	status.AvailableVariants = strings.Join(available, ",")
	return status
}

func variantStatus(v observe.Variant) iter8v1alpha1.VariantStatus {
	status := iter8v1alpha1.VariantStatus{Name: v.Name, Available: metav1.ConditionUnknown, Reason: reasonOf(v.State)}
	switch {
	case v.Available():
		status.Available = metav1.ConditionTrue
	case v.Known():
		status.Available = metav1.ConditionFalse
	}
	messages := append([]string(nil), v.Stale...)
	for _, problem := range v.Problems {
		messages = append(messages, problem.Message)
	}
	status.Message = conditions.Truncate(strings.Join(messages, "; "), maxMessage)
	return status
}

func reasonOf(state observe.ResourceState) string {
	switch state {
	case observe.Ready:
		return iter8v1alpha1.ReasonAvailable
	case observe.Missing:
		return iter8v1alpha1.ReasonNotFound
	case observe.Unlabelled:
		return iter8v1alpha1.ReasonLabelMissing
	case observe.Terminating:
		return iter8v1alpha1.ReasonTerminating
	case observe.NotReady:
		return iter8v1alpha1.ReasonNotReady
	case observe.Invalid:
		return iter8v1alpha1.ReasonInvalidResource
	case observe.Excess:
		return iter8v1alpha1.ReasonTooManyKinds
	default:
		return iter8v1alpha1.ReasonUnknown
	}
}

// summary is what Ready is to say.
type summary struct {
	reason, message string
}

// summarize names the worst that keeps the Subject from being observed; a variant that isn't available is no
// such thing.
func summarize(observation observe.Observation) summary {
	for _, worst := range []struct {
		state  observe.ResourceState
		reason string
	}{
		{observe.Invalid, iter8v1alpha1.ReasonInvalidResource},
		{observe.Excess, iter8v1alpha1.ReasonTooManyKinds},
		{observe.Unknown, iter8v1alpha1.ReasonWatchFailed},
		{observe.Unlabelled, iter8v1alpha1.ReasonLabelMissing},
	} {
		var messages []string
		for _, v := range observation.Variants {
			for _, problem := range v.Problems {
				if problem.State == worst.state {
					messages = append(messages, "variant "+v.Name+": "+problem.Message)
				}
			}
		}
		if len(messages) > 0 {
			return summary{worst.reason, strings.Join(messages, "; ")}
		}
	}
	for _, v := range observation.Variants {
		if len(v.Stale) > 0 {
			return summary{iter8v1alpha1.ReasonWatchFailed, "variant " + v.Name + ": " + strings.Join(v.Stale, "; ")}
		}
	}
	for _, v := range observation.Variants {
		if len(v.Problems) > 0 {
			return summary{iter8v1alpha1.ReasonObserved, "variant " + v.Name + " is not available: " + v.Problems[0].Message}
		}
	}
	return summary{iter8v1alpha1.ReasonObserved, "all variants are available"}
}

// conditionsOf is the only place that makes a Subject's conditions.
func conditionsOf(s summary) []metav1.Condition {
	condition := func(kind string, value metav1.ConditionStatus) metav1.Condition {
		return metav1.Condition{Type: kind, Status: value, Reason: s.reason, Message: s.message}
	}
	r, _ := iter8v1alpha1.LookupReason(s.reason)
	if r.Recovery == iter8v1alpha1.NoRecovery {
		return []metav1.Condition{condition(iter8v1alpha1.ConditionReady, metav1.ConditionTrue)}
	}
	return []metav1.Condition{
		condition(iter8v1alpha1.ConditionReady, metav1.ConditionFalse),
		condition(r.Recovery.Condition(), metav1.ConditionTrue),
	}
}
