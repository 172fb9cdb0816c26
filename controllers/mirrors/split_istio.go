package mirrors

import (
	"maps"
	"slices"
	"strings"

	"iter8.tools/operator/controllers/routes"
)

// maxName is the longest name that a route may get, as for rules of the Gateway API.
const maxName = 253

// istio splits the entries of a VirtualService's http. The first that matches answers, so a mirrored one becomes two, one
// after the other: a copy for GET, HEAD and OPTIONS, and itself without mirrors for what is left.
func (s *splitting) istio() ([][]gatedRule, Errors) {
	parts := make([][]gatedRule, 0, len(s.rules))
	for i, rule := range s.rules {
		if !rule.mirrored {
			parts = append(parts, []gatedRule{rule})
			continue
		}
		path := routes.Path{"spec", "http", i}
		if rule.fields["delegate"] != nil {
			s.refuse(path.Child("delegate"), "mirrorUnsafeMethods is false, but the VirtualService that it names may match methods itself: give that the mirror, with methods in its matches")
		}
		safe, rest := s.istioMatches(path, rule.fields)
		parts = append(parts, istioParts(rule, safe, rest))
	}
	s.refuseNames(parts)
	return parts, s.problems
}

// istioMatches returns the matches of a route for safe methods, and those for the rest.
func (s *splitting) istioMatches(path routes.Path, route map[string]any) (safe, rest []any) {
	given := itemsOf(route["match"])
	if len(given) == 0 {
		given = []any{map[string]any{}}
	}
	for j, match := range given {
		fields := fieldsOf(match)
		method := fieldsOf(fields["method"])
		exact, isExact := method["exact"].(string)
		switch {
		case len(method) == 0:
			with := copyOf(fields)
			with["method"] = map[string]any{"regex": safePattern}
			safe, rest = append(safe, with), append(rest, match)
		case method["regex"] == safePattern: // it is split already
			safe = append(safe, match)
		case !isExact:
			s.refuse(path.Child("match", j, "method"), "mirrorUnsafeMethods is false, but methods that are matched by %s can't be told apart: match each method as exact",
				join(slices.Sorted(maps.Keys(method))))
		case slices.Contains(safeMethods, exact):
			safe = append(safe, match)
		default:
			rest = append(rest, match)
		}
	}
	return safe, rest
}

func istioParts(rule gatedRule, safe, rest []any) []gatedRule {
	var parts []gatedRule
	if len(safe) > 0 {
		fields := copyOf(rule.fields)
		fields["match"] = safe
		if name, _ := fields["name"].(string); name != "" && len(rest) > 0 {
			fields["name"] = name + safeSuffix
		}
		parts = append(parts, gatedRule{fields, true})
	}
	if len(rest) > 0 {
		fields := withoutMirrors(rule.fields)
		if len(itemsOf(rule.fields["match"])) > 0 {
			fields["match"] = rest
		}
		parts = append(parts, gatedRule{fields: fields})
	}
	return parts
}

// What is added to a route's name, and matched of a request's method, by the route for the safe ones.
var (
	safeSuffix  = "-" + strings.ToLower(strings.Join(safeMethods, "-"))
	safePattern = strings.Join(safeMethods, "|")
)

// refuseNames refuses names that splitting makes too long, or that another route has.
func (s *splitting) refuseNames(parts [][]gatedRule) {
	taken := map[string]int{}
	for i, of := range parts {
		for _, part := range of {
			name, _ := part.fields["name"].(string)
			path := routes.Path{"spec", "http", i, "name"}
			if len(of) > 1 && len(name) > maxName {
				s.refuse(path, "mirrorUnsafeMethods is false, which makes a route of a name of %d characters, and a name has at most %d", len(name), maxName)
			}
			if by, isTaken := taken[name]; isTaken && name != "" && (len(of) > 1 || len(parts[by]) > 1) {
				s.refuse(path, "mirrorUnsafeMethods is false, which makes two routes of the name %s, of spec.http[%d] too: rename one", name, by)
			}
			taken[name] = i
		}
	}
}
