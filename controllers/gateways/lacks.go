package gateways

import (
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/gateway-api/pkg/features"

	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// mirroring is what the Gateway API calls mirrors of HTTPRoutes. Those of GRPCRoutes have no names of their own.
var mirroring = []features.FeatureName{
	features.SupportHTTPRouteRequestMirror,
	features.SupportHTTPRouteRequestMultipleMirrors,
	features.SupportHTTPRouteRequestPercentageMirror,
}

// Lacks returns the features of mirroring that an HTTPRoute or GRPCRoute of a namespace is known to lack, whether it has mirrors
// that need them or not: those that the class of a Gateway doesn't list, where it lists any; and those that the class's implementation
// is known not to have. Of what can't be read it isn't known what it lacks; what isn't there, or is of a kind that the cluster doesn't
// serve or of a namespace that isn't watched, lacks nothing as far as is known.
func (g *Gateways) Lacks(route *unstructured.Unstructured, namespace string) []mirrors.Lack {
	name := routes.Name(route.GetKind(), route.GetName())
	lacks := g.unread(name, routes.Attachments(route, namespace))
	for _, gateway := range g.gateways(routes.Attachments(route, namespace)) {
		class := g.class(gateway)
		if class == nil {
			continue
		}
		lacks = append(lacks, class.lacks(name, gateway)...)
		lacks = append(lacks, mirrors.LacksOf(class.controller, name, "Gateway "+gateway.String())...)
	}
	return lacks
}

// unread returns what isn't known of a route's gateways, since they, their class or what leads to them can't be read.
func (g *Gateways) unread(route string, attachments []routes.Attachment) []mirrors.Lack {
	var lacks []mirrors.Lack
	note := func(what string, state watch.State) {
		if state.Synced || state.Err == nil || errors.Is(state.Err, watch.ErrNotServed) || errors.Is(state.Err, watch.ErrNotWatched) {
			return
		}
		lacks = append(lacks, mirrors.Lack{Route: route, Feature: features.SupportHTTPRouteRequestMirror, Unknown: true,
			Message: fmt.Sprintf("what its gateway supports can't be read (%s): %s", what, state.Err)})
	}
	for _, attachment := range attachments {
		if isListenerSet(attachment) {
			note("ListenerSet "+attachment.String(), g.objects.State(setTarget, attachment.Namespace))
		}
	}
	for _, name := range g.gateways(attachments) {
		gateway, state := g.objects.Get(gatewayName(name))
		note("Gateway "+name.String(), state)
		if gateway != nil {
			note("GatewayClass "+gateway.class, g.objects.State(classTarget, ""))
		}
	}
	return lacks
}

// lacks returns the features that a class publishes a list without, for a route that attaches to a Gateway of it.
func (s *summary) lacks(route string, gateway types.NamespacedName) []mirrors.Lack {
	if len(s.features) == 0 {
		return nil
	}
	var lacks []mirrors.Lack
	for _, feature := range mirroring {
		if !slices.Contains(s.features, string(feature)) {
			lacks = append(lacks, mirrors.Lack{Route: route, Feature: feature,
				Message: fmt.Sprintf("GatewayClass %s, of Gateway %s, does not list the feature %s", s.Name, gateway, feature)})
		}
	}
	return lacks
}
