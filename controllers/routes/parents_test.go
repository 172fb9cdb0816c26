package routes

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// aRouteOf is a live route of a kind, with parents and what is reported for them.
func aRouteOf(kind, parents, reports string) string {
	return "{apiVersion: gateway.networking.k8s.io/v1, kind: " + kind + ", metadata: {name: web, namespace: test}, spec: {parentRefs: " + parents + "}, status: {parents: " + reports + "}}"
}

func TestWhatARouteAttachesTo(t *testing.T) {
	attached := func(kind, namespace, name string) Attachment {
		return Attachment{kind, types.NamespacedName{Namespace: namespace, Name: name}}
	}
	edge := []Attachment{attached("Gateway", "test", "edge")}
	for name, test := range map[string]struct {
		route string
		want  []Attachment
	}{
		"nothing":                    {aRouteOf("HTTPRoute", "[]", "[]"), nil},
		"a Gateway, by default":      {aRouteOf("HTTPRoute", "[{name: edge}]", "[]"), edge},
		"a GRPCRoute's":              {aRouteOf("GRPCRoute", "[{name: edge}]", "[]"), edge},
		"two of its listeners":       {aRouteOf("HTTPRoute", "[{name: edge, sectionName: a}, {name: edge, namespace: test, sectionName: b}]", "[]"), edge},
		"a Gateway elsewhere":        {aRouteOf("HTTPRoute", "[{name: edge, namespace: far}]", "[]"), []Attachment{attached("Gateway", "far", "edge")}},
		"a ListenerSet":              {aRouteOf("HTTPRoute", "[{kind: ListenerSet, name: edge}, {name: edge}]", "[]"), []Attachment{attached("ListenerSet", "test", "edge"), edge[0]}},
		"a Service":                  {aRouteOf("HTTPRoute", "[{group: '', kind: Service, name: edge}]", "[]"), nil},
		"a Gateway of another group": {aRouteOf("HTTPRoute", "[{group: example.com, name: edge}]", "[]"), nil},
		"a kind without mirrors":     {aRouteOf("TCPRoute", "[{name: edge}]", "[]"), nil},
		"what can't be read":         {aRouteOf("HTTPRoute", "all", "[]"), nil},
		"a VirtualService's":         {"{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: {parentRefs: [{name: edge}]}}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(Attachments(manifest(t, test.route), "test")).To(Equal(test.want))
		})
	}
}

func TestTheControllersThatReportOnARoute(t *testing.T) {
	const (
		service  = "{group: '', kind: Service, name: web, port: 80}"
		byMesh   = "{parentRef: {group: '', kind: Service, namespace: test, name: web, port: 80}, controllerName: example.com/mesh}"
		byOther  = "{parentRef: " + service + ", controllerName: example.com/other}"
		byClass  = "{parentRef: {name: edge}, controllerName: example.com/gateway}"
		bySet    = "{parentRef: {kind: ListenerSet, name: more}, controllerName: example.com/gateway}"
		byParent = "Service test/web port 80"
	)
	mesh := Controller{"example.com/mesh", byParent}
	for name, test := range map[string]struct {
		route string
		want  []Controller
	}{
		"none, of a route that isn't live": {"{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web, namespace: test}, spec: {parentRefs: [" + service + "]}}", nil},
		"none so far":                      {aRouteOf("HTTPRoute", "["+service+"]", "[]"), nil},
		"a mesh":                           {aRouteOf("HTTPRoute", "["+service+"]", "["+byMesh+"]"), []Controller{mesh}},
		"a mesh, on a GRPCRoute":           {aRouteOf("GRPCRoute", "["+service+"]", "["+byMesh+"]"), []Controller{mesh}},
		"two of one parent":                {aRouteOf("HTTPRoute", "["+service+"]", "["+byMesh+", "+byOther+"]"), []Controller{mesh, {"example.com/other", byParent}}},
		"one that reports twice":           {aRouteOf("HTTPRoute", "["+service+"]", "["+byMesh+", "+byMesh+"]"), []Controller{mesh}},
		"those of classes are left out":    {aRouteOf("HTTPRoute", "[{name: edge}, {kind: ListenerSet, name: more}, "+service+"]", "["+byClass+", "+bySet+", "+byMesh+"]"), []Controller{mesh}},
		"a parent that it had":             {aRouteOf("HTTPRoute", "[{name: edge}]", "["+byMesh+"]"), nil},
		"another port of its parent":       {aRouteOf("HTTPRoute", "[{group: '', kind: Service, name: web}]", "["+byMesh+"]"), nil},
		"what can't be read":               {aRouteOf("HTTPRoute", "["+service+"]", "all"), nil},
		"a kind without mirrors":           {aRouteOf("TCPRoute", "["+service+"]", "["+byMesh+"]"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			u := manifest(t, test.route)
			before := u.DeepCopy()
			g := NewWithT(t)
			g.Expect(Controllers(u)).To(Equal(test.want))
			g.Expect(u).To(Equal(before), "the object is changed")
		})
	}
}

func TestHowAParentIsNamed(t *testing.T) {
	group, kind := func(g gatewayv1.Group) *gatewayv1.Group { return &g }, func(k gatewayv1.Kind) *gatewayv1.Kind { return &k }
	section, port, far := gatewayv1.SectionName("http"), gatewayv1.PortNumber(80), gatewayv1.Namespace("far")
	for name, test := range map[string]struct {
		ref  gatewayv1.ParentReference
		want string
	}{
		"a Gateway":                    {gatewayv1.ParentReference{Name: "edge"}, "Gateway default/edge"},
		"one elsewhere":                {gatewayv1.ParentReference{Name: "edge", Namespace: &far}, "Gateway far/edge"},
		"a listener of one":            {gatewayv1.ParentReference{Name: "edge", SectionName: &section, Port: &port}, "Gateway default/edge section http port 80"},
		"a ListenerSet":                {gatewayv1.ParentReference{Kind: kind("ListenerSet"), Name: "more"}, "ListenerSet default/more"},
		"a Service":                    {gatewayv1.ParentReference{Group: group(""), Kind: kind("Service"), Name: "httpbin"}, "Service default/httpbin"},
		"a Service without its group":  {gatewayv1.ParentReference{Kind: kind("Service"), Name: "httpbin"}, "Service.gateway.networking.k8s.io default/httpbin"},
		"a Gateway of another group":   {gatewayv1.ParentReference{Group: group("foo.io"), Name: "edge"}, "Gateway.foo.io default/edge"},
		"a Gateway of the core group":  {gatewayv1.ParentReference{Group: group(""), Name: "edge"}, "Gateway (core group) default/edge"},
		"a kind that isn't the API's":  {gatewayv1.ParentReference{Group: group("networking.istio.io"), Kind: kind("ServiceEntry"), Name: "out"}, "ServiceEntry.networking.istio.io default/out"},
		"a port of one of those kinds": {gatewayv1.ParentReference{Kind: kind("Service"), Name: "httpbin", Port: &port}, "Service.gateway.networking.k8s.io default/httpbin port 80"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(parentOf(test.ref, "default").String()).To(Equal(test.want))
		})
	}
}

func TestTheServicesWhoseClientsARouteRoutes(t *testing.T) {
	virtualService := func(spec string) string {
		return "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web, namespace: test}, spec: {" + spec + "}}"
	}
	of := func(namespace, name string) types.NamespacedName {
		return types.NamespacedName{Namespace: namespace, Name: name}
	}
	web := []types.NamespacedName{of("test", "web")}
	for name, test := range map[string]struct {
		route string
		want  []types.NamespacedName
	}{
		"a parent":                        {aRouteOf("HTTPRoute", "[{group: '', kind: Service, name: web, port: 80}]", "[]"), web},
		"two ports of it, of a GRPCRoute": {aRouteOf("GRPCRoute", "[{group: '', kind: Service, name: web, port: 80}, {group: '', kind: Service, namespace: test, name: web, port: 81}]", "[]"), web},
		"parents elsewhere and here":      {aRouteOf("HTTPRoute", "[{group: '', kind: Service, name: web, namespace: far}, {group: '', kind: Service, name: web}]", "[]"), []types.NamespacedName{of("far", "web"), web[0]}},
		"a Service of another group":      {aRouteOf("HTTPRoute", "[{kind: Service, name: web}]", "[]"), nil},
		"a Gateway":                       {aRouteOf("HTTPRoute", "[{name: web}]", "[]"), nil},
		"a kind without mirrors":          {aRouteOf("TCPRoute", "[{group: '', kind: Service, name: web}]", "[]"), nil},
		"what can't be read":              {aRouteOf("HTTPRoute", "all", "[]"), nil},
		"hosts of the mesh":               {virtualService("hosts: [web, web.test, web.test.svc.cluster.local, web.far.svc.cluster.local]"), []types.NamespacedName{web[0], of("far", "web")}},
		"hosts of the mesh and a gateway": {virtualService("gateways: [edge, mesh], hosts: [web]"), web},
		"hosts of a gateway":              {virtualService("gateways: [edge], hosts: [web]"), nil},
		"hosts that are no Services":      {virtualService("hosts: ['*', '*.test', example.com, www.example.com, 1]"), nil},
		"none":                            {virtualService("http: []"), nil},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(ParentServices(manifest(t, test.route), "test")).To(Equal(test.want))
		})
	}
}
