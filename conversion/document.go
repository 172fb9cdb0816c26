package conversion

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// maxFindings is how many errors, and how many warnings, are told of one ConfigMap.
const maxFindings = 20

// findings collects what is wrong with one ConfigMap.
type findings struct {
	errors   Errors
	warnings []Warning
}

func (f *findings) failAt(at Position, format string, arguments ...any) {
	if len(f.errors) < maxFindings {
		f.errors = append(f.errors, Error{at, fmt.Sprintf(format, arguments...)})
	}
}

func (f *findings) warnAt(at Position, format string, arguments ...any) {
	if len(f.warnings) < maxFindings {
		f.warnings = append(f.warnings, Warning{at, fmt.Sprintf(format, arguments...)})
	}
}

// sort brings everything into the order of its lines.
func (f *findings) sort() {
	order := func(a, b Position) int { return cmp.Or(cmp.Compare(a.Key, b.Key), cmp.Compare(a.Line, b.Line)) }
	slices.SortStableFunc(f.errors, func(a, b Error) int { return order(a.Position, b.Position) })
	slices.SortStableFunc(f.warnings, func(a, b Warning) int { return order(a.Position, b.Position) })
}

// document is the YAML under one key of a ConfigMap's data.
type document struct {
	*findings
	key, text string
	// lines is only for positions, and read when the first one is asked for.
	lines *yamlv3.Node
}

// read parses the document; ok is false where it is no YAML mapping, which is told.
func (d *document) read() (root node, ok bool) {
	content, err := decode(d.text)
	if err != nil {
		line, message := ExplainSyntaxError(d.text, err)
		d.failAt(Position{Key: d.key, Line: line}, "%s", message)
		return node{}, false
	}
	if content == nil {
		d.failAt(Position{Key: d.key}, "is empty")
		return node{}, false
	}
	if _, err := yaml.YAMLToJSONStrict([]byte(d.text)); err != nil {
		line, message := splitYAMLError(err)
		d.warnAt(Position{Key: d.key, Line: line}, "%s: the last one counts, as it did for Iter8", message)
	}
	root = node{document: d, value: content}
	_, ok = root.mapping()
	return root, ok
}

// decode reads YAML as the Kubernetes tools do; integers stay integers.
func decode(text string) (any, error) {
	data, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		return nil, err
	}
	var content any
	if err := utiljson.Unmarshal(data, &content); err != nil {
		return nil, err
	}
	return content, nil
}

func (d *document) locate(at path) (*yamlv3.Node, int) {
	if d.lines == nil {
		d.lines = &yamlv3.Node{}
		if err := yamlv3.Unmarshal([]byte(d.text), d.lines); err != nil {
			// The two parsers disagree in rare cases. What is wrong is still told, without its line.
			d.lines = &yamlv3.Node{}
		}
	}
	return Locate(d.lines, at...)
}

// node is a value in a document, of any type.
type node struct {
	*document
	path  path
	value any
}

func (n node) position() Position {
	_, line := n.locate(n.path)
	return Position{Key: n.key, Line: line, Path: n.path.String()}
}

func (n node) fail(format string, arguments ...any) { n.failAt(n.position(), format, arguments...) }

func (n node) warn(format string, arguments ...any) { n.warnAt(n.position(), format, arguments...) }

func (n node) child(step, value any) node {
	return node{document: n.document, path: append(slices.Clone(n.path), step), value: value}
}

// field gives the value of a mapping's key; there is none where the key is missing or null.
func (n node) field(name string) (node, bool) {
	fields, _ := n.value.(map[string]any)
	value := fields[name]
	return n.child(name, value), value != nil
}

// anyOf gives the one of several fields, names of the same thing, that is there. The first name is how messages
// call it where none is.
func (n node) anyOf(names ...string) (node, bool) {
	var found []node
	for _, name := range names {
		if field, ok := n.field(name); ok {
			found = append(found, field)
		}
	}
	if len(found) == 0 {
		return n.child(names[0], nil), false
	}
	if len(found) > 1 {
		found[1].fail("means the same as %s; remove one of them", found[0].path)
	}
	return found[0], true
}

// mapping tells where the value is none.
func (n node) mapping() (map[string]any, bool) {
	fields, ok := n.value.(map[string]any)
	if !ok {
		n.mustBe("a mapping (key: value)")
	}
	return fields, ok
}

// children are the entries of a mapping in the order of their keys.
func (n node) children() []node {
	fields, _ := n.mapping()
	entries := make([]node, 0, len(fields))
	for _, key := range slices.Sorted(maps.Keys(fields)) {
		entries = append(entries, n.child(key, fields[key]))
	}
	return entries
}

// items are the entries of a list.
func (n node) items() ([]node, bool) {
	list, ok := n.value.([]any)
	if !ok {
		n.mustBe("a list")
		return nil, false
	}
	items := make([]node, 0, len(list))
	for i, value := range list {
		items = append(items, n.child(i, value))
	}
	return items, true
}

// string tells where the value is no string.
func (n node) string() (string, bool) {
	s, ok := n.value.(string)
	if !ok {
		n.mustBe("a string")
	}
	return s, ok
}

// required is the string in a field that must be there.
func (n node) required(name, what string) (field node, s string, ok bool) {
	field, ok = n.field(name)
	if !ok {
		field.fail("is missing: write %s", what)
		return field, "", false
	}
	s, ok = field.string()
	if ok && s == "" {
		field.fail("is empty: write %s", what)
		return field, "", false
	}
	return field, s, ok
}

// optional is the string in a field, or nothing where it is missing.
func (n node) optional(name string) (field node, s string) {
	field, ok := n.field(name)
	if ok {
		s, _ = field.string()
	}
	return field, s
}

// warnOfOthers warns of fields that nobody reads.
func (n node) warnOfOthers(known ...string) {
	fields, _ := n.value.(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			n.child(name, nil).warn("is not a field of this format, and is left out; there are %s", strings.Join(known, ", "))
		}
	}
}

func (n node) mustBe(wanted string) { n.fail("is %s, and must be %s", describe(n.value), wanted) }

func describe(value any) string {
	switch value := value.(type) {
	case nil:
		return "empty"
	case map[string]any:
		return "a mapping"
	case []any:
		return "a list"
	case string:
		return fmt.Sprintf("the string %q", shorten(value))
	default:
		written, err := json.Marshal(value)
		if err != nil {
			return "a number"
		}
		return string(written)
	}
}
