package gateways

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
)

const (
	allListed  = "{name: HTTPRouteRequestMirror}, {name: HTTPRouteRequestMultipleMirrors}, {name: HTTPRouteRequestPercentageMirror}"
	noneListed = "{name: HTTPRoute}"
	byEdge     = "GatewayClass shiny, of Gateway test/edge, does not list the feature "
)

// aRoute of a kind, with parents.
func aRoute(kind, parents string) string {
	return "{apiVersion: gateway.networking.k8s.io/v1, kind: " + kind + ", metadata: {name: web, namespace: test}, " +
		"spec: {parentRefs: [" + parents + "]}}"
}

// unlisted are the lacks of a route that attaches to edge, whose class lists none of mirroring.
func unlisted(route string) []mirrors.Lack {
	return []mirrors.Lack{
		{Route: route, Feature: "HTTPRouteRequestMirror", Message: byEdge + "HTTPRouteRequestMirror"},
		{Route: route, Feature: "HTTPRouteRequestMultipleMirrors", Message: byEdge + "HTTPRouteRequestMultipleMirrors"},
		{Route: route, Feature: "HTTPRouteRequestPercentageMirror", Message: byEdge + "HTTPRouteRequestPercentageMirror"},
	}
}

func TestWhatARouteLacks(t *testing.T) {
	const (
		toEdge  = "{name: edge}"
		toSet   = "{kind: ListenerSet, name: more}"
		service = "{group: '', kind: Service, name: web}"
		sets    = "name: edge"
	)
	route := func(parents string) string { return aRoute("HTTPRoute", parents) }
	shiny, farSet := aGateway("shiny", ""), "name: edge, namespace: far"
	farGateway := "{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: edge, namespace: far}, spec: {gatewayClassName: shiny}}"
	all := unlisted("HTTPRoute/web")
	percentage := []mirrors.Lack{{Route: "HTTPRoute/web", Feature: "HTTPRouteRequestPercentageMirror", Message: byEdge + "HTTPRouteRequestPercentageMirror"}}
	contour := mirrors.Lack{Route: "HTTPRoute/web", Feature: "HTTPRouteRequestPercentageMirror",
		Message: "Contour, of Gateway test/edge, mirrors every request, whatever share a mirror asks for"}
	traefik := mirrors.Lack{Route: "HTTPRoute/web", Feature: "HTTPRouteRequestMirror",
		Message: "Traefik, of Gateway test/edge, answers every request of a rule with a mirror with status 500"}

	for name, test := range map[string]struct {
		route, set, gateway, class string
		want                       []mirrors.Lack
	}{
		"nothing that its class doesn't list":       {route(toEdge), sets, shiny, aClass(allListed), nil},
		"nothing, by the old form of the list":      {route(toEdge), sets, shiny, aClass("HTTPRouteRequestMirror, HTTPRouteRequestMultipleMirrors, HTTPRouteRequestPercentageMirror"), nil},
		"percentages":                               {route(toEdge), sets, shiny, aClass("{name: HTTPRouteRequestMirror}, {name: HTTPRouteRequestMultipleMirrors}"), percentage},
		"all of mirroring":                          {route(toEdge), sets, shiny, aClass(noneListed), all},
		"all of it, as a GRPCRoute":                 {aRoute("GRPCRoute", toEdge), sets, shiny, aClass(noneListed), unlisted("GRPCRoute/web")},
		"nothing, as a route that can't mirror":     {aRoute("TCPRoute", toEdge), sets, shiny, aClass(noneListed), nil},
		"nothing, as its class publishes nothing":   {route(toEdge), sets, shiny, aClass(""), nil},
		"nothing of a class that isn't there":       {route(toEdge), sets, aGateway("dull", ""), aClass(noneListed), nil},
		"nothing of a Gateway that isn't there":     {route("{name: inner}"), sets, shiny, aClass(noneListed), nil},
		"nothing of a Gateway of that name":         {route(toEdge), sets, farGateway, aClass(noneListed), nil},
		"what an implementation does otherwise":     {route(toEdge), sets, shiny, aClassOf("projectcontour.io/gateway-controller", ""), []mirrors.Lack{contour}},
		"that, whatever its class lists":            {route(toEdge), sets, shiny, aClassOf("traefik.io/gateway-controller", allListed), []mirrors.Lack{traefik}},
		"both":                                      {route(toEdge), sets, shiny, aClassOf("traefik.io/gateway-controller", noneListed), append(unlisted("HTTPRoute/web"), traefik)},
		"nothing of a mesh that doesn't report":     {route(service), sets, shiny, aClass(noneListed), nil},
		"what a ListenerSet's Gateway lacks":        {route(toSet), sets, shiny, aClass(noneListed), all},
		"that of another namespace":                 {route(toSet), farSet, farGateway, aClass("{name: HTTPRouteRequestMirror}, {name: HTTPRouteRequestMultipleMirrors}"), []mirrors.Lack{{Route: "HTTPRoute/web", Feature: "HTTPRouteRequestPercentageMirror", Message: "GatewayClass shiny, of Gateway far/edge, does not list the feature HTTPRouteRequestPercentageMirror"}}},
		"that once, as it attaches to both":         {route(toEdge + ", " + toSet), sets, shiny, aClass(noneListed), all},
		"nothing of a set of another kind's":        {route(toSet), "kind: Other, name: edge", shiny, aClass(noneListed), nil},
		"nothing of a set of another group's":       {route(toSet), "group: example.com, name: edge", shiny, aClass(noneListed), nil},
		"nothing of a ListenerSet that isn't there": {route("{kind: ListenerSet, name: less}"), sets, shiny, aClass(noneListed), nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(setResource, aSet(test.set))
			w.create(gatewayResource, test.gateway)
			w.create(classResource, test.class)
			object := w.parse(test.route)
			w.follow("policy", append(routes.Attachments(object, "test"), edge)...)
			w.Expect(w.gateways.Lacks(object, "test")).To(Equal(test.want))
			w.Expect(object).To(Equal(w.parse(test.route)), "the route is changed")
		})
	}
}

func TestWhatIsBeingReadIsPending(t *testing.T) {
	for name, resource := range map[string]string{"ListenerSets": "listenersets", "Gateways": "gateways", "their classes": "gatewayclasses"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.create(setResource, aSet("name: edge"))
			w.create(gatewayResource, aGateway("shiny", ""))
			w.create(classResource, aClass(noneListed))
			release := make(chan struct{})
			w.cluster.PrependReactor("list", resource, func(clienttesting.Action) (bool, runtime.Object, error) {
				<-release
				return false, nil, nil
			})
			w.gateways.Follow(policy, []routes.Attachment{more})
			w.Consistently(w.pending(more)).Should(BeTrue())
			close(release)
			w.Eventually(w.pending(more)).Should(BeFalse())
		})
	}
}

func TestNoRouteWaitsForWhatItDoesNotNeed(t *testing.T) {
	w := newWorld(t)
	w.create(setResource, aSet("name: inner"))
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	w.gateways = New(t.Context(), Options{Client: w.cluster, Mapper: classesLater{w.mapper, release}})
	w.gateways.Follow(policy, []routes.Attachment{edge, more})
	w.Eventually(w.pending(edge, more)).Should(BeFalse(), "neither Gateway is there, to have a class")
	w.create(gatewayResource, aGateway("shiny", ""))
	w.Eventually(w.pending(edge, more)).Should(BeTrue(), "one has")
}

// classesLater finds GatewayClasses once it is released.
type classesLater struct {
	meta.RESTMapper
	release chan struct{}
}

func (m classesLater) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	if kind == classTarget.GroupKind() {
		<-m.release
	}
	return m.RESTMapper.RESTMapping(kind, versions...)
}

func TestWhatCanNotBeReadIsUnknownAndHoldsNothingUp(t *testing.T) {
	both := []routes.Attachment{edge, more}
	forbidden := func(resource string) func(*world) {
		return func(w *world) {
			w.cluster.PrependReactor("list", resource, func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewForbidden(gatewayAPI.WithResource(resource).GroupResource(), "", errors.New("not you"))
			})
		}
	}
	for name, test := range map[string]struct {
		prepare func(*world)
		// unknown is what can't be read.
		unknown string
		want    []mirrors.Lack
	}{
		"GatewayClasses":                  {forbidden("gatewayclasses"), "GatewayClass shiny", nil},
		"Gateways":                        {forbidden("gateways"), "Gateway test/edge", nil},
		"ListenerSets":                    {forbidden("listenersets"), "ListenerSet test/more", unlisted("HTTPRoute/web")},
		"ListenerSets that aren't served": {withoutListenerSets, "", unlisted("HTTPRoute/web")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			test.prepare(w)
			w.create(setResource, aSet("name: edge"))
			w.create(gatewayResource, aGateway("shiny", ""))
			w.create(classResource, aClass(noneListed))
			w.follow(policy.Name, both...)
			lacks := w.gateways.Lacks(w.parse(aRoute("HTTPRoute", "{name: edge}, {kind: ListenerSet, name: more}")), "test")
			if test.unknown != "" {
				w.Expect(lacks).NotTo(BeEmpty())
				w.Expect(lacks[0]).To(And(HaveField("Route", "HTTPRoute/web"), HaveField("Unknown", true), HaveField("Feature", BeEquivalentTo("HTTPRouteRequestMirror")),
					HaveField("Message", HavePrefix("what its gateway supports can't be read ("+test.unknown+"): may not list "))))
				lacks = lacks[1:]
			}
			w.Expect(append([]mirrors.Lack(nil), lacks...)).To(Equal(test.want))
		})
	}
}

// withoutListenerSets makes the cluster one whose Gateway API is older than that kind.
func withoutListenerSets(w *world) {
	*w.mapper = *meta.NewDefaultRESTMapper(nil)
	w.mapper.AddSpecific(gatewayTarget.GroupVersionKind, gatewayResource, gatewayResource, meta.RESTScopeNamespace)
	w.mapper.Add(classTarget.GroupVersionKind, meta.RESTScopeRoot)
}
