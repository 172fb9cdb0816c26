package mirrors

import (
	"fmt"
	"slices"

	"sigs.k8s.io/gateway-api/pkg/features"
)

// Implementation is what is known of a gateway or mesh that doesn't mirror as its routes say, whatever features it publishes.
type Implementation struct {
	// Controller is the controllerName of its GatewayClasses, and of its reports in a route's status.
	Controller string
	Name       string
	// Lacks is the feature that it doesn't have.
	Lacks features.FeatureName
	// Does says what it does instead, to follow its name.
	Does string
	// Source is the code that does.
	Source string
}

// Implementations are those that are known to mirror otherwise than routes say, as of November 2026.
var Implementations = []Implementation{
	{
		Controller: "traefik.io/gateway-controller", Name: "Traefik", Lacks: features.SupportHTTPRouteRequestMirror,
		Does:   "answers every request of a rule with a mirror with status 500",
		Source: "traefik/traefik v3.7, pkg/provider/kubernetes/gateway/httproute.go:147-161, 417-421",
	},
	{
		Controller: "linkerd.io/policy-controller", Name: "Linkerd", Lacks: features.SupportHTTPRouteRequestMirror,
		Does:   "ignores a route with a mirror as a whole",
		Source: "linkerd/linkerd2, policy-controller/k8s/index/src/outbound/index/http.rs:332, outbound/index.rs:842-852",
	},
	{
		Controller: "projectcontour.io/gateway-controller", Name: "Contour", Lacks: features.SupportHTTPRouteRequestPercentageMirror,
		Does:   "mirrors every request, whatever share a mirror asks for",
		Source: "projectcontour/contour, internal/dag/gatewayapi_processor.go:1351-1366",
	},
}

// LacksOf returns what a controller is known to lack, for a route (as routes.Name returns it) that it serves; what, such as
// "Gateway default/edge", is how the route gets to it.
func LacksOf(controller, route, what string) []Lack {
	i := slices.IndexFunc(Implementations, func(known Implementation) bool { return known.Controller == controller })
	if i < 0 {
		return nil
	}
	known := Implementations[i]
	return []Lack{{Route: route, Feature: known.Lacks, Message: fmt.Sprintf("%s, of %s, %s", known.Name, what, known.Does)}}
}
