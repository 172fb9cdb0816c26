// Package conditions makes the list of conditions of a status. It is pure.
package conditions

import (
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// maxMessage is what the API allows of a condition's message.
const maxMessage = 32768

// Update gives the wanted conditions, in their order, as of a generation where they name none. One that has kept its status since
// before keeps the time of its last transition, another one gets now; one that isn't wanted is gone.
func Update(before []metav1.Condition, generation int64, now metav1.Time, wanted ...metav1.Condition) []metav1.Condition {
	updated := make([]metav1.Condition, 0, len(wanted))
	for _, w := range wanted {
		if w.ObservedGeneration == 0 {
			w.ObservedGeneration = generation
		}
		w.Message = Truncate(w.Message, maxMessage)
		w.LastTransitionTime = now.Rfc3339Copy() // what is read back of a time is whole seconds
		for _, b := range before {
			if b.Type == w.Type && b.Status == w.Status {
				w.LastTransitionTime = b.LastTransitionTime
			}
		}
		updated = append(updated, w)
	}
	return updated
}

// MaxStatus is how many bytes a status may have as JSON: the apiserver's storage takes objects of 1.5 MiB, but each watch gets each
// version of them.
const MaxStatus = 64 << 10

// Limits are how many bytes the messages of a status may have: the first with which it has no more than MaxStatus.
var Limits = []int{4096, 2048, 1024, 512, 256, 128, 64}

// Size returns how many bytes a status has as JSON.
func Size(status any) int {
	data, err := json.Marshal(status)
	if err != nil {
		return 0 // the write says so
	}
	return len(data)
}

// Shortened returns conditions with messages of so many bytes at most.
func Shortened(conditions []metav1.Condition, limit int) []metav1.Condition {
	shortened := slices.Clone(conditions)
	for i := range shortened {
		shortened[i].Message = Truncate(shortened[i].Message, limit)
	}
	return shortened
}

// Truncate shortens a message to a number of bytes, and shows that it did.
func Truncate(message string, limit int) string {
	if len(message) <= limit {
		return message
	}
	const ellipsis = "..."
	return strings.ToValidUTF8(message[:limit-len(ellipsis)], "") + ellipsis
}
