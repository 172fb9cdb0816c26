// Package conditions makes the list of conditions of a status. It is pure.
package conditions

import (
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

// Truncate shortens a message to a number of bytes, and shows that it did.
func Truncate(message string, limit int) string {
	if len(message) <= limit {
		return message
	}
	const ellipsis = "..."
	return strings.ToValidUTF8(message[:limit-len(ellipsis)], "") + ellipsis
}
