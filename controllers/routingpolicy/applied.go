package routingpolicy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/desired"
	"iter8.tools/operator/controllers/mirrors"
)

// decideStanding decides about mirrors that stand. They go by the rules by which they were applied, which are those of the spec as it is
// only where that is what is applied.
func (r *Reconciler) decideStanding(s *scope, all []standing) mirrors.Decisions {
	input := r.decisionInput(s, s.state, objectsOf(all))
	if s.subject == nil {
		return mirrors.Decide(input)
	}
	input.BuiltIn = s.appliedBuiltIn()
	for _, o := range all {
		for _, m := range asTheyStand(o.object, s.policy.Namespace) {
			if names := s.variantOf(m.Mirror); names != "" {
				input.Applied = append(input.Applied, r.appliedFor(s, m.Mirror, strings.Split(names, ", "), input.Variants))
			}
		}
	}
	return mirrors.Decide(input)
}

// appliedBuiltIn reports whether what stands was rendered by a built-in chart.
func (s *scope) appliedBuiltIn() bool {
	last := s.policy.Status.AppliedSpec
	if last == nil || last.Digest == specDigest(s.policy.Spec) {
		return desired.BuiltIn(s.policy)
	}
	return s.policy.Status.Chart != nil && s.policy.Status.Chart.Repository == ""
}

// appliedFor returns the variants for which a mirror was applied. Those of another Subject, and those that the Subject has no more, aren't
// observed: they count as last known for as long as the grace lasts.
func (r *Reconciler) appliedFor(s *scope, m iter8v1alpha1.Mirror, names []string, observed []mirrors.Variant) mirrors.Applied {
	applied := mirrors.Applied{Route: m.Route, To: m.To}
	for _, name := range names {
		if v, ok := s.observes(name, observed); ok {
			applied.Variants = append(applied.Variants, v)
			continue
		}
		if applied.UnknownSince == nil {
			since := s.unobservedSince(m)
			applied.UnknownSince = &since
		}
		v := mirrors.Variant{Name: name, State: mirrors.UnknownAvailable, Message: fmt.Sprintf("variant %s is not observed any more", name)}
		if known := s.policy.Status.Subject; known != nil {
			v.Message = fmt.Sprintf("variant %s of Subject %s is not observed any more", name, known.Name)
		}
		if r.graceLeft(s, applied.UnknownSince.Time) <= 0 || s.knownUnavailable(name) {
			v.State = mirrors.Unknown
		}
		applied.Variants = append(applied.Variants, v)
	}
	return applied
}

// observes returns a variant of what is applied as it is observed now, and reports whether it is.
func (s *scope) observes(name string, observed []mirrors.Variant) (mirrors.Variant, bool) {
	if known := s.policy.Status.Subject; known == nil || known.UID != s.subject.UID {
		return mirrors.Variant{}, false
	}
	for _, v := range observed {
		if v.Name == name {
			return v, true
		}
	}
	return mirrors.Variant{}, false
}

// knownUnavailable reports whether a variant of what is applied was not available when that was last known.
func (s *scope) knownUnavailable(name string) bool {
	return slices.ContainsFunc(s.policy.Status.Variants, func(v iter8v1alpha1.KnownVariant) bool { return v.Name == name && !v.Available })
}

// unobservedSince returns since when a mirror's variants aren't observed.
func (s *scope) unobservedSince(m iter8v1alpha1.Mirror) metav1.Time {
	for _, was := range s.policy.Status.Mirrors {
		if was.Route == m.Route && was.To == m.To && was.UnknownSince != nil {
			return *was.UnknownSince
		}
	}
	return metav1.NewTime(s.unknownAtLeastSince(targetKey{m.Route, m.To}.String(), s.now)).Rfc3339Copy()
}

// variantOf returns the variants that the status has of the mirrors of a route to a target, of those that stand where there are any.
func (s *scope) variantOf(m iter8v1alpha1.Mirror) string {
	return variantOf(s.policy.Status.Mirrors, m)
}

func variantOf(known []iter8v1alpha1.Mirror, m iter8v1alpha1.Mirror) string {
	variant := ""
	for _, was := range known {
		switch {
		case was.Route != m.Route || was.To != m.To || was.Variant == "":
		case was.State != iter8v1alpha1.MirrorWithheld:
			return was.Variant
		case variant == "":
			variant = was.Variant
		}
	}
	return variant
}

// graceLeft returns how much is left of the time for which mirrors stand for what isn't known.
func (r *Reconciler) graceLeft(s *scope, since time.Time) time.Duration {
	return since.Add(r.grace(s.policy.UID)).Sub(s.now)
}

// noteUnobserved keeps since when the variants of an object's mirrors aren't observed, and comes back to those that stand on.
func (r *Reconciler) noteUnobserved(s *scope, report []mirrors.Mirror) {
	for _, m := range report {
		if m.UnknownSince == nil {
			continue
		}
		key := targetKey{m.Route, m.To}
		s.unobserved[key], s.unknown[key.String()] = m.UnknownSince, m.UnknownSince.Time
		if left := r.graceLeft(s, m.UnknownSince.Time); left > 0 {
			s.retryAfter(left)
		}
	}
}

// targetKey identifies the mirrors of a route to a target.
type targetKey struct{ route, to string }
