package conversion

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
)

// Position is a place in a ConfigMap.
type Position struct {
	// Key of the ConfigMap's data. Empty means the ConfigMap itself.
	Key string
	// Line in the value of that key, from 1. Zero means that it isn't known.
	Line int
	// Path in the YAML that the value holds, such as versions[1].resources[0].name; where Key is empty, in the
	// ConfigMap.
	Path string
}

// String is such as "data.strSpec line 3, versions[0].weight".
func (p Position) String() string {
	if p.Key == "" {
		return p.Path
	}
	s := "data." + p.Key
	if p.Line > 0 {
		s += " line " + strconv.Itoa(p.Line)
	}
	if p.Path != "" {
		s += ", " + p.Path
	}
	return s
}

// Error is one thing in a ConfigMap that can't be converted.
type Error struct {
	Position
	// Message says what is wrong and what to do; it follows the position.
	Message string
}

func (e Error) Error() string { return join(e.Position, e.Message) }

// Errors is everything in a ConfigMap that can't be converted, in the order of the lines.
type Errors []Error

func (e Errors) Error() string {
	messages := make([]string, 0, len(e))
	for _, err := range e {
		messages = append(messages, err.Error())
	}
	return strings.Join(messages, "; ")
}

// Warning is something in a ConfigMap that means nothing any more, or something else than it seems to.
type Warning struct {
	Position
	// Message says what, and what comes of it; it follows the position.
	Message string
}

func (w Warning) String() string { return join(w.Position, w.Message) }

func join(position Position, message string) string {
	where := position.String()
	if where == "" {
		return message
	}
	return where + ": " + message
}

// path leads into YAML: a string is a key of a mapping, an int the place in a list.
type path []any

var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]+$`)

func (p path) String() string {
	var s strings.Builder
	for _, step := range p {
		switch step := step.(type) {
		case int:
			fmt.Fprintf(&s, "[%d]", step)
		case string:
			switch {
			case !plainKey.MatchString(step):
				fmt.Fprintf(&s, "[%q]", shorten(step))
			case s.Len() == 0:
				s.WriteString(shorten(step))
			default:
				s.WriteString("." + shorten(step))
			}
		}
	}
	return s.String()
}

// Locate gives the node at the end of a path, or nil, and the line in which it, or else the nearest thing around
// it that there is, begins: for an entry of a mapping that is the line of its key. Steps are strings, keys of
// mappings, and ints, places in lists.
func Locate(root *yamlv3.Node, steps ...any) (node *yamlv3.Node, line int) {
	node = root
	if node != nil && node.Kind == yamlv3.DocumentNode && len(node.Content) > 0 {
		node = node.Content[0]
	}
	if node == nil {
		return nil, 0
	}
	line = node.Line
	for _, step := range steps {
		for range 8 { // aliases of aliases
			if node.Kind == yamlv3.AliasNode {
				node = node.Alias
			}
		}
		var at int
		if node, at = descend(node, step); node == nil {
			return nil, line
		}
		line = at
	}
	return node, line
}

func descend(node *yamlv3.Node, step any) (next *yamlv3.Node, line int) {
	switch step := step.(type) {
	case int:
		if node.Kind == yamlv3.SequenceNode && step < len(node.Content) {
			return node.Content[step], node.Content[step].Line
		}
	case string:
		if node.Kind != yamlv3.MappingNode {
			return nil, 0
		}
		for i := len(node.Content) - 2; i >= 0; i -= 2 { // of keys that stand twice the last one counts
			if node.Content[i].Value == step {
				return node.Content[i+1], node.Content[i].Line
			}
		}
	}
	return nil, 0
}

// FirstLine is the line in which the text of a scalar begins: a block (| or >) begins below its key.
func FirstLine(scalar *yamlv3.Node) int {
	if scalar.Style&(yamlv3.LiteralStyle|yamlv3.FoldedStyle) != 0 {
		return scalar.Line + 1
	}
	return scalar.Line
}

var lineOfError = regexp.MustCompile(`line (\d+): `)

// ExplainSyntaxError makes of an error about YAML the line that is to blame, or zero, and a message that says
// what to do.
func ExplainSyntaxError(text string, err error) (line int, message string) {
	line, message = splitYAMLError(err)
	lines := strings.Split(text, "\n")
	line = min(line, len(lines))
	// The parser stumbles at, or a few lines below, what it took for the beginning of a value.
	for i := line; i > 0 && i > line-3; i-- {
		if strings.HasPrefix(strings.TrimSpace(lines[i-1]), "//") {
			return i, "is not YAML: a comment begins with #, not with //; write # in its place"
		}
	}
	return line, fmt.Sprintf("is not YAML: %s; correct it there, or just above", message)
}

// splitYAMLError separates the line from the message of sigs.k8s.io/yaml's errors.
func splitYAMLError(err error) (line int, message string) {
	message = err.Error()
	if at := lineOfError.FindStringSubmatchIndex(message); at != nil {
		line, _ = strconv.Atoi(message[at[2]:at[3]])
		return line, strings.TrimSpace(message[at[1]:])
	}
	if _, after, found := strings.Cut(message, "yaml: "); found {
		message = after
		if !strings.Contains(message, "anchor") && !strings.Contains(message, "aliasing") {
			line = 1 // of the first line the library says nothing; of anchors it never does
		}
	}
	return line, strings.TrimSpace(message)
}

// shorten keeps what users wrote from flooding messages.
func shorten(s string) string {
	const most = 80
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return s
}
