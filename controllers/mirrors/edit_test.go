package mirrors

import (
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
)

// editInput has httpbin-v2 gone, httpbin-v3 at a weight of 10, and httpbin-v4 as it likes.
func editInput() Input {
	gone := variant("v2", NotAvailable, "Service httpbin-v2")
	gone.Message = "Service httpbin-v2 has no ready endpoint"
	weighted := variant("v3", Available, "Service httpbin-v3")
	weighted.Weight = &Weight{"10", "Subject httpbin"}
	return Input{BuiltIn: true, Namespace: namespace, Variants: []Variant{gone, weighted, variant("v4", Available, "Service httpbin-v4")}}
}

func liveRoute(t *testing.T, kind, spec string) *unstructured.Unstructured {
	t.Helper()
	group := "gateway.networking.k8s.io/v1"
	if kind == "VirtualService" {
		group = "networking.istio.io/v1"
	}
	return &unstructured.Unstructured{Object: objectOf(t, []byte(fmt.Sprintf("{apiVersion: %s, kind: %s, metadata: {name: web, uid: u-1, resourceVersion: '7'}, spec: {%s}}", group, kind, spec)))}
}

func TestEditTakesOutAndNarrowsWhatMayNotStand(t *testing.T) {
	const (
		uid    = `{"op": "test", "path": "/metadata/uid", "value": "u-1"}`
		header = "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}"
		v2     = "{type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}}}"
		v3     = "{type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v3, port: 80}, fraction: {numerator: 1, denominator: 2}}}"
		v4     = "{type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v4, port: 80}}}"
		v2JSON = `{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "httpbin-v2", "port": 80}}}`
		back   = "backendRefs: [{name: httpbin-v1, port: 80}]"
	)
	for name, test := range map[string]struct{ kind, spec, patch string }{
		"nothing to do": {"HTTPRoute", "rules: [{filters: [" + header + ", " + v4 + "], " + back + "}]", ""},
		"no rules":      {"HTTPRoute", "", ""},
		"a mirror among filters": {"HTTPRoute", "rules: [{" + back + "}, {filters: [" + header + ", " + v2 + ", " + v4 + "], " + back + "}]", `[` + uid + `,
			{"op": "test", "path": "/spec/rules/1/filters/1", "value": ` + v2JSON + `},
			{"op": "remove", "path": "/spec/rules/1/filters/1"}]`},
		"two mirrors, the last first": {"GRPCRoute", "rules: [{filters: [" + v2 + ", " + v4 + ", " + v2 + "], " + back + "}]", `[` + uid + `,
			{"op": "test", "path": "/spec/rules/0/filters/2", "value": ` + v2JSON + `},
			{"op": "remove", "path": "/spec/rules/0/filters/2"},
			{"op": "test", "path": "/spec/rules/0/filters/0", "value": ` + v2JSON + `},
			{"op": "remove", "path": "/spec/rules/0/filters/0"}]`},
		"the only filter goes with its list": {"HTTPRoute", "rules: [{filters: [" + v2 + "], " + back + "}]", `[` + uid + `,
			{"op": "test", "path": "/spec/rules/0/filters", "value": [` + v2JSON + `]},
			{"op": "remove", "path": "/spec/rules/0/filters"}]`},
		"one that is narrowed, before one that goes": {"HTTPRoute", "rules: [{filters: [" + v3 + ", " + v2 + "], " + back + "}]", `[` + uid + `,
			{"op": "test", "path": "/spec/rules/0/filters/1", "value": ` + v2JSON + `},
			{"op": "remove", "path": "/spec/rules/0/filters/1"},
			{"op": "test", "path": "/spec/rules/0/filters/0/requestMirror", "value": {"backendRef": {"name": "httpbin-v3", "port": 80}, "fraction": {"numerator": 1, "denominator": 2}}},
			{"op": "replace", "path": "/spec/rules/0/filters/0/requestMirror", "value": {"backendRef": {"name": "httpbin-v3", "port": 80}, "percent": 10}}]`},
		"one of several backendRefs, which isn't lifted": {"HTTPRoute", "rules: [{backendRefs: [{name: a, port: 80}, {name: b, port: 80, filters: [" + header + ", " + v2 + "]}]}]", `[` + uid + `,
			{"op": "test", "path": "/spec/rules/0/backendRefs/1/filters/1", "value": ` + v2JSON + `},
			{"op": "remove", "path": "/spec/rules/0/backendRefs/1/filters/1"}]`},
		"what is invalid elsewhere is no hindrance": {"HTTPRoute", "rules: [7, {filters: [" + v2 + "], matches: [7]}]", `[` + uid + `,
			{"op": "test", "path": "/spec/rules/1/filters", "value": [` + v2JSON + `]},
			{"op": "remove", "path": "/spec/rules/1/filters"}]`},
		"a VirtualService's mirror goes with its share": {"VirtualService", "http: [{mirror: {host: httpbin-v2.default.svc.cluster.local}, mirrorPercentage: {value: 5}, route: []}]", `[` + uid + `,
			{"op": "test", "path": "/spec/http/0/mirror", "value": {"host": "httpbin-v2.default.svc.cluster.local"}},
			{"op": "test", "path": "/spec/http/0/mirrorPercentage", "value": {"value": 5}},
			{"op": "remove", "path": "/spec/http/0/mirrorPercentage"},
			{"op": "remove", "path": "/spec/http/0/mirror"}]`},
		"a share in the old spelling is narrowed": {"VirtualService", "http: [{mirror: {host: httpbin-v3}, mirror_percent: 50}]", `[` + uid + `,
			{"op": "test", "path": "/spec/http/0/mirror", "value": {"host": "httpbin-v3"}},
			{"op": "test", "path": "/spec/http/0/mirror_percent", "value": 50},
			{"op": "remove", "path": "/spec/http/0/mirror_percent"},
			{"op": "add", "path": "/spec/http/0/mirrorPercentage", "value": {"value": 10}}]`},
		"a host that Gate would write otherwise stays as it is": {"VirtualService", "http: [{mirror: {host: httpbin-v4.default}}]", ""},
		"mirrors of a list": {"VirtualService", "http: [{mirrors: [{destination: {host: httpbin-v2}}, {destination: {host: httpbin-v3}}, {destination: {host: httpbin-v3}, percentage: {value: 20.5}}]}]", `[` + uid + `,
			{"op": "test", "path": "/spec/http/0/mirrors/2/percentage", "value": {"value": 20.5}},
			{"op": "replace", "path": "/spec/http/0/mirrors/2/percentage", "value": {"value": 10}},
			{"op": "test", "path": "/spec/http/0/mirrors/1", "value": {"destination": {"host": "httpbin-v3"}}},
			{"op": "add", "path": "/spec/http/0/mirrors/1/percentage", "value": {"value": 10}},
			{"op": "test", "path": "/spec/http/0/mirrors/0", "value": {"destination": {"host": "httpbin-v2"}}},
			{"op": "remove", "path": "/spec/http/0/mirrors/0"}]`},
		"a list of which nothing is left": {"VirtualService", "http: [{mirrors: [{destination: {host: httpbin-v2}}], route: []}]", `[` + uid + `,
			{"op": "test", "path": "/spec/http/0/mirrors", "value": [{"destination": {"host": "httpbin-v2"}}]},
			{"op": "remove", "path": "/spec/http/0/mirrors"}]`},
		"another kind": {"TCPRoute", "rules: [{filters: [" + v2 + "]}]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			patch, _ := Edit(liveRoute(t, test.kind, test.spec), Decide(editInput()))
			if test.patch == "" {
				g.Expect(patch).To(BeEmpty())
				return
			}
			g.Expect(encode(t, patch)).To(MatchJSON(test.patch))
		})
	}
}

func TestEditReportsEveryMirrorOfTheLiveRoute(t *testing.T) {
	g := NewWithT(t)
	live := liveRoute(t, "VirtualService", "http: [{name: all, route: [{destination: {host: httpbin}}], mirrors: [{destination: {host: httpbin-v2}}, {destination: {host: httpbin-v4}, percentage: {value: 5}}]}]")
	_, report := Edit(live, Decide(editInput()))
	g.Expect(report).To(HaveExactElements(
		And(HaveField("Path", "spec.http[0].mirrors[0]"), HaveField("Rule", "all"), HaveField("To", "httpbin-v2"), HaveField("From", "httpbin"), HaveField("Variant", "v2"),
			HaveField("Asked", "100"), HaveField("Percent", "0"), HaveField("Withheld()", true), HaveField("Message", "no mirror to httpbin-v2: Service httpbin-v2 has no ready endpoint")),
		And(HaveField("Path", "spec.http[0].mirrors[1]"), HaveField("To", "httpbin-v4"), HaveField("Asked", "5"), HaveField("Percent", "5"), HaveField("Withheld()", false), HaveField("Reason", "")),
	))
}

func TestEditKeepsWhatStandsWhileAVariantIsUnknown(t *testing.T) {
	g := NewWithT(t)
	input := editInput()
	input.Variants[0].State = UnknownAvailable
	live := liveRoute(t, "HTTPRoute", "rules: [{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}, percent: 20}}]}]")
	patch, report := Edit(live, Decide(input))
	g.Expect(patch).To(BeEmpty())
	g.Expect(report).To(HaveExactElements(And(HaveField("Percent", "20"), HaveField("Reason", ""))))

	input.Variants[0].State = Unknown
	patch, _ = Edit(live, Decide(input))
	g.Expect(patch).To(HaveLen(3))
}

func TestAPatchFitsTheRouteThatItWasMadeOf(t *testing.T) {
	const mirror = "{type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}}}"
	const header = "{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}"
	live := liveRoute(t, "HTTPRoute", "rules: [{filters: ["+header+", "+mirror+"]}]")
	operations, _ := Edit(live, Decide(editInput()))
	patch, err := jsonpatch.DecodePatch([]byte(encode(t, operations)))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	for name, test := range map[string]struct {
		spec string
		uid  types.UID
		fits bool
	}{
		"as it was":                {"rules: [{filters: [" + header + ", " + mirror + "]}]", "u-1", true},
		"changed elsewhere":        {"hostnames: [a], rules: [{filters: [" + header + ", " + mirror + ", " + header + "]}]", "u-1", true},
		"a filter before it":       {"rules: [{filters: [" + header + ", " + header + ", " + mirror + "]}]", "u-1", false},
		"without the mirror":       {"rules: [{filters: [" + header + "]}]", "u-1", false},
		"another of the same name": {"rules: [{filters: [" + header + ", " + mirror + "]}]", "u-2", false},
	} {
		t.Run(name, func(t *testing.T) {
			route := liveRoute(t, "HTTPRoute", test.spec)
			route.SetUID(test.uid)
			_, err := patch.Apply([]byte(encode(t, route.Object)))
			NewWithT(t).Expect(err == nil).To(Equal(test.fits), "%v", err)
		})
	}
}
