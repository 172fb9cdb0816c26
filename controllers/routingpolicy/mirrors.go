package routingpolicy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/conditions"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
)

// mirrorKey identifies a mirror in all states of a route.
type mirrorKey struct{ route, match, to string }

func keyOf(m iter8v1alpha1.Mirror) mirrorKey { return mirrorKey{m.Route, m.Match, m.To} }

// percentOf reads a percentage that was written by the operator.
func percentOf(m iter8v1alpha1.Mirror) float64 {
	percent, _ := strconv.ParseFloat(m.Percent, 64)
	return percent
}

// mirrorReport is what the status says of mirrors is made of.
type mirrorReport struct {
	// asked are all that the rendered routes ask for, with what was decided about each; nil where nothing is known of that.
	asked []mirrors.Mirror
	// places are the mirrors at a path of a route as it was sent, by route and path: one that is asked for stands in several where its
	// rule is split.
	places map[string]mirrorKey
	// standing are those in the routes as the cluster holds them, with their state.
	standing []iter8v1alpha1.Mirror
	// unread are the routes of which it isn't known what stands: what was known last holds.
	unread map[string]bool
	// withdrawn are those that were taken out of routes beside what was applied.
	withdrawn []mirrors.Mirror
	// applied reports whether a route stands as it was rendered.
	applied func(route string) bool
	// edited are the routes that were edited beside that.
	edited map[string]bool
	// previous are those of the status, and explain says why one of them that isn't known to be asked for now is withheld.
	previous []iter8v1alpha1.Mirror
	explain  func(iter8v1alpha1.Mirror) (reason, message string)
	// trials are those of mirrors that a gateway hasn't confirmed.
	trials trials
	now    time.Time
}

// mirrors returns what the status says of every mirror, in the order of the routes.
func (r mirrorReport) mirrors() []iter8v1alpha1.Mirror {
	left := slices.Clone(r.standing)
	outcomes := make([]iter8v1alpha1.Mirror, len(r.asked))
	for _, withheld := range []bool{false, true} { // one that is withheld may have the key of one that stands
		for i, asked := range r.asked {
			if asked.Withheld() == withheld {
				outcomes[i] = r.outcome(asked, &left)
			}
		}
	}
	all := slices.Concat(outcomes, left)
	for _, m := range r.withdrawn {
		if !slices.ContainsFunc(all, func(other iter8v1alpha1.Mirror) bool { return keyOf(other) == keyOf(m.Mirror) }) {
			all = append(all, withheld(m.Mirror, m.Reason, m.Message))
		}
	}
	all = append(all, r.remembered(all)...)
	for i := range all {
		all[i].Since = r.since(all[i])
		r.trials.record(&all[i], r.previous)
	}
	return all
}

// outcome is what became of a mirror that is asked for; where it stands, it is taken from what is left of the standing ones.
func (r mirrorReport) outcome(asked mirrors.Mirror, left *[]iter8v1alpha1.Mirror) iter8v1alpha1.Mirror {
	m, keys := asked.Mirror, r.keysOf(asked)
	stands := false
	for _, key := range keys {
		if i := slices.IndexFunc(*left, func(s iter8v1alpha1.Mirror) bool { return keyOf(s) == key }); i >= 0 {
			m.Percent, m.State, m.UnknownSince, stands = (*left)[i].Percent, (*left)[i].State, (*left)[i].UnknownSince, true
			if (*left)[i].Reason != "" {
				m.Reason, m.Message = (*left)[i].Reason, (*left)[i].Message
			}
			if before := variantOf(r.previous, m); before != "" && !r.applied(m.Route) {
				m.Variant = before // of which it was applied
			}
			*left = slices.Delete(*left, i, i+1)
		}
	}
	if stands {
		return m
	}
	if was, ok := r.lastKnown(asked); ok && r.unread[m.Route] {
		return unconfirmed(was)
	}
	if i := slices.IndexFunc(r.withdrawn, func(w mirrors.Mirror) bool { return slices.Contains(keys, keyOf(w.Mirror)) }); i >= 0 && !asked.Withheld() {
		m.Variant = cmp.Or(r.withdrawn[i].Variant, m.Variant)
		return withheld(m, r.withdrawn[i].Reason, r.withdrawn[i].Message)
	}
	switch {
	case asked.Withheld():
		return withheld(m, m.Reason, m.Message)
	case r.applied(m.Route):
		return withheld(m, iter8v1alpha1.ReasonAltered, fmt.Sprintf("no mirror to %s: %s", m.To, alteration))
	default:
		return withheld(m, iter8v1alpha1.ReasonNotApplied, fmt.Sprintf("no mirror to %s: %s is not applied as it is rendered", m.To, m.Route))
	}
}

// keysOf returns the keys of a mirror that is asked for, as it stands.
func (r mirrorReport) keysOf(asked mirrors.Mirror) []mirrorKey {
	var keys []mirrorKey
	for _, place := range asked.Places {
		if key, ok := r.places[asked.Route+" "+place]; ok {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return []mirrorKey{keyOf(asked.Mirror)}
	}
	return keys
}

// lastKnown returns what the status has of a mirror: of several with its key, one that was withheld too, or stood too.
func (r mirrorReport) lastKnown(asked mirrors.Mirror) (iter8v1alpha1.Mirror, bool) {
	var first iter8v1alpha1.Mirror
	known := false
	for _, was := range r.previous {
		switch {
		case keyOf(was) != keyOf(asked.Mirror):
		case (was.State == iter8v1alpha1.MirrorWithheld) == asked.Withheld():
			return was, true
		case !known:
			first, known = was, true
		}
	}
	return first, known
}

// remembered are the mirrors of the status that aren't known to stand: those that may, and while it isn't known what is asked for
// all of them.
func (r mirrorReport) remembered(known []iter8v1alpha1.Mirror) []iter8v1alpha1.Mirror {
	var all []iter8v1alpha1.Mirror
	for _, m := range r.previous {
		if slices.ContainsFunc(known, func(other iter8v1alpha1.Mirror) bool { return keyOf(other) == keyOf(m) }) {
			continue
		}
		switch {
		case r.unread[m.Route] && (r.asked == nil || m.State != iter8v1alpha1.MirrorWithheld):
			all = append(all, unconfirmed(m))
			continue
		case r.asked != nil:
			continue
		}
		reason, message := r.explain(m)
		all = append(all, withheld(m, reason, message))
	}
	return all
}

// unconfirmed is what is said of a mirror whose route can't be read: that it stands is what was known last, and what its gateways say of it isn't
// known.
func unconfirmed(m iter8v1alpha1.Mirror) iter8v1alpha1.Mirror {
	if m.State == iter8v1alpha1.MirrorActive {
		m.State = iter8v1alpha1.MirrorUnconfirmed
	}
	return m
}

// maxMessage is what the API allows of a mirror's message, in bytes.
const maxMessage = 1024

func withheld(m iter8v1alpha1.Mirror, reason, message string) iter8v1alpha1.Mirror {
	m.Percent, m.State, m.UnknownSince, m.Reason, m.Message = "0", iter8v1alpha1.MirrorWithheld, nil, reason, conditions.Truncate(message, maxMessage)
	return m
}

// since returns since when a mirror is what it is: what others have altered anew counts anew.
func (r mirrorReport) since(m iter8v1alpha1.Mirror) *metav1.Time {
	for _, was := range r.previous {
		if keyOf(was) == keyOf(m) && was.State == m.State && was.Reason == m.Reason && was.Since != nil && !r.alteredAnew(m) {
			return was.Since
		}
	}
	now := metav1.NewTime(r.now).Rfc3339Copy()
	return &now
}

// alteredAnew reports whether a mirror was sent to the apiserver now, and altered.
func (r mirrorReport) alteredAnew(m iter8v1alpha1.Mirror) bool {
	return m.Reason == iter8v1alpha1.ReasonAltered && (r.edited[m.Route] && m.State != iter8v1alpha1.MirrorWithheld ||
		slices.ContainsFunc(r.asked, func(a mirrors.Mirror) bool { return keyOf(a.Mirror) == keyOf(m) && !a.Withheld() }))
}

// reportMirrors is what the status is to say of the mirrors.
func (r *Reconciler) reportMirrors(s *scope) []iter8v1alpha1.Mirror {
	report := mirrorReport{
		places: map[string]mirrorKey{}, unread: s.unread, edited: s.edited, previous: s.policy.Status.Mirrors, explain: s.explainWithheld, now: s.now, trials: *r.tried(s),
		applied: func(route string) bool { return s.appliedRoutes()[route] },
	}
	if s.gated != nil || s.subjectGone {
		report.asked = []mirrors.Mirror{}
	}
	if s.gated != nil {
		report.asked = append(report.asked, s.gated.Mirrors...)
		for _, manifest := range s.gated.Manifests {
			for _, m := range asTheyStand(manifest, s.policy.Namespace) {
				report.places[m.Route+" "+m.Path] = keyOf(m.Mirror)
			}
		}
	}
	for _, m := range s.withdrawn {
		if m.Variant == "" {
			m.Variant = s.variantOf(m.Mirror) // where nothing is known of the Subject
		}
		report.withdrawn = append(report.withdrawn, m)
	}
	report.trials.filters = map[targetKey][]string{}
	for _, o := range r.standing(s) {
		for to, filters := range filtersOf(o.object, s.policy.Namespace) {
			report.trials.filters[targetKey{routes.Name(o.kind.Kind, o.name.Name), to}] = filters
		}
		for _, m := range asTheyStand(o.object, s.policy.Namespace) {
			if m.Withheld() {
				continue // it stands for no requests
			}
			m.Mirror.State = o.state()
			m.Mirror.Variant, m.Mirror.UnknownSince = s.variantOf(m.Mirror), s.unobserved[targetKey{m.Route, m.To}]
			if most, ok := s.decided[keyOf(m.Mirror)]; ok && percentOf(m.Mirror) > most {
				m.Reason, m.Message = iter8v1alpha1.ReasonAltered, conditions.Truncate(fmt.Sprintf("more is mirrored to %s than may be: %s", m.To, alteration), maxMessage)
			}
			report.standing = append(report.standing, m.Mirror)
		}
	}
	s.noteAcceptance(r.standing(s))
	all := report.mirrors()
	for _, o := range r.standing(s) {
		refused := o.existing.Acceptance.Status == metav1.ConditionFalse
		if refused && slices.ContainsFunc(all, func(m iter8v1alpha1.Mirror) bool {
			return m.OnTrial && m.State != iter8v1alpha1.MirrorWithheld && !toldRefused(m) && m.Route == routes.Name(o.kind.Kind, o.name.Name)
		}) {
			s.retryAfter(conflictRetry) // its refusal came before the status told that it is on trial
		}
	}
	return all
}

// forgetAltered has the routes applied again whose mirrors others altered: what was recorded is what was sent, and a later try to
// send the same is to be one.
func (s *scope) forgetAltered() {
	if s.result == nil {
		return
	}
	for _, m := range s.mirrors {
		if m.Reason != iter8v1alpha1.ReasonAltered || !s.sent(m) {
			continue
		}
		s.retryAfter(interval(s.policy) + time.Second) // what is kept of the time is whole seconds
		for i, entry := range s.result.Inventory {
			if routes.Name(entry.Kind, entry.Name) == m.Route {
				s.result.Inventory[i].Digest = ""
			}
		}
	}
}

// sent reports whether a mirror is in what was to be applied.
func (s *scope) sent(m iter8v1alpha1.Mirror) bool {
	return s.gated != nil && slices.ContainsFunc(s.gated.Mirrors, func(sent mirrors.Mirror) bool {
		return keyOf(sent.Mirror) == keyOf(m) && !sent.Withheld()
	})
}

// explainWithheld says why a mirror stays out of which it isn't known whether it is still asked for.
func (s *scope) explainWithheld(m iter8v1alpha1.Mirror) (reason, message string) {
	for _, w := range s.withheld {
		return w.Reason, fmt.Sprintf("no mirror to %s: %s", m.To, w.Message)
	}
	if s.subject != nil {
		for i, v := range s.state.Variants {
			if slices.Contains(strings.Split(m.Variant, ", "), s.subject.Spec.Variants[i].Name) && v.State == mirrors.NotAvailable {
				return iter8v1alpha1.ReasonVariantNotAvailable, fmt.Sprintf("no mirror to %s: %s", m.To, v.Message)
			}
		}
	}
	switch {
	case m.State != iter8v1alpha1.MirrorWithheld || m.Reason == iter8v1alpha1.ReasonNotApplied:
	case s.suspended != "":
		return m.Reason, asLastSeen(m.Message)
	case !s.hasEnded(m):
		return m.Reason, m.Message
	}
	return iter8v1alpha1.ReasonNotApplied, fmt.Sprintf("no mirror to %s: %s is not applied as it is rendered", m.To, m.Route)
}

// hasEnded reports whether what a mirror was withheld for is known to be over.
func (s *scope) hasEnded(m iter8v1alpha1.Mirror) bool {
	switch m.Reason {
	case iter8v1alpha1.ReasonWithdrawn, iter8v1alpha1.ReasonSubjectNotFound, iter8v1alpha1.ReasonCrossNamespaceReference:
		return true // else it would be withheld for that now
	case iter8v1alpha1.ReasonVariantNotAvailable, iter8v1alpha1.ReasonVariantStateUnknown:
		return s.allAvailable(strings.Split(m.Variant, ", "))
	default:
		return false
	}
}

// allAvailable reports whether variants are observed, and available.
func (s *scope) allAvailable(names []string) bool {
	available := 0
	for i, v := range s.state.Variants {
		if slices.Contains(names, s.subject.Spec.Variants[i].Name) && v.State == mirrors.Available {
			available++
		}
	}
	return available == len(names)
}

// appliedRoutes are the names of the objects that stand as they were rendered.
func (s *scope) appliedRoutes() map[string]bool {
	applied := map[string]bool{}
	if s.result != nil {
		for key, ok := range s.result.Applied {
			applied[key.Kind+"/"+key.Name] = ok
		}
	}
	return applied
}
