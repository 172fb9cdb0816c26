package routes

import (
	"fmt"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

func inHTTPRoute(route *gatewayv1.HTTPRoute) []mirroring {
	var all []mirroring
	for _, rule := range route.Spec.Rules {
		matches := make([]string, 0, len(rule.Matches))
		for _, m := range rule.Matches {
			matches = append(matches, httpMatch(m))
		}
		match := strings.Join(matches, " or ")
		var from []string
		for _, ref := range rule.BackendRefs {
			from = append(from, backendName(ref.BackendObjectReference))
		}
		all = appendMirroring(all, match, from, httpMirrors(rule.Filters))
		for i, ref := range rule.BackendRefs {
			all = appendMirroring(all, match, from[i:i+1], httpMirrors(ref.Filters))
		}
	}
	return all
}

func httpMirrors(filters []gatewayv1.HTTPRouteFilter) []copying {
	var mirrors []copying
	for _, filter := range filters {
		if filter.Type == gatewayv1.HTTPRouteFilterRequestMirror && filter.RequestMirror != nil {
			mirrors = append(mirrors, requestMirror(filter.RequestMirror))
		}
	}
	return mirrors
}

func inGRPCRoute(route *gatewayv1.GRPCRoute) []mirroring {
	var all []mirroring
	for _, rule := range route.Spec.Rules {
		matches := make([]string, 0, len(rule.Matches))
		for _, m := range rule.Matches {
			matches = append(matches, grpcMatch(m))
		}
		match := strings.Join(matches, " or ")
		var from []string
		for _, ref := range rule.BackendRefs {
			from = append(from, backendName(ref.BackendObjectReference))
		}
		all = appendMirroring(all, match, from, grpcMirrors(rule.Filters))
		for i, ref := range rule.BackendRefs {
			all = appendMirroring(all, match, from[i:i+1], grpcMirrors(ref.Filters))
		}
	}
	return all
}

func grpcMirrors(filters []gatewayv1.GRPCRouteFilter) []copying {
	var mirrors []copying
	for _, filter := range filters {
		if filter.Type == gatewayv1.GRPCRouteFilterRequestMirror && filter.RequestMirror != nil {
			mirrors = append(mirrors, requestMirror(filter.RequestMirror))
		}
	}
	return mirrors
}

func appendMirroring(all []mirroring, match string, from []string, mirrors []copying) []mirroring {
	if len(mirrors) == 0 {
		return all
	}
	return append(all, mirroring{match: match, from: from, mirrors: mirrors})
}

// requestMirror reads a filter, the same in routes of both kinds. Without percent and fraction it mirrors
// every request.
func requestMirror(filter *gatewayv1.HTTPRequestMirrorFilter) copying {
	c := copying{to: backendName(filter.BackendRef), percent: everything}
	switch {
	case filter.Percent != nil:
		c.percent, c.partial = strconv.Itoa(int(*filter.Percent)), true
	case filter.Fraction != nil:
		denominator := int32(100)
		if filter.Fraction.Denominator != nil && *filter.Fraction.Denominator > 0 {
			denominator = *filter.Fraction.Denominator
		}
		c.percent, c.partial = decimal(100*float64(filter.Fraction.Numerator)/float64(denominator)), true
	}
	return c
}

// backendName gives [namespace/]name[:port].
func backendName(ref gatewayv1.BackendObjectReference) string {
	name := string(ref.Name)
	if ref.Namespace != nil {
		name = string(*ref.Namespace) + "/" + name
	}
	if ref.Port != nil {
		name = fmt.Sprintf("%s:%d", name, *ref.Port)
	}
	return name
}

// httpMatch says what a match asks for, joined by commas.
func httpMatch(m gatewayv1.HTTPRouteMatch) string {
	var parts []string
	if m.Method != nil {
		parts = append(parts, string(*m.Method))
	}
	if m.Path != nil {
		parts = append(parts, fmt.Sprintf("%s %s", value(m.Path.Type, gatewayv1.PathMatchPathPrefix), value(m.Path.Value, "/")))
	}
	for _, h := range m.Headers {
		parts = append(parts, fmt.Sprintf("header %s=%s", h.Name, h.Value))
	}
	for _, q := range m.QueryParams {
		parts = append(parts, fmt.Sprintf("query %s=%s", q.Name, q.Value))
	}
	return join(parts)
}

// grpcMatch says what a match asks for, joined by commas.
func grpcMatch(m gatewayv1.GRPCRouteMatch) string {
	var parts []string
	if m.Method != nil {
		parts = append(parts, fmt.Sprintf("%s %s/%s", value(m.Method.Type, gatewayv1.GRPCMethodMatchExact),
			value(m.Method.Service, "*"), value(m.Method.Method, "*")))
	}
	for _, h := range m.Headers {
		parts = append(parts, fmt.Sprintf("header %s=%s", h.Name, h.Value))
	}
	return join(parts)
}

func value[T any](pointer *T, otherwise T) T {
	if pointer == nil {
		return otherwise
	}
	return *pointer
}
