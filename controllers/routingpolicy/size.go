package routingpolicy

import (
	"fmt"
	"slices"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/conditions"
)

// What the API allows of status.mirrors and status.mirrorTargets.
const (
	maxMirrors = 1024
	maxTargets = 4096
)

const (
	// minMessage is what the messages of conditions get before mirrors do.
	minMessage = 1024
	// sizeOfOmissions is what tellOmissions may add, with the digests that come later and the name of the field.
	sizeOfOmissions = 512
)

// fit has a status list as many of the mirrors as there is room for in conditions.MaxStatus, beside what nothing can be left out of. A
// small route can repeat a long match for each of many mirrors. What is cut, in this order:
//
//	messages of conditions, down to minMessage
//	what is only said of mirrors: their messages and backends
//	mirrors: first those that are withheld and of which nothing is remembered, then those that stand, from the end
//	messages of conditions, where not even that has room
//
// It reports whether the mirrors are listed as they are.
func fit(status *iter8v1alpha1.RoutingPolicyStatus, mirrors []iter8v1alpha1.Mirror) bool {
	full := status.Conditions
	for _, limit := range conditions.Limits {
		status.Conditions, status.Mirrors = conditions.Shortened(full, limit), nil
		room := conditions.MaxStatus - sizeOfOmissions - conditions.Size(status)
		if room < 0 {
			continue
		}
		if sizeOf(mirrors) <= room && len(mirrors) <= maxMirrors {
			status.Mirrors = mirrors
			return true
		}
		if limit <= minMessage {
			status.Mirrors = listedOf(mirrors, room)
			return false
		}
	}
	return len(mirrors) == 0
}

// sizeOf returns how many bytes mirrors have as JSON.
func sizeOf(mirrors []iter8v1alpha1.Mirror) int {
	size := 0
	for _, m := range mirrors {
		size += conditions.Size(m) + len(",")
	}
	return size
}

// listedOf returns mirrors that have so many bytes, with what is said of them shortened as far as it has to be; where that isn't enough, as many
// of them as there is room for, in their order.
func listedOf(mirrors []iter8v1alpha1.Mirror, room int) []iter8v1alpha1.Mirror {
	var short []iter8v1alpha1.Mirror
	for _, limit := range conditions.Limits {
		if short = shortened(mirrors, limit); sizeOf(short) <= room && len(short) <= maxMirrors {
			return short
		}
	}
	kept := make([]bool, len(short))
	count := 0
	for _, among := range []func(iter8v1alpha1.Mirror) bool{isRemembered, isStanding, func(iter8v1alpha1.Mirror) bool { return true }} {
		for i, m := range short {
			if kept[i] || !among(m) {
				continue
			}
			size := conditions.Size(m) + len(",")
			if count == maxMirrors || size > room {
				break
			}
			kept[i], room, count = true, room-size, count+1
		}
	}
	some := make([]iter8v1alpha1.Mirror, 0, count)
	for i, m := range short {
		if kept[i] {
			some = append(some, m)
		}
	}
	return some
}

// isRemembered reports whether the status has something of a mirror that nothing else knows.
func isRemembered(m iter8v1alpha1.Mirror) bool {
	return m.Refusal != nil || m.OnTrial || m.UnknownSince != nil || m.Reason == iter8v1alpha1.ReasonAltered
}

func isStanding(m iter8v1alpha1.Mirror) bool { return m.State != iter8v1alpha1.MirrorWithheld }

// shortened returns mirrors with what is only said of them in so many bytes each. What they are known by stays whole.
func shortened(mirrors []iter8v1alpha1.Mirror, limit int) []iter8v1alpha1.Mirror {
	short := slices.Clone(mirrors)
	for i := range short {
		m := &short[i]
		m.Message, m.From = conditions.Truncate(m.Message, limit), conditions.Truncate(m.From, limit)
		if m.Refusal != nil {
			refusal := *m.Refusal
			refusal.Message = conditions.Truncate(refusal.Message, limit)
			m.Refusal = &refusal
		}
	}
	return short
}

// tellOmissions has the condition Ready say what the status leaves out of the mirrors.
func tellOmissions(status *iter8v1alpha1.RoutingPolicyStatus, mirrors int) {
	var note string
	switch {
	case len(status.Mirrors) < mirrors:
		note = fmt.Sprintf("; status.mirrors lists only %d of %d mirrors", len(status.Mirrors), mirrors)
	case len(status.MirrorTargets) == maxTargets:
		note = "; status.mirrorTargets doesn't name them all"
	default:
		return
	}
	for i, c := range status.Conditions {
		if c.Type == iter8v1alpha1.ConditionReady {
			status.Conditions[i].Message = conditions.Truncate(c.Message, conditions.Limits[0]-len(note)) + note
		}
	}
}
