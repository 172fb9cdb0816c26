package routes

import (
	"strconv"
	"strings"
)

// Path leads to a field of an object: names of fields, which are strings, and positions in lists, which are ints.
type Path []any

// Child returns the path of something below.
func (p Path) Child(steps ...any) Path {
	child := make(Path, 0, len(p)+len(steps))
	return append(append(child, p...), steps...)
}

// String returns the path as people write it: spec.rules[0].filters[1].
func (p Path) String() string {
	var text strings.Builder
	for i, step := range p {
		switch step := step.(type) {
		case int:
			text.WriteString("[" + strconv.Itoa(step) + "]")
		case string:
			if i > 0 {
				text.WriteString(".")
			}
			text.WriteString(step)
		}
	}
	return text.String()
}

// Pointer returns the path as a JSON pointer (RFC 6901): /spec/rules/0/filters/1.
func (p Path) Pointer() string {
	var text strings.Builder
	for _, step := range p {
		text.WriteString("/")
		switch step := step.(type) {
		case int:
			text.WriteString(strconv.Itoa(step))
		case string:
			text.WriteString(strings.NewReplacer("~", "~0", "/", "~1").Replace(step))
		}
	}
	return text.String()
}
