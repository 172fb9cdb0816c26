package mirrors

import (
	"strings"

	"iter8.tools/operator/controllers/routes"
)

// Error is why a mirror, or the rule that has it, can't work as it is written, whatever the variants' states.
type Error struct {
	// Route as routes.Name returns it.
	Route string
	// Path of the field in the route: spec.rules[0].filters[1].requestMirror.percent.
	Path routes.Path
	// Message says what is wrong with the field, and what to do about it.
	Message string
}

// Error returns "HTTPRoute/web: spec.rules[0].filters[1]: …".
func (e Error) Error() string { return e.Route + ": " + e.Path.String() + ": " + e.Message }

// Errors are all that Gate found, in the order of the manifests.
type Errors []Error

// Error returns them all, joined by semicolons.
func (e Errors) Error() string {
	texts := make([]string, 0, len(e))
	for _, err := range e {
		texts = append(texts, err.Error())
	}
	return strings.Join(texts, "; ")
}
