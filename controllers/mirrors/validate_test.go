package mirrors

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// More mistakes than the golden files problems and istio-problems have.
func TestGateRefusesWhatCannotWork(t *testing.T) {
	const back = "backendRefs: [{name: v1, port: 80}]"
	mirror := func(to, more string) string {
		return "{type: RequestMirror, requestMirror: {backendRef: {" + to + "}" + more + "}}"
	}
	rule := func(filter string) string { return "rules: [{filters: [" + filter + "], " + back + "}]" }
	fifteen := strings.Repeat("{type: CORS}, ", 15)
	for name, test := range map[string]struct {
		kind, spec string
		safe       bool
		message    string
	}{
		"a backend without a name":        {"HTTPRoute", rule(mirror("port: 80", "")), false, "spec.rules[0].filters[0].requestMirror.backendRef.name: is missing"},
		"a port that isn't a number":      {"HTTPRoute", rule(mirror("name: a, port: http", "")), false, "backendRef.port: must be a whole number from 1 to 65535"},
		"a port that is too large":        {"GRPCRoute", rule(mirror("name: a, port: 65536", "")), false, "backendRef.port: must be a whole number from 1 to 65535"},
		"a namespace that isn't a string": {"HTTPRoute", rule(mirror("name: a, port: 80, namespace: 5", "")), false, "backendRef.namespace: must be a string"},
		"a negative percentage":           {"HTTPRoute", rule(mirror("name: a, port: 80", ", percent: -1")), false, "requestMirror.percent: must be 0 to 100, and is -1"},
		"half a percent":                  {"HTTPRoute", rule(mirror("name: a, port: 80", ", percent: 0.5")), false, "requestMirror.percent: must be a whole number, and is 0.5"},
		"no percentage":                   {"HTTPRoute", rule(mirror("name: a, port: 80", ", percent: null")), false, "requestMirror.percent: must be a number"},
		"a negative numerator":            {"HTTPRoute", rule(mirror("name: a, port: 80", ", fraction: {numerator: -1}")), false, "fraction.numerator: must be a whole number, 0 or more"},
		"no numerator":                    {"HTTPRoute", rule(mirror("name: a, port: 80", ", fraction: {denominator: 5}")), false, "fraction.numerator: must be a whole number, 0 or more"},
		"a numerator over 100":            {"HTTPRoute", rule(mirror("name: a, port: 80", ", fraction: {numerator: 101}")), false, "fraction.numerator: is 101, more than the denominator, 100"},
		"another field of a fraction":     {"HTTPRoute", rule(mirror("name: a, port: 80", ", fraction: {numerator: 1, of: 5}")), false, "fraction.of: is not a field of a mirror"},
		"more filters than may be": {"HTTPRoute", "rules: [{filters: [" + fifteen + mirror("name: a, port: 80", "") + "], backendRefs: [{name: v1, port: 80, filters: [" + mirror("name: b, port: 80", "") + "]}]}]", false,
			"spec.rules[0].filters: would be 17 with those of its backendRef, and the Gateway API allows 16"},
		"mirrors that are no list":     {"VirtualService", "http: [{mirrors: {destination: {host: a}}, route: [{}]}]", false, "spec.http[0].mirrors: must be a list"},
		"a subset that isn't a string": {"VirtualService", "http: [{mirror: {host: a, subset: 5}, route: [{}]}]", false, "spec.http[0].mirror.subset: must be a string"},
		"a share of mirrors":           {"VirtualService", "http: [{mirrors: [{destination: {host: a}}], mirror_percent: 5, route: [{}]}]", false, "spec.http[0].mirror_percent: is the share of no mirror"},
		"a share without its value":    {"VirtualService", "http: [{mirror: {host: a}, mirrorPercentage: {}, route: [{}]}]", false, "spec.http[0].mirrorPercentage.value: must be a number from 0 to 100"},
		"too many rules to split": {"HTTPRoute", "rules: [" + strings.Repeat("{filters: ["+mirror("name: a, port: 80", "")+"], "+back+"}, ", 9) + "]", true,
			"spec.rules: mirrorUnsafeMethods is false, which makes 18 rules with 36 matches, at most 3 in one, of the 9 rules here; the Gateway API allows 16 rules and 128 matches, at most 64 in one"},
		"a safe method beside what is split": {"HTTPRoute", "rules: [{matches: [{method: GET}], " + back + "}, {filters: [" + mirror("name: a, port: 80", "") + "], " + back + "}]", true,
			"spec.rules[0].matches[0].method: mirrorUnsafeMethods is false, spec.rules[1] mirrors PathPrefix / whatever the method, and this matches that with method GET"},
	} {
		for _, available := range []State{NotAvailable, Available} {
			t.Run(name, func(t *testing.T) {
				g := NewWithT(t)
				input := Input{BuiltIn: true, SafeMethodsOnly: test.safe, Namespace: namespace, Variants: []Variant{variant("v2", available, "Service a")}}
				gated, err := Gate([]*unstructured.Unstructured{liveRoute(t, test.kind, test.spec)}, Decide(input))
				g.Expect(err).To(MatchError(ContainSubstring(test.message)))
				g.Expect(err).To(MatchError(HavePrefix(test.kind + "/web: ")))
				g.Expect(gated).To(Equal(Gated{}))
			})
		}
	}
}

func TestGateTakesWhatMayWork(t *testing.T) {
	const v2 = "{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}}}"
	for name, test := range map[string]struct{ kind, spec string }{
		"a redirect":             {"HTTPRoute", "rules: [{filters: [{type: RequestRedirect}, " + v2 + "]}]"},
		"an extension":           {"HTTPRoute", "rules: [{filters: [" + v2 + ", {type: ExtensionRef}]}]"},
		"a port that isn't one":  {"HTTPRoute", "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {group: g, kind: K, name: a}}}], backendRefs: [{}]}]"},
		"all, as a fraction":     {"GRPCRoute", "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 80}, fraction: {numerator: 7, denominator: 7}}}], backendRefs: [{}]}]"},
		"a direct response":      {"VirtualService", "http: [{mirror: {host: a}, directResponse: {status: 200}}]"},
		"no share, as it is nil": {"VirtualService", "http: [{mirror: {host: a}, mirrorPercentage: null, mirrors: null, redirect: {}}]"},
	} {
		t.Run(name, func(t *testing.T) {
			input := Input{BuiltIn: true, Namespace: namespace, Variants: []Variant{variant("v2", Available, "Service a")}}
			gated, err := Gate([]*unstructured.Unstructured{liveRoute(t, test.kind, test.spec)}, Decide(input))
			g := NewWithT(t)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(gated.Mirrors).To(HaveExactElements(HaveField("Percent", "100")))
		})
	}
}

func TestErrorsNameEveryRoute(t *testing.T) {
	var manifests []*unstructured.Unstructured
	for _, name := range []string{"one", "two"} {
		m := liveRoute(t, "VirtualService", "http: [{mirror: {host: a}}]")
		m.SetName(name)
		manifests = append(manifests, m)
	}
	_, err := Gate(manifests, Decide(Input{}))
	const what = "VirtualService/%s: spec.http[0]: has mirrors, but nothing that answers requests: add route, redirect, directResponse or delegate"
	NewWithT(t).Expect(err).To(MatchError(fmt.Sprintf(what+"; "+what, "one", "two")))
}

func TestARouteHasItsOwnNamespace(t *testing.T) {
	g := NewWithT(t)
	live := liveRoute(t, "VirtualService", "http: [5, {mirror: {host: a}, route: [{}]}]")
	live.SetNamespace("far")
	input := Input{Namespace: namespace, Variants: []Variant{variant("near", NotAvailable, "Service a"), variant("far", Available, "Service far/a")}}
	gated, err := Gate([]*unstructured.Unstructured{live}, Decide(input))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(gated.Mirrors).To(HaveExactElements(And(HaveField("Variant", "far"), HaveField("Percent", "100"))))
	g.Expect(encode(t, gated.Manifests[0])).To(Equal(encode(t, live)))
}
