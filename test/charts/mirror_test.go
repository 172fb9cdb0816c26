package charts

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/controllers/render"
)

func TestMirrorRefusesValuesThatCannotBe(t *testing.T) {
	const rule = "rules: [{filters: [%s]}]"
	mirror := func(more string) string {
		return strings.Replace(rule, "%s", "{type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}"+more+"}}", 1)
	}
	filter := func(filter string) string { return strings.Replace(rule, "%s", filter, 1) }

	for name, test := range map[string]struct{ values, message string }{
		"no values":                                {"{}", "rules: minItems: got 0, want 1"},
		"no rules":                                 {"rules: []", "rules: minItems: got 0, want 1"},
		"a value that the chart doesn't have":      {"rules: [{}]\nrule: []", "additional properties 'rule' not allowed"},
		"rules that are no list":                   {"rules: all", "rules: got string, want array"},
		"hostnames that are no strings":            {"rules: [{}]\nhostnames: [1]", "hostnames.0: got number, want string"},
		"parentRefs that are no objects":           {"rules: [{}]\nparentRefs: [httpbin]", "parentRefs.0: got string, want object"},
		"a filter without a type":                  {filter("{}"), "rules.0.filters.0: missing property 'type'"},
		"a filter of an unknown type":              {filter("{type: Mirror}"), "rules.0.filters.0.type: value must be one of"},
		"a mirror without its requestMirror":       {filter("{type: RequestMirror}"), "missing property 'requestMirror'"},
		"a mirror without a backend":               {filter("{type: RequestMirror, requestMirror: {percent: 1}}"), "missing property 'backendRef'"},
		"a mirror whose backend has no name":       {filter("{type: RequestMirror, requestMirror: {backendRef: {port: 80}}}"), "missing property 'name'"},
		"a mirror of a backendRef without backend": {"rules: [{backendRefs: [{name: v1, filters: [{type: RequestMirror}]}]}]", "rules.0.backendRefs.0.filters.0: missing property 'requestMirror'"},
		"more than all requests":                   {mirror(", percent: 101"), "percent: maximum: got 101, want 100"},
		"less than no request":                     {mirror(", percent: -1"), "percent: minimum: got -1, want 0"},
		"half a percent":                           {mirror(", percent: 0.5"), "percent: got number, want integer"},
		"a negative numerator":                     {mirror(", fraction: {numerator: -1}"), "numerator: minimum: got -1, want 0"},
		"a denominator of zero":                    {mirror(", fraction: {numerator: 1, denominator: 0}"), "denominator: minimum: got 0, want 1"},
		"a fraction without a numerator":           {mirror(", fraction: {denominator: 10}"), "fraction: missing property 'numerator'"},
		"both a percentage and a fraction":         {mirror(", percent: 1, fraction: {numerator: 1}"), "'not' failed"},
		"a kind that is no route that can mirror":  {"rules: [{}]\nkind: TLSRoute", "kind: value must be one of 'HTTPRoute', 'GRPCRoute'"},
		"methods that are neither":                 {"rules: [{}]\nmirrorUnsafeMethods: never", "mirrorUnsafeMethods: got string, want boolean"},
		"matches that are no objects":              {"rules: [{matches: [/]}]", "rules.0.matches.0: got string, want object"},
		"a filter that gRPC doesn't have":          {"kind: GRPCRoute\n" + filter("{type: URLRewrite}"), "rules.0.filters.0.type: value must be one of"},
		"such a filter of a backendRef":            {"kind: GRPCRoute\nrules: [{backendRefs: [{name: v1, filters: [{type: CORS}]}]}]", "rules.0.backendRefs.0.filters.0.type: value must be one of"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := renderFor(t, "mirror", test.values)
			g.Expect(err).To(MatchError(render.ErrInvalidValues))
			g.Expect(err).To(MatchError(ContainSubstring(test.message)))
		})
	}
}

func TestMirrorRefusesWhatItCannotRender(t *testing.T) {
	const (
		mirrored = "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}}}]"
		safe     = "mirrorUnsafeMethods: false\n"
	)
	for name, test := range map[string]struct {
		values  string
		weight  int32
		message string
	}{
		"a weight that is no percentage": {"rules: [{}, {" + mirrored + "}]", 101,
			"rules[1] mirrors to Service v2 of variant v2, whose weight is 101: as a percentage it must be 0 to 100, or set percent in the filter"},
		"gRPC by its methods": {"kind: GRPCRoute\n" + safe + "rules: [{}]", 100,
			"mirrorUnsafeMethods is false, but every gRPC call is a POST, so that a GRPCRoute would mirror nothing; leave the value out"},
		"a method that another rule names": {safe + "rules: [{matches: [{method: GET}]}, {" + mirrored + "}]", 100,
			"mirrorUnsafeMethods is false, rules[1] mirrors PathPrefix / whatever the method, and rules[0] matches that with method GET: if the first were split by methods, others might answer; name the methods in the matches of rules[1]"},
		"a method that the same rule names": {safe + "rules: [{matches: [{path: {type: Exact, value: /a}, method: HEAD}, {path: {type: Exact, value: /a}}], " + mirrored + "}]", 100,
			"rules[0] mirrors Exact /a whatever the method, and rules[0] matches that with method HEAD"},
		"a method beside a regular expression": {safe + "rules: [{matches: [{path: {type: RegularExpression, value: /b}, method: OPTIONS}]}, {matches: [{path: {type: RegularExpression, value: /a}}], " + mirrored + "}]", 100,
			"rules[1] mirrors RegularExpression paths whatever the method, and rules[0] matches that with method OPTIONS"},
		"too many rules to split": {safe + "rules: [" + strings.Repeat("{"+mirrored+"}, ", 9) + "]", 100,
			"mirrorUnsafeMethods is false, which makes 18 rules with 36 matches, at most 3 in one, of the 9 rules here; the Gateway API allows 16 rules and 128 matches, at most 64 in one: mirror fewer rules, or name methods in the matches of the mirrored ones"},
		"too many matches to split": {safe + "rules: [" + strings.Repeat("{matches: ["+strings.Repeat("{}, ", 5)+"], "+mirrored+"}, ", 7) + "]", 100,
			"makes 14 rules with 140 matches, at most 15 in one"},
		"too many matches in one rule": {safe + "rules: [{matches: [" + strings.Repeat("{}, ", 22) + "], " + mirrored + "}]", 100,
			"makes 2 rules with 88 matches, at most 66 in one"},
	} {
		// It is refused from the start, not when the variant comes.
		for _, available := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, available %t", name, available), func(t *testing.T) {
				g := NewWithT(t)
				_, err := renderFor(t, "mirror", test.values, render.Variant{
					Name: "v2", Number: 2, Available: available, Weight: test.weight, Weighted: true,
					Resources: []render.Resource{{Kind: "Service", Name: "v2"}},
				})
				g.Expect(err).To(MatchError(ContainSubstring(test.message)))
			})
		}
	}
}

func TestMirrorTakesAVersionThatTheClusterServes(t *testing.T) {
	const v1, v1alpha2, v1beta1 = "gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1alpha2", "gateway.networking.k8s.io/v1beta1"
	for name, test := range map[string]struct {
		kind   string
		served []string
		want   string
	}{
		"nothing is known":         {"GRPCRoute", nil, v1},
		"gRPC in the old version":  {"GRPCRoute", []string{v1alpha2 + "/GRPCRoute", v1 + "/HTTPRoute"}, v1alpha2},
		"gRPC in both":             {"GRPCRoute", []string{v1alpha2 + "/GRPCRoute", v1 + "/GRPCRoute"}, v1},
		"HTTP in a version of its": {"HTTPRoute", []string{v1alpha2 + "/HTTPRoute", v1beta1 + "/HTTPRoute"}, v1beta1},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			manifests, err := render.Manifests(render.Input{
				Chart: builtIn(t, "mirror"), Namespace: "default", Policy: "httpbin-route", APIVersions: test.served,
				Values: map[string]any{"kind": test.kind, "rules": []any{map[string]any{}}},
			})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(manifests).To(HaveExactElements(And(
				HaveField("GetAPIVersion()", test.want), HaveField("GetKind()", test.kind), HaveField("GetName()", "httpbin-route"))))
		})
	}
}
