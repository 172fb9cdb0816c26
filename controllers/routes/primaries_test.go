package routes

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"
)

func TestWhereClientsAreSent(t *testing.T) {
	service := func(name string, port int64) Destination { return Destination{Kind: "Service", Name: name, Port: port} }
	for name, test := range map[string]struct {
		route string
		want  []Primary
	}{
		"backends of rules, of any weight": {aRoute("web", "{backendRefs: [{name: a, port: 80}, {name: b, port: 81, weight: 0}]}, {name: api, backendRefs: [{name: c, namespace: far, port: 80}]}"),
			[]Primary{{"0", service("a", 80)}, {"0", service("b", 81)}, {"api", Destination{Kind: "Service", Namespace: "far", Name: "c", Port: 80}}}},
		"mirrors are none":         {aRoute("web", "{filters: ["+mirrorTo("name: v2, port: 80", "")+"], backendRefs: [{name: a, port: 80, filters: ["+mirrorTo("name: v3, port: 80", "")+"]}]}"), []Primary{{"0", service("a", 80)}}},
		"rules without a backend":  {aRoute("web", "{filters: [{type: RequestRedirect, requestRedirect: {hostname: a}}]}, 5"), nil},
		"a port that is not valid": {aRoute("web", "{backendRefs: [{name: a, port: http}, 5]}"), []Primary{{"0", service("a", 0)}, {"0", service("", 0)}}},
		"a GRPCRoute's": {"{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: web}, spec: {rules: [{backendRefs: [{group: g, kind: K, name: a}]}]}}",
			[]Primary{{"0", Destination{Group: "g", Kind: "K", Name: "a"}}}},
		"a VirtualService's": {"{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: {" +
			"http: [{name: api, route: [{destination: {host: a, subset: s, port: {number: 80}}}, {destination: {host: b}, weight: 0}], mirror: {host: v2}, mirrors: [{destination: {host: v3}}]}], " +
			"tcp: [{route: [{destination: {host: c}}]}], tls: [{}, {route: [{destination: {host: d.far.svc.cluster.local}}]}]}}",
			[]Primary{{"api", Destination{Host: "a", Subset: "s", Port: 80}}, {"api", Destination{Host: "b"}},
				{"tls[1]", Destination{Host: "d.far.svc.cluster.local"}}, {"tcp[0]", Destination{Host: "c"}}}},
		"another kind": {"{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: web}, spec: {host: a}}", nil},
		"no spec":      {"{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: 5}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(Primaries(manifest(t, test.route))).To(Equal(test.want))
		})
	}
}

func TestTheServiceThatADestinationIs(t *testing.T) {
	for name, test := range map[string]struct {
		to   Destination
		want types.NamespacedName
	}{
		"a backend":                      {Destination{Kind: "Service", Name: "a"}, types.NamespacedName{Namespace: "here", Name: "a"}},
		"a backend of another namespace": {Destination{Kind: "Service", Namespace: "far", Name: "a"}, types.NamespacedName{Namespace: "far", Name: "a"}},
		"a backend of another kind":      {Destination{Group: "g", Kind: "Service", Name: "a"}, types.NamespacedName{}},
		"nothing":                        {Destination{}, types.NamespacedName{}},
		"a short host":                   {Destination{Host: "a"}, types.NamespacedName{Namespace: "here", Name: "a"}},
		"a host of another namespace":    {Destination{Host: "a.far"}, types.NamespacedName{Namespace: "far", Name: "a"}},
		"a host in full":                 {Destination{Host: "a.far.svc.cluster.local"}, types.NamespacedName{Namespace: "far", Name: "a"}},
		"a host elsewhere":               {Destination{Host: "www.example.com"}, types.NamespacedName{}},
	} {
		t.Run(name, func(t *testing.T) {
			service, ok := test.to.Service("here")
			g := NewWithT(t)
			g.Expect(service).To(Equal(test.want))
			g.Expect(ok).To(Equal(test.want.Name != ""))
		})
	}
}
