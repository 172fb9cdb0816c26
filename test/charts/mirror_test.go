package charts

import (
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
		"a kind that is no route that can mirror":  {"rules: [{}]\nkind: TLSRoute", "kind: value must be one of 'HTTPRoute', 'GRPCRoute'"},
		"a percentage in Istio's word":             {mirror(", percentage: 1"), "rules.0.filters.0.requestMirror: additional properties 'percentage' not allowed"},
		"a mirror in a GRPCRoute, misspelt":        {"kind: GRPCRoute\n" + mirror(", Percent: 1"), "requestMirror: additional properties 'Percent' not allowed"},
		"a misspelt fraction":                      {mirror(", fraction: {numerator: 1, nominator: 10}"), "fraction: additional properties 'nominator' not allowed"},
		"a misspelt backend":                       {filter("{type: RequestMirror, requestMirror: {backendRef: {name: v2, prot: 80}}}"), "backendRef: additional properties 'prot' not allowed"},
		"a parent of two kinds":                    {"rules: [{}]\nparentRefs: [{kind: [Gateway, Service], name: httpbin}]", "parentRefs.0.kind: got array, want string"},
		"a label that is a number":                 {"rules: [{}]\nlabels: {release: 1}", "labels.release: got number, want string"},
		"annotations that are a list":              {"rules: [{}]\nannotations: [a]", "annotations: got array, want object"},
		"a name that is a number":                  {"rules: [{}]\nname: 1", "name: got number, want string"},
		"methods that are neither":                 {"rules: [{}]\nmirrorUnsafeMethods: never", "mirrorUnsafeMethods: got string, want boolean"},
		"matches that are no objects":              {"rules: [{matches: [/]}]", "rules.0.matches.0: got string, want object"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := renderFor(t, "mirror", test.values)
			g.Expect(err).To(MatchError(render.ErrInvalidValues))
			g.Expect(err).To(MatchError(ContainSubstring(test.message)))
		})
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
			manifests, err := renderFor(t, "mirror", "rules: [{}]\nkind: "+test.kind, test.served...)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(manifests).To(HaveExactElements(And(
				HaveField("GetAPIVersion()", test.want), HaveField("GetKind()", test.kind), HaveField("GetName()", "httpbin"))))
		})
	}
}
