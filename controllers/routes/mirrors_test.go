package routes

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestTheMirrorsInARoute(t *testing.T) {
	const from = "backendRefs: [{name: web-v1, port: 80}]"
	mirror := func(m iter8v1alpha1.Mirror) []iter8v1alpha1.Mirror {
		m.Route, m.Rule = "HTTPRoute/web", "0"
		if m.From == "" {
			m.From = "web-v1:80"
		}
		if m.Percent == "" {
			m.Percent = "100"
		}
		return []iter8v1alpha1.Mirror{m}
	}
	v2 := mirrorTo("name: web-v2, port: 80", "")
	for name, test := range map[string]struct {
		route string
		want  []iter8v1alpha1.Mirror
	}{
		"no rules":                   {aRoute("web", ""), nil},
		"a rule without mirrors":     {aRoute("web", "{"+from+", filters: [{type: URLRewrite, urlRewrite: {hostname: a}}]}"), nil},
		"a mirror":                   {aRoute("web", "{"+from+", filters: ["+v2+"]}"), mirror(iter8v1alpha1.Mirror{To: "web-v2:80"})},
		"a mirror among others":      {aRoute("web", "{"+from+", filters: [{type: URLRewrite, urlRewrite: {hostname: a}}, "+v2+"]}"), mirror(iter8v1alpha1.Mirror{To: "web-v2:80"})},
		"a mirror without its field": {aRoute("web", "{"+from+", filters: [{type: RequestMirror}]}"), nil},
		"a percentage":               {aRoute("web", "{"+from+", filters: ["+mirrorTo("name: web-v2", ", percent: 20")+"]}"), mirror(iter8v1alpha1.Mirror{To: "web-v2", Percent: "20"})},
		"nothing at all":             {aRoute("web", "{"+from+", filters: ["+mirrorTo("name: web-v2", ", percent: 0")+"]}"), mirror(iter8v1alpha1.Mirror{To: "web-v2", Percent: "0"})},
		"a fraction of a hundred":    {aRoute("web", "{"+from+", filters: ["+mirrorTo("name: web-v2", ", fraction: {numerator: 5}")+"]}"), mirror(iter8v1alpha1.Mirror{To: "web-v2", Percent: "5"})},
		"a fraction of a thousand":   {aRoute("web", "{"+from+", filters: ["+mirrorTo("name: web-v2", ", fraction: {numerator: 1, denominator: 1000}")+"]}"), mirror(iter8v1alpha1.Mirror{To: "web-v2", Percent: "0.1"})},
		"a third":                    {aRoute("web", "{"+from+", filters: ["+mirrorTo("name: web-v2", ", fraction: {numerator: 1, denominator: 3}")+"]}"), mirror(iter8v1alpha1.Mirror{To: "web-v2", Percent: "33.3333"})},
		"all, as a fraction":         {aRoute("web", "{"+from+", filters: ["+mirrorTo("name: web-v2", ", fraction: {numerator: 7, denominator: 7}")+"]}"), mirror(iter8v1alpha1.Mirror{To: "web-v2"})},
		"a fraction of nothing":      {aRoute("web", "{"+from+", filters: ["+mirrorTo("name: web-v2", ", fraction: {numerator: 5, denominator: 0}")+"]}"), mirror(iter8v1alpha1.Mirror{To: "web-v2", Percent: "5"})},
		"another namespace":          {aRoute("web", "{"+from+", filters: ["+mirrorTo("name: web-v2, namespace: shadow, port: 80", "")+"]}"), mirror(iter8v1alpha1.Mirror{To: "shadow/web-v2:80"})},
		"several backends":           {aRoute("web", "{backendRefs: [{name: a, port: 80}, {name: b, namespace: far}], filters: ["+v2+"]}"), mirror(iter8v1alpha1.Mirror{From: "a:80, far/b", To: "web-v2:80"})},
		"several mirrors in a rule": {aRoute("web", "{"+from+", filters: ["+v2+", "+mirrorTo("name: web-v3", "")+"]}"), []iter8v1alpha1.Mirror{
			{Route: "HTTPRoute/web", Rule: "0", From: "web-v1:80", To: "web-v2:80", Percent: "100"}, {Route: "HTTPRoute/web", Rule: "0", From: "web-v1:80", To: "web-v3", Percent: "100"}}},
		"several rules": {aRoute("web", "{matches: [{method: GET}], "+from+", filters: ["+v2+"]}, {"+from+"}, {backendRefs: [{name: b}], filters: ["+mirrorTo("name: web-v3", "")+"]}"), []iter8v1alpha1.Mirror{
			{Route: "HTTPRoute/web", Rule: "0", Match: "GET", From: "web-v1:80", To: "web-v2:80", Percent: "100"}, {Route: "HTTPRoute/web", Rule: "2", From: "b", To: "web-v3", Percent: "100"}}},
		"a match by path":                         {aRoute("web", "{matches: [{path: {type: Exact, value: /a}}], "+from+", filters: ["+v2+"]}"), mirror(iter8v1alpha1.Mirror{Match: "Exact /a", To: "web-v2:80"})},
		"a match by its defaults":                 {aRoute("web", "{matches: [{path: {}}], "+from+", filters: ["+v2+"]}"), mirror(iter8v1alpha1.Mirror{To: "web-v2:80"})},
		"a match of every request beside another": {aRoute("web", "{matches: [{method: GET}, {path: {type: PathPrefix, value: /}}], "+from+", filters: ["+v2+"]}"), mirror(iter8v1alpha1.Mirror{To: "web-v2:80"})},
		"a match by everything": {
			aRoute("web", "{matches: [{method: POST, path: {value: /a}, headers: [{name: x, value: why}, {name: z, value: w}], queryParams: [{name: q, value: r}]}], "+from+", filters: ["+v2+"]}"),
			mirror(iter8v1alpha1.Mirror{Match: "POST, PathPrefix /a, header x=why, header z=w, query q=r", To: "web-v2:80"})},
		"several matches": {
			aRoute("web", "{matches: [{path: {value: /a}}, {method: GET, headers: [{name: x, value: why}]}], "+from+", filters: ["+v2+"]}"),
			mirror(iter8v1alpha1.Mirror{Match: "PathPrefix /a or GET, header x=why", To: "web-v2:80"})},
		"a route in an older version": {
			"{apiVersion: gateway.networking.k8s.io/v1beta1, kind: HTTPRoute, metadata: {name: web}, spec: {rules: [{" + from + ", filters: [" + v2 + "]}]}}",
			mirror(iter8v1alpha1.Mirror{To: "web-v2:80"})},
		"a route of another group":       {"{apiVersion: example.com/v1, kind: HTTPRoute, metadata: {name: web}, spec: {rules: [{filters: [" + v2 + "]}]}}", nil},
		"another kind of route":          {"{apiVersion: gateway.networking.k8s.io/v1, kind: TCPRoute, metadata: {name: web}, spec: {rules: [{filters: [" + v2 + "]}]}}", nil},
		"a shape that nobody knows here": {"{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}, spec: {rules: all}}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			u := manifest(t, test.route)
			before := u.DeepCopy()
			g.Expect(Mirrors(u)).To(Equal(test.want))
			g.Expect(u).To(Equal(before), "the manifest is changed")
		})
	}
}

func TestTheMirrorsOfOneOfSeveralBackends(t *testing.T) {
	const rule = "{matches: [%s], backendRefs: [{name: a, port: 80}, {name: b, port: 80, filters: [%s]}], filters: [%s]}"
	const rest = "metadata: {name: web}, spec: {rules: ["
	v2, v3 := mirrorTo("name: web-v2", ""), mirrorTo("name: web-v3", ", percent: 5")
	for name, test := range map[string]struct{ route, match string }{
		"HTTP": {"{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, " + rest + fmt.Sprintf(rule, "{method: GET}", v3, v2) + "]}}", "GET"},
		"GRPC": {"{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, " + rest + fmt.Sprintf(rule, "{method: {service: echo.Echo}, headers: [{name: x, value: why}]}", v3, v2) + "]}}",
			"Exact echo.Echo/*, header x=why"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			route := name + "Route/web"
			g.Expect(Mirrors(manifest(t, test.route))).To(Equal([]iter8v1alpha1.Mirror{
				{Route: route, Rule: "0", Match: test.match, From: "a:80, b:80", To: "web-v2", Percent: "100"},
				{Route: route, Rule: "0", Match: test.match, From: "b:80", To: "web-v3", Percent: "5"},
			}))
		})
	}
}

func TestTheMirrorsInAVirtualService(t *testing.T) {
	const route = "route: [{destination: {host: reviews, subset: v2}, weight: 90}, {destination: {host: reviews, port: {number: 9080}}, weight: 10}]"
	const from = "reviews subset v2, reviews:9080"
	for name, test := range map[string]struct {
		http string
		want []iter8v1alpha1.Mirror
	}{
		"no mirror": {route, nil},
		"a mirror":  {route + ", mirror: {host: mirror}", []iter8v1alpha1.Mirror{{From: from, To: "mirror", Percent: "100"}}},
		"a mirror by a subset and a port": {route + ", mirror: {host: mirror.test.svc.cluster.local, subset: v3, port: {number: 80}}",
			[]iter8v1alpha1.Mirror{{From: from, To: "mirror.test.svc.cluster.local:80 subset v3", Percent: "100"}}},
		"a percentage, as an integer":    {route + ", mirror: {host: mirror}, mirrorPercentage: {value: 5}", []iter8v1alpha1.Mirror{{From: from, To: "mirror", Percent: "5"}}},
		"a percentage, as a fraction":    {route + ", mirror: {host: mirror}, mirrorPercentage: {value: 0.1}", []iter8v1alpha1.Mirror{{From: from, To: "mirror", Percent: "0.1"}}},
		"the old field":                  {route + ", mirror: {host: mirror}, mirrorPercent: 7", []iter8v1alpha1.Mirror{{From: from, To: "mirror", Percent: "7"}}},
		"the old field, spelled the old": {route + ", mirror: {host: mirror}, mirror_percent: 8", []iter8v1alpha1.Mirror{{From: from, To: "mirror", Percent: "8"}}},
		"several mirrors": {route + ", mirrors: [{destination: {host: a}, percentage: {value: 1}}, {destination: {host: b}}]",
			[]iter8v1alpha1.Mirror{{From: from, To: "a", Percent: "1"}, {From: from, To: "b", Percent: "100"}}},
		"matches": {route + ", mirror: {host: mirror}, match: [{headers: {end-user: {exact: tester}, x: {}, z: {regex: a+}}, uri: {prefix: /api}, method: {exact: GET}}, " +
			"{withoutHeaders: {z: {prefix: q}}, queryParams: {a: {exact: b}}, port: 80, sourceLabels: {app: web}, gateways: [mesh, edge], scheme: {exact: https}, authority: {exact: example.com}}]",
			[]iter8v1alpha1.Mirror{{From: from, To: "mirror", Percent: "100",
				Match: "method=GET, uri=/api*, header end-user=tester, header x, header z~a+ or " +
					"scheme=https, authority=example.com, without header z=q*, query a=b, port 80, from app=web, at mesh and edge"}}},
	} {
		t.Run(name, func(t *testing.T) {
			for i := range test.want {
				test.want[i].Route, test.want[i].Rule = "VirtualService/web", "0"
			}
			u := manifest(t, "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: {hosts: [web], http: [{"+test.http+"}]}}")
			NewWithT(t).Expect(Mirrors(u)).To(Equal(test.want))
		})
	}
}

func TestMirrorTargetsAreSummedUp(t *testing.T) {
	to := func(target, percent string) iter8v1alpha1.Mirror {
		return iter8v1alpha1.Mirror{To: target, Percent: percent}
	}
	for name, test := range map[string]struct {
		mirrors []iter8v1alpha1.Mirror
		want    string
	}{
		"no mirrors":                         {nil, ""},
		"one that is withheld":               {[]iter8v1alpha1.Mirror{{To: "c", Percent: "0", State: iter8v1alpha1.MirrorWithheld}, to("a:80", "100")}, "a:80"},
		"one":                                {[]iter8v1alpha1.Mirror{to("a:80", "100")}, "a:80"},
		"a part":                             {[]iter8v1alpha1.Mirror{to("a:80", "0.1")}, "a:80 (0.1%)"},
		"several, in their order":            {[]iter8v1alpha1.Mirror{to("b", "100"), to("a", "20")}, "b,a (20%)"},
		"one target from several rules once": {[]iter8v1alpha1.Mirror{to("a", "100"), to("b", "100"), to("a", "100")}, "a,b"},
		"one target in different parts":      {[]iter8v1alpha1.Mirror{to("a", "100"), to("a", "20")}, "a,a (20%)"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(Targets(test.mirrors)).To(Equal(test.want))
		})
	}
}
