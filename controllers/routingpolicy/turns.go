package routingpolicy

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/conditions"
)

// trial is what is known of a mirror that is on trial, or was refused.
type trial struct {
	mirror iter8v1alpha1.Mirror
	// refusal is nil where it wasn't refused; withheld reports whether it may not stand for it, and anew whether that was learned now.
	refusal        *iter8v1alpha1.Refusal
	withheld, anew bool
}

func (t trial) target() targetKey { return targetKey{t.mirror.Route, t.mirror.To} }

// stands reports whether the mirror stood when the status was written.
func (t trial) stands() bool { return t.mirror.State != iter8v1alpha1.MirrorWithheld }

// settle has what was refused together in a route be tried again one by one: nothing else tells which of them it was.
//
//	{a, b} refused ─► {} ─► {a} ─┬─► accepted: {a, b} ─► …
//	                             └─► refused: {} ─► {b} ─► …
func (s *scope) settle(all []trial, before map[string]routeBefore) {
	for route := range before {
		of := func(t trial) bool { return t.mirror.Route == route }
		tellTogether(all, of)
		due, trying := dueOf(all, of), s.trying(all, route, before[route])
		for i, d := range due {
			if i == 0 && !trying {
				continue
			}
			for j := range all {
				if t := &all[j]; t.target() == d.target() && t.isDue() {
					t.withheld = true
					s.retryAfter(untilNextTrial(t.refusal.Times)) // should no event of the other one's trial come
				}
			}
		}
	}
}

// isDue reports whether the mirror may be tried again.
func (t trial) isDue() bool { return !t.stands() && t.refusal != nil && !t.withheld }

// dueOf returns the first trial of each target of a route that may be tried again, the one to begin with first: one that was refused least
// often, and that nothing else keeps out.
func dueOf(all []trial, of func(trial) bool) []trial {
	var due []trial
	for _, t := range all {
		known := slices.ContainsFunc(due, func(other trial) bool { return other.target() == t.target() })
		if of(t) && t.isDue() && !known {
			due = append(due, t)
		}
	}
	slices.SortStableFunc(due, func(a, b trial) int {
		return cmp.Or(cmp.Compare(rankOf(a), rankOf(b)), cmp.Compare(a.refusal.Times, b.refusal.Times))
	})
	return due
}

func rankOf(t trial) int {
	if t.mirror.Reason == iter8v1alpha1.ReasonMirrorRefused {
		return 0
	}
	return 1
}

// trying reports whether the gateways are still to say something of a route with a mirror that is on trial in it, or without one that was
// taken out of it. What they say nothing of for long holds up nothing.
func (s *scope) trying(all []trial, route string, before routeBefore) bool {
	return slices.ContainsFunc(all, func(t trial) bool {
		m := t.mirror
		switch {
		case m.Route != route:
			return false
		case t.stands():
			return m.OnTrial && before.mirrors(m.To) && before.said.Status != metav1.ConditionTrue &&
				(m.Since == nil || s.now.Before(m.Since.Add(latestTrial)))
		default:
			return t.withheld && !t.refusal.Confirmed
		}
	})
}

// tellTogether has the refusals of several mirrors say that it may have been another one.
func tellTogether(all []trial, of func(trial) bool) {
	targets := map[targetKey]bool{}
	for _, t := range all {
		if of(t) && t.anew {
			targets[t.target()] = true
		}
	}
	if len(targets) < 2 {
		return
	}
	note := fmt.Sprintf(" (refused together with %s of the route; each is tried again by itself)", count(len(targets)-1, "other mirror"))
	for i := range all {
		if t := &all[i]; of(*t) && t.anew {
			t.refusal.Message = conditions.Truncate(t.refusal.Message, maxRefusal-len(note)) + note
		}
	}
}
