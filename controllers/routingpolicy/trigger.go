package routingpolicy

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/desired"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/observe"
)

// trigger says by which states of the variants the policy goes. What can't be judged counts as last known of the same Subject:
// for mirrors only as long as the grace lasts, for all else that is rendered until it is known again.
func (r *Reconciler) trigger(_ context.Context, s *scope) outcome {
	s.state = desired.State{Policy: s.policy, Subject: s.subject}
	triggering, missing := desired.Triggers(s.policy, s.subject)
	var unknown []string
	s.unknownBecause = iter8v1alpha1.ReasonVariantStateUnknown
	unweighed := false
	for i := range s.subject.Spec.Variants {
		name, observed := s.subject.Spec.Variants[i].Name, s.observation.Variants[i]
		state, since := r.stateOf(s, name, observed)
		known := iter8v1alpha1.KnownVariant{Name: name, Available: state.LastAvailable}
		if !since.IsZero() {
			known.UnknownSince = &since
			weightMatters := state.LastAvailable && observed.WeightUnread && !desired.BuiltIn(s.policy)
			unweighed = unweighed || weightMatters
			if weightMatters || slices.Contains(triggering, name) { // of others, the mirrors say it
				if observed.State == observe.Invalid {
					s.unknownBecause = iter8v1alpha1.ReasonSubjectInvalid
				}
				unknown = append(unknown, fmt.Sprintf("variant %s counts as %s, as it was last known: %s",
					name, availability(state.LastAvailable), state.Message))
			}
		}
		s.state.Variants, s.known = append(s.state.Variants, state), append(s.known, known)
	}
	s.stateUnknown = strings.Join(unknown, "; ")
	if s.observation.Pending() {
		return hold // what is certain already takes mirrors out
	}
	if missing != nil {
		return s.interrupt(iter8v1alpha1.ReasonVariantNotFound, missing.Error())
	}
	if unweighed {
		// What the weight of such a variant makes of what is rendered isn't known either.
		return s.interrupt(s.unknownBecause, s.stateUnknown)
	}
	return advance
}

// stateOf returns the state of a variant, and since when it is unknown; the zero time where it is known.
func (r *Reconciler) stateOf(s *scope, name string, observed observe.Variant) (desired.Variant, metav1.Time) {
	state := desired.Variant{
		State: mirrors.Available, LastAvailable: observed.Available(), AnnotatedWeight: observed.AnnotatedWeight, Weight: observed.Weight,
		PodLabels: observed.PodLabels, Message: decisive(observed),
	}
	switch {
	case observed.Known() && !observed.Available():
		state.State = mirrors.NotAvailable
		return state, metav1.Time{}
	case observed.Known() && observed.UnreadableSince.IsZero():
		return state, metav1.Time{}
	}
	was := s.lastKnown(name)
	if observed.State == observe.Pending {
		state.State, state.LastAvailable = mirrors.Unknown, was.Available
		if was.Available && (was.UnknownSince == nil || r.graceLeft(s, was.UnknownSince.Time) > 0) {
			state.State = mirrors.UnknownAvailable
		}
		if seen, ok := s.seenUnknown[s.variantKey(name)]; ok {
			s.unknown[s.variantKey(name)] = seen
		}
		return state, unknownSince(was)
	}
	state.LastAvailable = state.LastAvailable || was.Available && !observed.Known()
	since := s.now
	if unreadable := observed.UnreadableSince; !unreadable.IsZero() && unreadable.Before(since) {
		since = unreadable
	}
	if was.UnknownSince != nil && was.UnknownSince.Time.Before(since) {
		since = was.UnknownSince.Time
	}
	since = s.unknownAtLeastSince(s.variantKey(name), since)
	s.unknown[s.variantKey(name)] = since
	state.State = mirrors.Unknown
	if left := r.graceLeft(s, since); state.LastAvailable && left > 0 {
		state.State = mirrors.UnknownAvailable
		s.retryAfter(left)
	}
	return state, metav1.NewTime(since).Rfc3339Copy()
}

func unknownSince(was iter8v1alpha1.KnownVariant) metav1.Time {
	if was.UnknownSince == nil {
		return metav1.Time{}
	}
	return *was.UnknownSince
}

// grace is how long mirrors of a policy stand for a variant whose state isn't known: the last quarter of the configured time is spread
// over the policies, so that what ends for many of them doesn't end at once.
func (r *Reconciler) grace(policy types.UID) time.Duration {
	const parts = 1 << 10
	hash := fnv.New32a()
	_, _ = hash.Write([]byte(policy))
	return r.UnknownGrace - r.UnknownGrace/4*time.Duration(hash.Sum32()%parts)/parts
}

// lastKnown returns what the status has of a variant of the same Subject.
func (s *scope) lastKnown(name string) iter8v1alpha1.KnownVariant {
	if known := s.policy.Status.Subject; known == nil || known.UID != s.subject.UID {
		return iter8v1alpha1.KnownVariant{}
	}
	for _, v := range s.policy.Status.Variants {
		if v.Name == name {
			return v
		}
	}
	return iter8v1alpha1.KnownVariant{}
}

// decisive returns the message on the resource that decides about a variant, or on one that is judged as last seen.
func decisive(v observe.Variant) string {
	if i := slices.IndexFunc(v.Problems, func(p observe.Problem) bool { return p.State == v.State }); i >= 0 {
		return v.Problems[i].Message
	}
	return strings.Join(v.Stale, "; ")
}

func availability(available bool) string {
	if available {
		return "available"
	}
	return "not available"
}
