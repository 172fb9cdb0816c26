// Package reason makes errors that carry a reason of the API.
package reason

import (
	"errors"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// New returns an error with a text, which carries a reason of iter8v1alpha1.Reasons to whatever wraps it.
func New(reason, text string) error { return &reasonedError{lookup(reason), text} }

// Of returns the reason that an error carries, and reports whether it carries one. Of several, it is the one that stands first
// in iter8v1alpha1.Reasons.
func Of(err error) (string, bool) {
	for _, r := range iter8v1alpha1.Reasons {
		if errors.Is(err, lookup(r.Name)) {
			return r.Name, true
		}
	}
	return "", false
}

// reasonedError has a text of its own, and is the lookup of its reason to errors.Is.
type reasonedError struct {
	reason error
	text   string
}

func (e *reasonedError) Error() string { return e.text }

// Is reports whether target looks for the error's reason.
func (e *reasonedError) Is(target error) bool { return target == e.reason }

// lookupError is the name of a reason, to look for in a chain of errors.
type lookupError string

func (e lookupError) Error() string { return string(e) }

func lookup(reason string) error { return lookupError(reason) }
