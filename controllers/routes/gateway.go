package routes

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// requestMirror is the type of the filters that mirror, and the field that says where to.
const (
	requestMirrorType  = string(gatewayv1.HTTPRouteFilterRequestMirror)
	requestMirrorField = "requestMirror"
)

// IsRequestMirror reports whether a filter of a rule, or of a backendRef, is a mirror.
func IsRequestMirror(filter any) bool { return object(filter)["type"] == requestMirrorType }

// filterSites returns the mirrors in the filters of a rule and of its backendRefs.
func filterSites(path Path, rule map[string]any) []Site {
	sites := sitesIn(path.Child("filters"), -1, list(rule, "filters"))
	for i, backend := range list(rule, "backendRefs") {
		sites = append(sites, sitesIn(path.Child("backendRefs", i, "filters"), i, list(object(backend), "filters"))...)
	}
	return sites
}

func sitesIn(path Path, backend int, filters []any) []Site {
	var sites []Site
	for i, filter := range filters {
		if !IsRequestMirror(filter) {
			continue
		}
		site := Site{Path: path.Child(i), Backend: backend, Index: i, Fields: object(filter), Share: Share{Percent: 100}}
		mirror := object(site.Fields[requestMirrorField])
		if ref := object(mirror["backendRef"]); ref != nil {
			site.To = backendOf(ref)
		}
		site.Share = filterShare(mirror)
		sites = append(sites, site)
	}
	return sites
}

// filterShare reads the share of a RequestMirror filter. Without percent and fraction it mirrors every request.
func filterShare(mirror map[string]any) Share {
	if percent, ok := mirror["percent"]; ok {
		return shareOf(percent)
	}
	given, ok := mirror["fraction"]
	if !ok {
		return Share{Percent: 100}
	}
	fraction := object(given)
	numerator, ok := number(fraction["numerator"])
	if !ok {
		return Share{100, true}
	}
	denominator, ok := number(fraction["denominator"])
	if !ok || denominator <= 0 {
		denominator = 100
	}
	return shareOf(100 * numerator / denominator)
}

func backends(rule map[string]any) []Destination {
	refs := list(rule, "backendRefs")
	all := make([]Destination, 0, len(refs))
	for _, ref := range refs {
		all = append(all, backendOf(object(ref)))
	}
	return all
}

func httpMatches(rule map[string]any) []string {
	return matches(rule, func(m gatewayv1.HTTPRouteMatch) string {
		var parts []string
		if m.Method != nil {
			parts = append(parts, string(*m.Method))
		}
		if path := pathOf(m.Path); path != everyPath {
			parts = append(parts, path)
		}
		for _, h := range m.Headers {
			parts = append(parts, fmt.Sprintf("header %s=%s", h.Name, h.Value))
		}
		for _, q := range m.QueryParams {
			parts = append(parts, fmt.Sprintf("query %s=%s", q.Name, q.Value))
		}
		return join(parts)
	})
}

// everyPath is what a match without a path gets from the apiserver.
const everyPath = "PathPrefix /"

func pathOf(match *gatewayv1.HTTPPathMatch) string {
	if match == nil {
		return everyPath
	}
	return fmt.Sprintf("%s %s", value(match.Type, gatewayv1.PathMatchPathPrefix), value(match.Value, "/"))
}

func grpcMatches(rule map[string]any) []string {
	return matches(rule, func(m gatewayv1.GRPCRouteMatch) string {
		var parts []string
		if m.Method != nil {
			parts = append(parts, fmt.Sprintf("%s %s/%s", value(m.Method.Type, gatewayv1.GRPCMethodMatchExact),
				value(m.Method.Service, "*"), value(m.Method.Method, "*")))
		}
		for _, h := range m.Headers {
			parts = append(parts, fmt.Sprintf("header %s=%s", h.Name, h.Value))
		}
		return join(parts)
	})
}

// matches says of each match of a rule what it asks for, joined by commas.
func matches[T any](rule map[string]any, describe func(T) string) []string {
	given := list(rule, "matches")
	texts := make([]string, 0, len(given))
	for _, fields := range given {
		var match T
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object(fields), &match); err != nil {
			texts = append(texts, unreadableMatch)
			continue
		}
		texts = append(texts, describe(match))
	}
	return texts
}

// unreadableMatch stands for a match in a shape that is newer than ours.
const unreadableMatch = "a match that can't be read"

func value[T any](pointer *T, otherwise T) T {
	if pointer == nil {
		return otherwise
	}
	return *pointer
}
