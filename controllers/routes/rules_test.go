package routes

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestPathsAreWrittenForPeopleAndAsJSONPointers(t *testing.T) {
	for name, test := range map[string]struct {
		path          Path
		text, pointer string
	}{
		"nothing":           {nil, "", ""},
		"a field":           {Path{"spec"}, "spec", "/spec"},
		"a list's item":     {Path{"spec", "rules", 0, "filters", 12}, "spec.rules[0].filters[12]", "/spec/rules/0/filters/12"},
		"escaped":           {Path{"metadata", "annotations", "a/b~c"}, "metadata.annotations.a/b~c", "/metadata/annotations/a~1b~0c"},
		"a child of a path": {Path{"spec", "http"}.Child(1, "mirror"), "spec.http[1].mirror", "/spec/http/1/mirror"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(test.path.String()).To(Equal(test.text))
			g.Expect(test.path.Pointer()).To(Equal(test.pointer))
		})
	}
}

func TestChildrenOfAPathDontShareItsMemory(t *testing.T) {
	path := Path{"spec"}.Child("rules")
	one, two := path.Child(1), path.Child(2)
	NewWithT(t).Expect([]string{one.String(), two.String()}).To(Equal([]string{"spec.rules[1]", "spec.rules[2]"}))
}

// place is where a mirror stands, and what it says.
type place struct {
	path    string
	backend int
	to      Destination
	share   Share
}

func TestMirrorsAreReadWhateverStandsBesideThem(t *testing.T) {
	v2 := mirrorTo("name: v2, port: 80", "")
	service := func(name string) Destination { return Destination{Kind: "Service", Name: name, Port: 80} }
	for name, test := range map[string]struct {
		route string
		want  []place
	}{
		"a rule that is not an object":   {aRoute("web", "5, {filters: ["+v2+"]}"), []place{{"spec.rules[1].filters[0]", -1, service("v2"), Share{100, false}}}},
		"a filter that is not an object": {aRoute("web", "{filters: [5, "+v2+"]}"), []place{{"spec.rules[0].filters[1]", -1, service("v2"), Share{100, false}}}},
		"matches in another shape":       {aRoute("web", "{matches: [5, {path: /}], filters: ["+v2+"]}"), []place{{"spec.rules[0].filters[0]", -1, service("v2"), Share{100, false}}}},
		"a backendRef's":                 {aRoute("web", "{backendRefs: [5, {name: a, filters: ["+v2+"]}]}"), []place{{"spec.rules[0].backendRefs[1].filters[0]", 1, service("v2"), Share{100, false}}}},
		"a backend of another kind": {aRoute("web", "{filters: ["+mirrorTo("group: g, kind: K, namespace: far, name: v2", ", percent: 5")+"]}"),
			[]place{{"spec.rules[0].filters[0]", -1, Destination{Group: "g", Kind: "K", Namespace: "far", Name: "v2"}, Share{5, true}}}},
		"shares that can't be read": {aRoute("web", "{filters: ["+mirrorTo("name: v2, port: 80", ", percent: many")+", "+mirrorTo("name: v3, port: 80", ", fraction: {numerator: 7, denominator: 3}")+"]}"),
			[]place{{"spec.rules[0].filters[0]", -1, service("v2"), Share{100, true}}, {"spec.rules[0].filters[1]", -1, service("v3"), Share{100, true}}}},
		"a mirror without a target": {aRoute("web", "{filters: [{type: RequestMirror, requestMirror: all}]}"), []place{{"spec.rules[0].filters[0]", -1, Destination{}, Share{100, false}}}},
		"a VirtualService's": {"{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: {http: [{match: [{uri: 5}], mirror: {host: a, port: {number: 80}, subset: s}, " +
			"mirrorPercentage: {value: 0.5}}, {mirrors: [{destination: {host: b}}]}]}}",
			[]place{{"spec.http[0].mirror", -1, Destination{Host: "a", Port: 80, Subset: "s"}, Share{0.5, true}}, {"spec.http[1].mirrors[0]", -1, Destination{Host: "b"}, Share{100, false}}}},
		"another kind": {"{apiVersion: gateway.networking.k8s.io/v1, kind: TCPRoute, metadata: {name: web}, spec: {rules: [{filters: [" + v2 + "]}]}}", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var found []place
			for _, rule := range Rules(manifest(t, test.route)) {
				for _, site := range rule.Sites {
					found = append(found, place{site.Path.String(), site.Backend, site.To, site.Share})
				}
			}
			NewWithT(t).Expect(found).To(Equal(test.want))
		})
	}
}

func TestAMatchThatCantBeReadIsSaidToBe(t *testing.T) {
	rules := Rules(manifest(t, aRoute("web", "{matches: [{path: /}, {method: GET}]}")))
	NewWithT(t).Expect(rules[0].Match()).To(Equal("a match that can't be read or GET"))
}

// A rule is the same as it was rendered and as the apiserver holds it, which fills in a path.
func TestAMatchIsTheSameWithWhatTheAPIHasByDefault(t *testing.T) {
	for name, test := range map[string]struct{ matches, want string }{
		"none":                              {"[]", ""},
		"one without anything":              {"[{}]", ""},
		"every path":                        {"[{path: {type: PathPrefix, value: /}}]", ""},
		"a path without anything":           {"[{path: {}}]", ""},
		"a method":                          {"[{method: GET}]", "GET"},
		"a method, on every path":           {"[{method: GET, path: {type: PathPrefix, value: /}}]", "GET"},
		"a path":                            {"[{path: {value: /api}}]", "PathPrefix /api"},
		"exactly the root":                  {"[{path: {type: Exact, value: /}}]", "Exact /"},
		"every request, beside those by it": {"[{method: GET}, {path: {value: /}}]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			rules := Rules(manifest(t, aRoute("web", "{matches: "+test.matches+"}")))
			NewWithT(t).Expect(rules[0].Match()).To(Equal(test.want))
		})
	}
}
