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
	for _, rule := range Rules(object) {
		for _, sites := range rule.byHolder() {
			add(Need{features.SupportHTTPRouteRequestMirror, "mirrors requests"})
			if len(sites) > 1 {
				add(Need{features.SupportHTTPRouteRequestMultipleMirrors, "has several mirrors in a rule"})
			}
			if slices.ContainsFunc(sites, func(site Site) bool { return site.Share.Partial }) {
				add(Need{features.SupportHTTPRouteRequestPercentageMirror, "mirrors a part of the requests"})
			}
		}
	}
	return needs
}

// byHolder returns the mirrors that name a target: the rule's own together, and those of each backend.
func (r Rule) byHolder() [][]Site {
	var all [][]Site
	for _, site := range r.Sites {
		switch last := len(all) - 1; {
		case site.To.IsZero():
		case last >= 0 && all[last][0].Backend == site.Backend:
			all[last] = append(all[last], site)
		default:
			all = append(all, []Site{site})
		}
	}
	return all
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
