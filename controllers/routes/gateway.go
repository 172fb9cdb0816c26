package routes

import (
	"fmt"
	"strconv"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// rule is what a rule of either kind of route has.
type rule struct {
	matches []string
	mirrors []copying
	// backends answer the requests, each with mirrors of its own.
	backends []backend
}

type backend struct {
	name    string
	mirrors []copying
}

// mirrorings are the rule's own, and those of each backend.
func (r rule) mirrorings() []mirroring {
	match := strings.Join(r.matches, " or ")
	var from []string
	for _, b := range r.backends {
		from = append(from, b.name)
	}
	all := appendMirroring(nil, match, from, r.mirrors)
	for i, b := range r.backends {
		all = appendMirroring(all, match, from[i:i+1], b.mirrors)
	}
	return all
}

func inHTTPRoute(route *gatewayv1.HTTPRoute) []mirroring {
	var all []mirroring
	for _, given := range route.Spec.Rules {
		r := rule{mirrors: httpMirrors(given.Filters)}
		for _, m := range given.Matches {
			r.matches = append(r.matches, httpMatch(m))
		}
		for _, ref := range given.BackendRefs {
			r.backends = append(r.backends, backend{backendName(ref.BackendObjectReference), httpMirrors(ref.Filters)})
		}
		all = append(all, r.mirrorings()...)
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
	for _, given := range route.Spec.Rules {
		r := rule{mirrors: grpcMirrors(given.Filters)}
		for _, m := range given.Matches {
			r.matches = append(r.matches, grpcMatch(m))
		}
		for _, ref := range given.BackendRefs {
			r.backends = append(r.backends, backend{backendName(ref.BackendObjectReference), grpcMirrors(ref.Filters)})
		}
		all = append(all, r.mirrorings()...)
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
