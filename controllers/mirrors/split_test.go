package mirrors

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// replacing is a route that replaces the prefix /a of its rule, so that the rule is split into one for each safe method.
// The rule matches a header with a value of some length.
func replacing(t *testing.T, length int) *unstructured.Unstructured {
	t.Helper()
	return liveRoute(t, "HTTPRoute", fmt.Sprintf("rules: [{matches: [{path: {type: PathPrefix, value: /a}, headers: [{name: h, value: %s}]}], backendRefs: [{name: v1, port: 80}], "+
		"filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}, {type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}}}]}]",
		strings.Repeat("x", length)))
}

func TestAMatchIsNoLongerThanTheStatusTakes(t *testing.T) {
	for name, test := range map[string]struct {
		length int
		match  OmegaMatcher
	}{
		"short":                       {3, Equal("GET, PathPrefix /a, header h=xxx or HEAD, PathPrefix /a, header h=xxx or OPTIONS, PathPrefix /a, header h=xxx")},
		"three that fit one by one":   {1400, And(HaveLen(4096), HaveSuffix("x..."), HavePrefix("GET, PathPrefix /a"))},
		"three that don't fit either": {5000, And(HaveLen(4096), HaveSuffix("..."), HavePrefix("GET, PathPrefix /a"))},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			input := Input{BuiltIn: true, SafeMethodsOnly: true, Namespace: namespace, Variants: []Variant{variant("v2", Available, "Service a")}}
			gated, err := Gate([]*unstructured.Unstructured{replacing(t, test.length)}, Decide(input))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(gated.Mirrors).To(HaveExactElements(HaveField("Match", test.match)))
		})
	}
}

// While the state of a variant isn't known, its mirror has what it has in each of the rules that its own one is split into.
func TestWhatIsUnknownKeepsAMirrorOfARuleThatIsSplit(t *testing.T) {
	const get, head, options = "GET, PathPrefix /a, header h=xxx", "HEAD, PathPrefix /a, header h=xxx", "OPTIONS, PathPrefix /a, header h=xxx"
	for name, test := range map[string]struct {
		stands map[string]string
		want   string
	}{
		"it stands in each":                       {map[string]string{get: "100", head: "100", options: "100"}, "100"},
		"it stands in each, for part of requests": {map[string]string{get: "20", head: "20", options: "20"}, "20"},
		"it stands for less in one":               {map[string]string{get: "100", head: "20.5", options: "100"}, "20.5"},
		"it doesn't stand in one":                 {map[string]string{get: "100", options: "100"}, "0"},
		"it stands in none":                       {nil, "0"},
		"it stands, as the status has it":         {map[string]string{get + " or " + head + " or " + options: "100"}, "100"},
	} {
		for _, unknown := range []string{"a variant", "a gateway"} {
			t.Run(name+", without knowing "+unknown, func(t *testing.T) {
				g := NewWithT(t)
				input := Input{BuiltIn: true, SafeMethodsOnly: true, Namespace: namespace, Variants: []Variant{variant("v2", Available, "Service a")}}
				if unknown == "a variant" {
					input.Variants[0].State = UnknownAvailable
				} else {
					input.Lacks = []Lack{{Route: "HTTPRoute/web", Feature: "HTTPRouteRequestMirror", Unknown: true}}
				}
				for match, percent := range test.stands {
					input.Standing = append(input.Standing, iter8v1alpha1.Mirror{Route: "HTTPRoute/web", Match: match, To: "a:80", Percent: percent})
				}
				gated, err := Gate([]*unstructured.Unstructured{replacing(t, 3)}, Decide(input))
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(gated.Mirrors).To(HaveExactElements(HaveField("Percent", test.want)))
			})
		}
	}
}
