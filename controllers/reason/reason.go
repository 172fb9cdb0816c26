// Package reason makes errors that carry a reason of the API.
package reason

import (
	"errors"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// New returns an error with a text, which carries a reason of iter8v1alpha1.Reasons to whatever wraps it.
func New(reason, text string) error { return &reasoned{named(reason), text} }

// Of returns the reason that an error carries, and reports whether it carries one. Of several, it is the one that stands first
// in iter8v1alpha1.Reasons.
func Of(err error) (string, bool) {
	for _, r := range iter8v1alpha1.Reasons {
		if errors.Is(err, named(r.Name)) {
			return r.Name, true
		}
	}
	return "", false
}

// reasoned is an error that is its reason, too.
type reasoned struct {
	reason named
	text   string
}

func (e *reasoned) Error() string { return e.text }

// Is makes errors.Is find the reason.
func (e *reasoned) Is(target error) bool { return target == error(e.reason) }

// named is a reason to look for.
type named string

func (n named) Error() string { return string(n) }
