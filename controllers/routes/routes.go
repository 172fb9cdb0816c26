// Package routes reads routing objects of the Gateway API and of Istio: what they mirror, what that takes of a
// gateway, and whether the gateway has accepted it. It is pure, and never changes an object.
package routes

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// istioGroup is the API group of VirtualServices and DestinationRules.
const istioGroup = "networking.istio.io"

// mirroring is one list of mirrors in a route, with what they have in common.
type mirroring struct {
	// match says which requests are mirrored, empty for all that get there.
	match string
	// from names the backends that answer them.
	from    []string
	mirrors []copying
}

// copying is one mirror.
type copying struct {
	to, percent string
	// partial tells that it asks for a part of the requests.
	partial bool
}

// mirrorings reads an object by the rules of its kind. One in a shape that is newer than ours has none: the
// apiserver has taken it, and will know.
func mirrorings(object *unstructured.Unstructured) []mirroring {
	kind := object.GroupVersionKind()
	switch {
	case kind.Group == gatewayv1.GroupName && kind.Kind == "HTTPRoute":
		var route gatewayv1.HTTPRoute
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &route); err != nil {
			return nil
		}
		return inHTTPRoute(&route)
	case kind.Group == gatewayv1.GroupName && kind.Kind == "GRPCRoute":
		var route gatewayv1.GRPCRoute
		if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, &route); err != nil {
			return nil
		}
		return inGRPCRoute(&route)
	case kind.Group == istioGroup && kind.Kind == "VirtualService":
		var routes []httpRoute
		if err := decode(object, &routes, "spec", "http"); err != nil {
			return nil
		}
		return inVirtualService(routes)
	default:
		return nil
	}
}

// Mirrors gives the mirrors in a routing object, in its order.
func Mirrors(object *unstructured.Unstructured) []iter8v1alpha1.Mirror {
	var mirrors []iter8v1alpha1.Mirror
	for _, m := range mirrorings(object) {
		for _, c := range m.mirrors {
			mirrors = append(mirrors, iter8v1alpha1.Mirror{
				Route:   Name(object.GetKind(), object.GetName()),
				Match:   truncate(m.match, maxText),
				From:    truncate(join(m.from), maxText),
				To:      truncate(c.to, maxTarget),
				Percent: c.percent,
			})
		}
	}
	return mirrors
}

// Name is how the status names a routing object.
func Name(kind, name string) string { return kind + "/" + name }

// decode reads a field of an object through JSON, which doesn't mind whether a number is written as 50 or as 50.0.
// A field that isn't there is read as nothing.
func decode(object *unstructured.Unstructured, into any, path ...string) error {
	value, found, err := unstructured.NestedFieldNoCopy(object.Object, path...)
	if err != nil || !found {
		return err
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", strings.Join(path, "."), err)
	}
	return json.Unmarshal(data, into)
}
