package mirrors

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"iter8.tools/operator/controllers/routes"
)

// safeMethods are those that change nothing on the server (RFC 9110, 9.2.1), and that clients use.
var safeMethods = []string{"GET", "HEAD", "OPTIONS"}

// The most that the Gateway API allows of an HTTPRoute.
const (
	maxRules        = 16
	maxMatches      = 64
	maxMatchesInAll = 128
)

// split returns for each rule those by which the same backends answer the same requests, but of which only those with a safe
// method are mirrored. Where no rule has a mirror, all are left as they are.
func (g *gate) split(rules []gatedRule) ([][]gatedRule, Errors) {
	s := &splitting{route: routes.Name(g.manifest.GetKind(), g.manifest.GetName()), rules: rules}
	switch {
	case isIstio(g.manifest):
		return s.istio()
	case g.manifest.GetKind() == "GRPCRoute":
		s.refuse(routes.Path{"spec", "rules"}, "mirrorUnsafeMethods is false, but every gRPC call is a POST, so that a GRPCRoute would mirror nothing: leave the value out")
		return whole(rules), s.problems
	default:
		return s.gateway()
	}
}

type splitting struct {
	route    string
	rules    []gatedRule
	problems Errors
}

func (s *splitting) refuse(path routes.Path, format string, args ...any) {
	s.problems = append(s.problems, Error{s.route, path, fmt.Sprintf(format, args...)})
}

// gateway splits the rules of an HTTPRoute.
//
// A mirrored rule becomes two: one for GET, HEAD and OPTIONS, and one without mirrors for the rest. The Gateway API
// prefers matches by their path, then by whether they name a method, then by headers and query parameters. So the rule
// for the safe methods would also win over headers that other rules ask for. That is why every match of the same path
// gets the same methods: there is one for each safe method and one for the rest, and what decides between rules is
// what decided before.
//
//	/, mirrored to v2 ──────┬── GET /, HEAD /, OPTIONS /, mirrored to v2
//	                        └── /
//	/ with a header ─────────── / with a header, and GET, HEAD or OPTIONS, or none of them
//	/other ──────────────────── /other
func (s *splitting) gateway() ([][]gatedRule, Errors) {
	paths := s.paths()
	parts := make([][]gatedRule, 0, len(s.rules))
	for i, rule := range s.rules {
		of := s.parts(i, paths)
		if len(of) > 1 {
			s.refuseAttached(i, rule)
		}
		parts = append(parts, of)
	}
	s.refuseTooMany(parts)
	return parts, s.problems
}

// paths returns those that are mirrored whatever the method, and the position of the last rule that does.
func (s *splitting) paths() map[string]int {
	paths := map[string]int{}
	for i, rule := range s.rules {
		if !rule.mirrored {
			continue
		}
		for _, match := range matchesOf(rule.fields) {
			if match["method"] == nil {
				paths[pathOf(match)] = i
			}
		}
	}
	return paths
}

// parts returns the rules that one becomes, each for some methods; "" stands for the rest.
func (s *splitting) parts(i int, paths map[string]int) []gatedRule {
	rule := s.rules[i]
	groups := [][]string{append(slices.Clone(safeMethods), "")}
	switch {
	case replacesPrefix(rule.fields): // a rule that does takes exactly one match
		groups = [][]string{{"GET"}, {"HEAD"}, {"OPTIONS"}, {""}}
	case rule.mirrored:
		groups = [][]string{safeMethods, {""}}
	}
	given := matchesOf(rule.fields)
	s.refuseShadowed(i, given, paths)
	var parts []gatedRule
	for _, methods := range groups {
		matches := matchesFor(methods, given, paths)
		if len(matches) == 0 {
			continue
		}
		part := gatedRule{fields: copyOf(rule.fields), mirrored: rule.mirrored}
		if !equal(matches, given) {
			part.fields["matches"] = matches
		}
		if methods[0] == "" {
			part = gatedRule{fields: withoutMirrors(part.fields)}
		}
		parts = append(parts, part)
	}
	return parts
}

// matchesFor returns the matches of a rule for some methods.
func matchesFor(methods []string, given []map[string]any, paths map[string]int) []any {
	var matches []any
	for _, match := range given {
		named, _ := match["method"].(string)
		_, isSplit := paths[pathOf(match)]
		if named == "" && isSplit {
			for _, method := range methods {
				matches = append(matches, withMethod(match, method))
			}
			continue
		}
		if !slices.Contains(safeMethods, named) {
			named = ""
		}
		if slices.Contains(methods, named) {
			matches = append(matches, match)
		}
	}
	return matches
}

func withMethod(match map[string]any, method string) map[string]any {
	if method == "" {
		return match
	}
	with := copyOf(match)
	with["method"] = method
	return with
}

// refuseShadowed refuses rules that would answer other requests than before.
func (s *splitting) refuseShadowed(i int, matches []map[string]any, paths map[string]int) {
	for j, match := range matches {
		named, _ := match["method"].(string)
		by, isSplit := paths[pathOf(match)]
		if isSplit && slices.Contains(safeMethods, named) {
			s.refuse(routes.Path{"spec", "rules", i, "matches", j, "method"},
				"mirrorUnsafeMethods is false, spec.rules[%d] mirrors %s whatever the method, and this matches that with method %s: "+
					"if the first were split by methods, others might answer; name the methods in the matches of spec.rules[%d]",
				by, pathOf(match), named, by)
		}
	}
}

// refuseAttached refuses to split a rule that policies may attach to, or whose clients stick to a backend.
func (s *splitting) refuseAttached(i int, rule gatedRule) {
	for _, field := range []string{"name", "sessionPersistence"} {
		if rule.fields[field] != nil {
			s.refuse(routes.Path{"spec", "rules", i, field}, "mirrorUnsafeMethods is false, and a rule with %s can't be split by methods, "+
				"since what belongs to it would come and go with the variant: name the methods in the matches of the rule, or leave %s out", field, field)
		}
	}
}

func (s *splitting) refuseTooMany(parts [][]gatedRule) {
	rules, inAll, largest := 0, 0, 0
	for _, of := range parts {
		rules += len(of)
		for _, part := range of {
			n := len(matchesOf(part.fields))
			inAll += n
			largest = max(largest, n)
		}
	}
	if rules > maxRules || largest > maxMatches || inAll > maxMatchesInAll {
		s.refuse(routes.Path{"spec", "rules"}, "mirrorUnsafeMethods is false, which makes %d rules with %d matches, at most %d in one, of the %d rules here; "+
			"the Gateway API allows %d rules and %d matches, at most %d in one: mirror fewer rules, or name methods in the matches of the mirrored ones",
			rules, inAll, largest, len(s.rules), maxRules, maxMatchesInAll, maxMatches)
	}
}

// matchesOf returns a rule's matches, and the one for everything where it has none.
func matchesOf(rule map[string]any) []map[string]any {
	var matches []map[string]any
	for _, match := range itemsOf(rule["matches"]) {
		matches = append(matches, fieldsOf(match))
	}
	if len(matches) == 0 {
		return []map[string]any{{"path": map[string]any{"type": "PathPrefix", "value": "/"}}}
	}
	return matches
}

// pathOf says of a match what ranks before its method: matches of which it says the same may be equals.
func pathOf(match map[string]any) string {
	path := fieldsOf(match["path"])
	kind, _ := path["type"].(string)
	value, _ := path["value"].(string)
	switch kind {
	case "", "PathPrefix":
		return "PathPrefix " + cmp.Or(strings.TrimSuffix(value, "/"), "/")
	case "RegularExpression":
		return "RegularExpression paths" // how these rank among themselves is up to the gateway
	default:
		return kind + " " + value
	}
}

// replacesPrefix reports whether a filter replaces the prefix that the rule matches.
func replacesPrefix(rule map[string]any) bool {
	data, err := json.Marshal(rule)
	return err == nil && strings.Contains(string(data), `"ReplacePrefixMatch"`)
}

func equal(matches []any, given []map[string]any) bool {
	return slices.EqualFunc(matches, given, func(a any, b map[string]any) bool {
		x, errX := json.Marshal(a)
		y, errY := json.Marshal(b)
		return errX == nil && errY == nil && bytes.Equal(x, y)
	})
}

// withoutMirrors returns a rule of either API without its mirrors, which stand in the rule itself.
func withoutMirrors(rule map[string]any) map[string]any {
	rule = copyOf(rule)
	if filters := itemsOf(rule["filters"]); slices.ContainsFunc(filters, routes.IsRequestMirror) {
		setList(rule, "filters", slices.DeleteFunc(slices.Clone(filters), routes.IsRequestMirror))
	}
	for _, name := range append([]string{"mirror", "mirrors"}, routes.MirrorShares[:]...) {
		delete(rule, name)
	}
	return rule
}

// mirroredMatches returns for each of a rule's parts that mirror what requests must match to get to it.
func mirroredMatches(route *unstructured.Unstructured, parts []gatedRule) []string {
	var mirrored []any
	for _, part := range parts {
		if part.mirrored {
			mirrored = append(mirrored, part.fields)
		}
	}
	var matches []string
	for _, rule := range routes.Rules(withRules(route, mirrored)) {
		matches = append(matches, rule.Match())
	}
	return matches
}

// withRules returns a route that has nothing but some rules.
func withRules(route *unstructured.Unstructured, rules []any) *unstructured.Unstructured {
	field := "rules"
	if isIstio(route) {
		field = "http"
	}
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": route.GetAPIVersion(), "kind": route.GetKind(), "spec": map[string]any{field: rules},
	}}
}
