package routes

import (
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/pkg/features"
)

// Need is a feature that a route takes of its gateway.
type Need struct {
	// Feature by the name that a GatewayClass lists it by.
	Feature features.FeatureName
	// What it is that takes it, to follow "HTTPRoute web".
	What string
}

// Needs gives the features of mirroring that a route takes. Those of routes other than HTTPRoutes have no names
// yet: nothing.
func Needs(object *unstructured.Unstructured) []Need {
	if object.GroupVersionKind().Group != gatewayv1.GroupName || object.GetKind() != "HTTPRoute" {
		return nil
	}
	var needs []Need
	add := func(need Need) {
		if !slices.Contains(needs, need) {
			needs = append(needs, need)
		}
	}
	for _, m := range mirrorings(object) {
		add(Need{features.SupportHTTPRouteRequestMirror, "mirrors requests"})
		if len(m.mirrors) > 1 {
			add(Need{features.SupportHTTPRouteRequestMultipleMirrors, "has several mirrors in a rule"})
		}
		if slices.ContainsFunc(m.mirrors, func(c copying) bool { return c.partial }) {
			add(Need{features.SupportHTTPRouteRequestPercentageMirror, "mirrors a part of the requests"})
		}
	}
	return needs
}

// Gateways gives the Gateways that a route of a namespace attaches to.
func Gateways(object *unstructured.Unstructured, namespace string) []types.NamespacedName {
	if object.GroupVersionKind().Group != gatewayv1.GroupName {
		return nil
	}
	var parentRefs []gatewayv1.ParentReference
	if err := decode(object, &parentRefs, "spec", "parentRefs"); err != nil {
		return nil
	}
	var gateways []types.NamespacedName
	for _, ref := range parentRefs {
		p := parentOf(ref, namespace)
		name := types.NamespacedName{Namespace: p.namespace, Name: p.name}
		if p.group == gatewayv1.GroupName && p.kind == "Gateway" && !slices.Contains(gateways, name) {
			gateways = append(gateways, name)
		}
	}
	return gateways
}
