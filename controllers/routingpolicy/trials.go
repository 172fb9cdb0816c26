package routingpolicy

import (
	"cmp"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/conditions"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
)

// trials are what came of mirrors that were put into routes, or changed in them, which the gateways had accepted before.
//
//	comes into an accepted route ─┬─► on trial ─► accepted: Active
//	is changed in one ────────────┘      │
//	                                  refused ─► taken out ─┬─► accepted again: it was the mirror; tried again later
//	                                                        ├─► refused still: it wasn't; it comes back
//	                                                        └─► nothing is said: tried again later
type trials struct {
	// routes are those that stood before this reconcile wrote anything, and filters the digests of those that stand now, by route and target.
	routes  map[string]routeBefore
	filters map[targetKey][]string
	// read: routes that can't be watched are among them.
	read bool
	// refused are the mirrors that may not stand, and refusals what the status keeps of these, and of those that are tried again.
	refused  []mirrors.Withholding
	refusals map[mirrorKey]iter8v1alpha1.Refusal
}

const (
	firstTrial  = 15 * time.Second
	latestTrial = time.Hour
	// maxRefusal is what the API allows of what a gateway said, in bytes.
	maxRefusal = 512
)

// tried judges the mirrors that were on trial or refused by what the gateways say of the routes now, once for each reconcile: what is
// written in it is for the next one to judge.
func (r *Reconciler) tried(s *scope) *trials {
	if s.trials != nil {
		return s.trials
	}
	s.trials = &trials{routes: map[string]routeBefore{}}
	s.try(r.standing(s))
	return s.trials
}

// triedUnwatched judges the mirrors of routes that were read since the others were judged, since their kind can't be watched, and comes
// back to those that are still on trial: no event tells of these.
func (s *scope) triedUnwatched() {
	if s.trials == nil || s.trials.read {
		return // they are judged with the others, or were before something was written
	}
	s.trials.read = true
	read := map[string]bool{}
	for _, o := range s.unwatched {
		read[routes.Name(o.kind.Kind, o.name.Name)] = true
	}
	s.try(s.unwatched)
	for _, m := range s.policy.Status.Mirrors {
		if read[m.Route] && m.OnTrial && m.State != iter8v1alpha1.MirrorWithheld && m.Since != nil {
			s.retryAfter(min(max(s.now.Sub(m.Since.Time), firstTrial), interval(s.policy)))
		}
	}
}

// try judges the mirrors of all routes that are known, with the ones given as they are.
func (s *scope) try(objects []standing) {
	for _, o := range objects {
		s.trials.routes[routes.Name(o.kind.Kind, o.name.Name)] = s.before(o)
	}
	s.trials.refused, s.trials.refusals = nil, map[mirrorKey]iter8v1alpha1.Refusal{}
	var all []trial
	for _, m := range s.policy.Status.Mirrors {
		if m.OnTrial || m.Refusal != nil {
			all = append(all, s.trialOf(m, s.trials.routes[m.Route]))
		}
	}
	s.judge(all, s.trials.routes)
	s.settle(all, s.trials.routes)
	for _, t := range all {
		if t.refusal == nil {
			continue
		}
		s.trials.refusals[keyOf(t.mirror)] = *t.refusal
		if t.withheld {
			s.trials.refused = append(s.trials.refused, mirrors.Withholding{
				Route: t.mirror.Route, To: t.mirror.To, Reason: iter8v1alpha1.ReasonMirrorRefused, Message: t.refusal.Message,
			})
		}
	}
}

// trialOf returns what is known of a mirror, and what the gateways say of it where it stands.
func (s *scope) trialOf(m iter8v1alpha1.Mirror, route routeBefore) trial {
	t, inputs := trial{mirror: m}, s.trialInputs()
	if m.Refusal != nil && (inputs == "" || m.Refusal.Inputs == inputs) {
		t.refusal = m.Refusal.DeepCopy()
	}
	if !t.stands() || !m.OnTrial || !route.mirrors(m.To) || route.said.Status != metav1.ConditionFalse {
		return t
	}
	t.withheld = true
	if t.refusal != nil && toldRefused(m) {
		return t // and could not be taken out since
	}
	again := iter8v1alpha1.Refusal{
		Time: metav1.NewTime(s.now).Rfc3339Copy(), Times: 1, Inputs: cmp.Or(inputs, s.policy.Status.Checked), Message: conditions.Truncate(route.said.Message, maxRefusal),
	}
	if t.refusal != nil {
		again.Times = t.refusal.Times + 1
	}
	t.refusal, t.anew = &again, true
	return t
}

// judge judges mirrors that were taken out by what the gateways say of their routes without them.
func (s *scope) judge(all []trial, before map[string]routeBefore) {
	trying := map[string]bool{}
	for _, t := range all {
		trying[t.mirror.Route] = trying[t.mirror.Route] || t.stands() && t.mirror.OnTrial && before[t.mirror.Route].mirrors(t.mirror.To)
	}
	for i := range all {
		t := &all[i]
		if t.stands() || t.refusal == nil {
			continue
		}
		route := before[t.mirror.Route]
		if !route.mirrors(t.mirror.To) && !t.refusal.Confirmed {
			switch {
			case route.said.Status == metav1.ConditionTrue:
				t.refusal.Confirmed = true
			case route.said.Status == metav1.ConditionFalse && !trying[t.mirror.Route]: // else it may be the other one
				t.refusal = nil
				continue
			}
		}
		if left := t.refusal.Time.Add(untilNextTrial(t.refusal.Times)).Sub(s.now); left > 0 {
			t.withheld = true
			s.retryAfter(left)
		}
	}
}

// toldRefused reports whether the status of a mirror that stands tells that it was refused since it was put in.
func toldRefused(m iter8v1alpha1.Mirror) bool {
	return m.Refusal != nil && m.Since != nil && !m.Refusal.Time.Before(m.Since)
}

// untilNextTrial is how long after a refusal a mirror is tried again.
func untilNextTrial(times int32) time.Duration {
	return min(firstTrial<<min(max(times-1, 0), 16), latestTrial)
}

// trialInputs is a digest of what a refusal holds for; empty where it isn't known.
func (s *scope) trialInputs() string {
	if s.subject == nil || s.policy.Spec.Chart != nil && s.state.Chart == nil {
		return ""
	}
	return s.checkedDigest()
}

// record has the status of a mirror say what its trial has come to; previous are the mirrors as it had them before.
func (t trials) record(m *iter8v1alpha1.Mirror, previous []iter8v1alpha1.Mirror) {
	var was iter8v1alpha1.Mirror
	stood := false
	if i := slices.IndexFunc(previous, func(was iter8v1alpha1.Mirror) bool { return keyOf(was) == keyOf(*m) }); i >= 0 {
		was, stood = previous[i], previous[i].State != iter8v1alpha1.MirrorWithheld
	}
	m.OnTrial, m.Refusal = false, nil
	if m.State == iter8v1alpha1.MirrorActive {
		return
	}
	refusal, refused := t.refusals[keyOf(*m)]
	if refused {
		m.Refusal = &refusal
	}
	route := t.routes[m.Route]
	filters, read := t.filters[targetKey{m.Route, m.To}]
	changed := read && (was.Percent != m.Percent || !slices.Equal(route.filters[m.To], filters))
	switch {
	case m.State == iter8v1alpha1.MirrorWithheld:
		m.OnTrial = was.OnTrial && route.said.Status == metav1.ConditionUnknown // should it come back before the answer
	case stood && !changed && route.said.Status == metav1.ConditionTrue:
		m.Refusal = nil // it has passed, though a parent that never reports leaves it unconfirmed
	case stood && !changed:
		m.OnTrial = was.OnTrial
	default: // where the gateways have said nothing since the last trial, they accepted the route before that
		m.OnTrial = route.acceptedWithout(*m, filters) || was.OnTrial || refused || t.unsettled(m.Route)
	}
}

// unsettled reports whether the gateways have said nothing of a route since a mirror was taken out of it, with which they refused it.
func (t trials) unsettled(route string) bool {
	for key, refusal := range t.refusals {
		if key.route == route && !refusal.Confirmed && t.routes[route].said.Status == metav1.ConditionUnknown {
			return true
		}
	}
	return false
}
