package routes

import (
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// Rule is a rule of an HTTPRoute or GRPCRoute, or an entry of a VirtualService's http, and the mirrors in it. It is read
// on its own: what can't be read of one rule, or of what isn't a mirror, hides no mirror elsewhere.
type Rule struct {
	// Path of the rule: spec.rules[0], spec.http[0].
	Path Path
	// Fields are the object's own, and not to be changed.
	Fields map[string]any
	// Sites are the mirrors: the rule's own, then those of each backend.
	Sites []Site

	dialect dialect
}

// Site is where a mirror stands in a rule, and what it asks for.
type Site struct {
	// Path of the filter of a Gateway API's route; of a VirtualService's mirror, or of the entry in its mirrors.
	Path Path
	// Backend is the position of the backendRef whose filter it is; -1 where it is the rule's own.
	Backend int
	// Index is the position in the list that holds it; -1 for a VirtualService's mirror, which stands alone.
	Index int
	// Fields are the object's own, and not to be changed: the filter, the destination that is a VirtualService's
	// mirror, or the entry in its mirrors; nil where the object has something else there.
	Fields map[string]any
	To     Destination
	Share  Share
}

// Share is the part of the requests that a mirror asks for.
type Share struct {
	// Percent is 0 to 100, and 100 where the mirror says nothing, or what can't be read.
	Percent float64
	// Partial reports whether the mirror gives a share, though it may be 100.
	Partial bool
}

// String returns the percentage as a decimal number, to six places.
func (s Share) String() string { return decimal(s.Percent) }

// dialect is how a kind of route writes its mirrors.
type dialect struct {
	list     string
	sites    func(path Path, rule map[string]any) []Site
	matches  func(rule map[string]any) []string
	backends func(rule map[string]any) []Destination
}

func dialectOf(object *unstructured.Unstructured) (dialect, bool) {
	switch kind := object.GroupVersionKind(); {
	case kind.Group == gatewayv1.GroupName && kind.Kind == "HTTPRoute":
		return dialect{"rules", filterSites, httpMatches, backends}, true
	case kind.Group == gatewayv1.GroupName && kind.Kind == "GRPCRoute":
		return dialect{"rules", filterSites, grpcMatches, backends}, true
	case kind.Group == istioGroup && kind.Kind == "VirtualService":
		return dialect{"http", istioSites, istioMatches, istioDestinations}, true
	default:
		return dialect{}, false
	}
}

// Rules returns the rules of a routing object, in its order; none of an object that can't hold mirrors.
func Rules(object *unstructured.Unstructured) []Rule {
	d, ok := dialectOf(object)
	if !ok {
		return nil
	}
	spec, _ := object.Object["spec"].(map[string]any)
	list, _ := spec[d.list].([]any)
	rules := make([]Rule, 0, len(list))
	for i := range list {
		fields, _ := list[i].(map[string]any)
		path := Path{"spec", d.list, i}
		rules = append(rules, Rule{Path: path, Fields: fields, Sites: d.sites(path, fields), dialect: d})
	}
	return rules
}

// Name returns the rule's, or "".
func (r Rule) Name() string {
	name, _ := r.Fields["name"].(string)
	return name
}

// title is the rule's name, else its position.
func (r Rule) title() string {
	if name := r.Name(); name != "" {
		return truncate(name, maxRule)
	}
	index, _ := r.Path[len(r.Path)-1].(int)
	return strconv.Itoa(index)
}

// Match returns what a request must match to get to the rule, and "" where every request does. It is the same for a rule as it was
// written and as the apiserver returns it, with its defaults.
func (r Rule) Match() string {
	matches := r.dialect.matches(r.Fields)
	if slices.Contains(matches, "") {
		return ""
	}
	return truncate(strings.Join(matches, " or "), maxText)
}

// From returns the backends that answer the requests of which a site gets copies.
func (r Rule) From(site Site) string {
	from := r.dialect.backends(r.Fields)
	if site.Backend >= 0 && site.Backend < len(from) {
		from = from[site.Backend : site.Backend+1]
	}
	names := make([]string, 0, len(from))
	for _, backend := range from {
		names = append(names, backend.String())
	}
	return truncate(join(names), maxText)
}

// number reads a number, whatever type a decoder gave it.
func number(value any) (float64, bool) {
	switch n := value.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, true
	case int:
		return float64(n), true
	case int32:
		return float64(n), true
	default:
		return 0, false
	}
}

// shareOf returns the share of a percentage, and all where that isn't one.
func shareOf(percent any) Share {
	if n, ok := number(percent); ok && n >= 0 && n <= 100 {
		return Share{n, true}
	}
	return Share{100, true}
}

// list returns a field that is a list, nil where it is something else.
func list(fields map[string]any, name string) []any {
	items, _ := fields[name].([]any)
	return items
}

// object returns a value that is an object, nil where it is something else.
func object(value any) map[string]any {
	fields, _ := value.(map[string]any)
	return fields
}

func text(fields map[string]any, name string) string {
	value, _ := fields[name].(string)
	return value
}
