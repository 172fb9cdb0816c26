package routingpolicy

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// What the API allows of status.mirrors and status.mirrorTargets.
const (
	maxMirrors = 1024
	maxTargets = 4096
)

// mirrorsOf gives the mirrors in a route; other kinds have none.
func mirrorsOf(manifest *unstructured.Unstructured) []iter8v1alpha1.Mirror {
	if manifest.GroupVersionKind().Group != gatewayv1.GroupName || manifest.GetKind() != "HTTPRoute" {
		return nil
	}
	var route gatewayv1.HTTPRoute
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(manifest.Object, &route); err != nil {
		return nil // the apiserver has taken it, so this is of a shape that is newer than ours
	}
	var mirrors []iter8v1alpha1.Mirror
	for _, rule := range route.Spec.Rules {
		var from []string
		for _, ref := range rule.BackendRefs {
			from = append(from, backendName(ref.BackendObjectReference))
		}
		for _, filter := range rule.Filters {
			if filter.Type != gatewayv1.HTTPRouteFilterRequestMirror || filter.RequestMirror == nil {
				continue
			}
			mirrors = append(mirrors, iter8v1alpha1.Mirror{
				Route:   routeName(manifest.GetKind(), manifest.GetName()),
				Match:   describeMatches(rule.Matches),
				From:    strings.Join(from, ", "),
				To:      backendName(filter.RequestMirror.BackendRef),
				Percent: percentOf(filter.RequestMirror),
			})
		}
	}
	return mirrors
}

// targetsOf sums mirrors up: each target once, with the percentage where it isn't 100.
func targetsOf(mirrors []iter8v1alpha1.Mirror) string {
	var targets []string
	for _, m := range mirrors {
		target := m.To
		if m.Percent != "100" {
			target += " (" + m.Percent + "%)"
		}
		if !slices.Contains(targets, target) {
			targets = append(targets, target)
		}
	}
	return strings.Join(targets, ",")
}

func routeName(kind, name string) string { return kind + "/" + name }

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

// percentOf gives the share of requests that a filter mirrors, as a decimal number; without percent and
// fraction it is all of them.
func percentOf(mirror *gatewayv1.HTTPRequestMirrorFilter) string {
	switch {
	case mirror.Percent != nil:
		return strconv.Itoa(int(*mirror.Percent))
	case mirror.Fraction != nil:
		denominator := int32(100)
		if mirror.Fraction.Denominator != nil && *mirror.Fraction.Denominator > 0 {
			denominator = *mirror.Fraction.Denominator
		}
		return strconv.FormatFloat(100*float64(mirror.Fraction.Numerator)/float64(denominator), 'g', 6, 64)
	default:
		return "100"
	}
}

// describeMatches says which requests a rule takes: matches joined by "or", what each asks for by commas.
func describeMatches(matches []gatewayv1.HTTPRouteMatch) string {
	described := make([]string, 0, len(matches))
	for _, m := range matches {
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
		described = append(described, strings.Join(parts, ", "))
	}
	return strings.Join(described, " or ")
}

func value[T any](pointer *T, otherwise T) T {
	if pointer == nil {
		return otherwise
	}
	return *pointer
}
