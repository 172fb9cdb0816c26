package routingpolicy

import (
	"fmt"

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
// small route can repeat a long match for each of many mirrors.
func fit(status *iter8v1alpha1.RoutingPolicyStatus, mirrors []iter8v1alpha1.Mirror) {
	full := status.Conditions
	for _, limit := range conditions.Limits {
		status.Conditions, status.Mirrors = conditions.Shortened(full, limit), nil
		room := conditions.MaxStatus - sizeOfOmissions - conditions.Size(status)
		status.Mirrors = bounded(mirrors, room)
		if len(status.Mirrors) == len(mirrors) && room >= 0 || limit <= minMessage && room >= 0 {
			return
		}
	}
}

// bounded returns as many of the mirrors as the API allows, and have so many bytes as JSON.
func bounded(mirrors []iter8v1alpha1.Mirror, room int) []iter8v1alpha1.Mirror {
	for i, m := range mirrors {
		room -= conditions.Size(m) + len(",")
		if i == maxMirrors || room < 0 {
			return mirrors[:i]
		}
	}
	return mirrors
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
