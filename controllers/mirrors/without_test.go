package mirrors

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestWithoutTakesOutEveryMirrorAndNothingElse(t *testing.T) {
	const (
		header = "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}"
		mirror = "{type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}, percent: 10}}"
		back   = "backendRefs: [{name: httpbin-v1, port: 80}]"
		route  = "route: [{destination: {host: httpbin}}]"
	)
	for name, test := range map[string]struct{ kind, spec, want string }{
		"no rules":               {"HTTPRoute", "hostnames: [a]", "hostnames: [a]"},
		"no mirror":              {"HTTPRoute", "rules: [{filters: [" + header + "], " + back + "}]", "rules: [{filters: [" + header + "], " + back + "}]"},
		"a mirror among filters": {"HTTPRoute", "hostnames: [a], rules: [{" + back + "}, {filters: [" + mirror + ", " + header + ", " + mirror + "], " + back + "}]", "hostnames: [a], rules: [{" + back + "}, {filters: [" + header + "], " + back + "}]"},
		"the only filter":        {"GRPCRoute", "rules: [{filters: [" + mirror + "], " + back + "}]", "rules: [{" + back + "}]"},
		"one of several backends": {"HTTPRoute", "rules: [{backendRefs: [{name: a, port: 80}, {name: b, port: 80, filters: [" + mirror + ", " + header + "]}]}]",
			"rules: [{backendRefs: [{name: a, port: 80}, {name: b, port: 80, filters: [" + header + "]}]}]"},
		"the only filter of a backend":              {"HTTPRoute", "rules: [{backendRefs: [{name: a, port: 80, filters: [" + mirror + "]}]}]", "rules: [{backendRefs: [{name: a, port: 80}]}]"},
		"a mirror in a shape that isn't known":      {"HTTPRoute", "rules: [{filters: [{type: RequestMirror}], " + back + "}]", "rules: [{" + back + "}]"},
		"a rule that is no object":                  {"HTTPRoute", "rules: [x, {filters: [" + mirror + "], " + back + "}]", "rules: [x, {" + back + "}]"},
		"Istio's, alone, with each of its shares":   {"VirtualService", "http: [{mirror: {host: v2}, mirrorPercentage: {value: 10}, mirrorPercent: 10, mirror_percent: 10, " + route + "}]", "http: [{" + route + "}]"},
		"Istio's, in a list":                        {"VirtualService", "http: [{" + route + "}, {mirrors: [{destination: {host: v2}}, {destination: {host: v3}}], timeout: 1s, " + route + "}]", "http: [{" + route + "}, {timeout: 1s, " + route + "}]"},
		"a share without a mirror":                  {"VirtualService", "http: [{mirrorPercentage: {value: 10}, " + route + "}]", "http: [{" + route + "}]"},
		"what has filters, and can't hold a mirror": {"TLSRoute", "rules: [{filters: [" + mirror + "]}]", "rules: [{filters: [" + mirror + "]}]"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			given, want := liveRoute(t, test.kind, test.spec), liveRoute(t, test.kind, test.want)
			before := given.DeepCopy()
			g.Expect(Without(given)).To(Equal(want))
			g.Expect(given).To(Equal(before), "what is given is never changed")
		})
	}
}
