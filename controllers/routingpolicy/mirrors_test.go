package routingpolicy

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func manifest(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	g := NewWithT(t)
	data, err := yaml.YAMLToJSON([]byte(text))
	g.Expect(err).NotTo(HaveOccurred())
	u := &unstructured.Unstructured{}
	g.Expect(utiljson.Unmarshal(data, &u.Object)).To(Succeed())
	return u
}

// aRoute with rules.
func aRoute(name, rules string) string {
	return "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: " + name + "}, spec: {rules: [" + rules + "]}}"
}

// mirrorTo is a filter, with further fields.
func mirrorTo(backend, more string) string {
	return "{type: RequestMirror, requestMirror: {backendRef: {" + backend + "}" + more + "}}"
}

func TestTheMirrorsInARoute(t *testing.T) {
	const from = "backendRefs: [{name: web-v1, port: 80}]"
	mirror := func(m iter8v1alpha1.Mirror) []iter8v1alpha1.Mirror {
		m.Route = "HTTPRoute/web"
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
			{Route: "HTTPRoute/web", From: "web-v1:80", To: "web-v2:80", Percent: "100"}, {Route: "HTTPRoute/web", From: "web-v1:80", To: "web-v3", Percent: "100"}}},
		"several rules": {aRoute("web", "{matches: [{method: GET}], "+from+", filters: ["+v2+"]}, {"+from+"}, {backendRefs: [{name: b}], filters: ["+mirrorTo("name: web-v3", "")+"]}"), []iter8v1alpha1.Mirror{
			{Route: "HTTPRoute/web", Match: "GET", From: "web-v1:80", To: "web-v2:80", Percent: "100"}, {Route: "HTTPRoute/web", From: "b", To: "web-v3", Percent: "100"}}},
		"a match by path":         {aRoute("web", "{matches: [{path: {type: Exact, value: /a}}], "+from+", filters: ["+v2+"]}"), mirror(iter8v1alpha1.Mirror{Match: "Exact /a", To: "web-v2:80"})},
		"a match by its defaults": {aRoute("web", "{matches: [{path: {}}], "+from+", filters: ["+v2+"]}"), mirror(iter8v1alpha1.Mirror{Match: "PathPrefix /", To: "web-v2:80"})},
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
		"another kind of route":          {"{apiVersion: gateway.networking.k8s.io/v1, kind: GRPCRoute, metadata: {name: web}, spec: {rules: [{filters: [" + v2 + "]}]}}", nil},
		"a shape that nobody knows here": {"{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}, spec: {rules: all}}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			u := manifest(t, test.route)
			before := u.DeepCopy()
			g.Expect(mirrorsOf(u)).To(Equal(test.want))
			g.Expect(u).To(Equal(before), "the manifest is changed")
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
		"one":                                {[]iter8v1alpha1.Mirror{to("a:80", "100")}, "a:80"},
		"a part":                             {[]iter8v1alpha1.Mirror{to("a:80", "0.1")}, "a:80 (0.1%)"},
		"several, in their order":            {[]iter8v1alpha1.Mirror{to("b", "100"), to("a", "20")}, "b,a (20%)"},
		"one target from several rules once": {[]iter8v1alpha1.Mirror{to("a", "100"), to("b", "100"), to("a", "100")}, "a,b"},
		"one target in different parts":      {[]iter8v1alpha1.Mirror{to("a", "100"), to("a", "20")}, "a,a (20%)"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(targetsOf(test.mirrors)).To(Equal(test.want))
		})
	}
}
