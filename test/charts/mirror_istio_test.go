package charts

import (
	"slices"
	"testing"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/controllers/render"
)

func TestMirrorIstioRefusesValuesThatCannotBe(t *testing.T) {
	route := func(more string) string { return "http: [{route: [{destination: {host: reviews}}]" + more + "}]" }
	for name, test := range map[string]struct{ values, message string }{
		"no values":                                {"{}", "http: minItems: got 0, want 1"},
		"a value that the chart doesn't have":      {route("") + "\nroutes: []", "additional properties 'routes' not allowed"},
		"hosts that are no list":                   {route("") + "\nhosts: reviews", "hosts: got string, want array"},
		"routes that are no objects":               {"http: [reviews]", "http.0: got string, want object"},
		"a match that is no list":                  {route(", match: {uri: {prefix: /}}"), "http.0.match: got object, want array"},
		"a method that is no match":                {route(", match: [{method: GET}]"), "http.0.match.0.method: got string, want object"},
		"a destination without a host":             {"http: [{route: [{destination: {subset: v1}}]}]", "http.0.route.0.destination: missing property 'host'"},
		"a mirror that is a host":                  {route(", mirror: mirror"), "http.0.mirror: got string, want object"},
		"a mirror without a host":                  {route(", mirror: {subset: v2}"), "http.0.mirror: missing property 'host'"},
		"mirrors without a destination":            {route(", mirrors: [{host: mirror}]"), "http.0.mirrors.0: missing property 'destination'"},
		"mirrors that are one":                     {route(", mirrors: {host: mirror}"), "http.0.mirrors: got object, want array"},
		"a percentage that is a number":            {route(", mirror: {host: mirror}, mirrorPercentage: 50"), "http.0.mirrorPercentage: got number, want object"},
		"a percentage without a value":             {route(", mirror: {host: mirror}, mirrorPercentage: {}"), "http.0.mirrorPercentage: missing property 'value'"},
		"more than all requests":                   {route(", mirror: {host: mirror}, mirrorPercentage: {value: 100.5}"), "maximum: got 100.5, want 100"},
		"less than no request":                     {route(", mirrors: [{destination: {host: mirror}, percentage: {value: -1}}]"), "minimum: got -1, want 0"},
		"more than all requests, deprecated":       {route(", mirror: {host: mirror}, mirror_percent: 101"), "mirror_percent: maximum: got 101, want 100"},
		"half a percent, deprecated":               {route(", mirror: {host: mirror}, mirrorPercent: 0.5"), "mirrorPercent: got number, want integer"},
		"a misspelt field of a mirror":             {route(", mirror: {host: mirror, subnet: v2}"), "http.0.mirror: additional properties 'subnet' not allowed"},
		"a misspelt field of mirrors":              {route(", mirrors: [{destination: {host: mirror}, percent: 1}]"), "http.0.mirrors.0: additional properties 'percent' not allowed"},
		"a misspelt percentage":                    {route(", mirror: {host: mirror}, mirrorPercentage: {value: 1, values: 2}"), "mirrorPercentage: additional properties 'values' not allowed"},
		"a label that is a number":                 {route("") + "\nlabels: {release: 1}", "labels.release: got number, want string"},
		"a name that is a number":                  {route("") + "\nname: 1", "name: got number, want string"},
		"a workloadSelector that is a list":        {route("") + "\nworkloadSelector: [app]", "workloadSelector: got array, want object"},
		"a subset without a name":                  {route("") + "\nsubsets: [{labels: {version: v1}}]", "subsets.0: missing property 'name'"},
		"a subset whose label's value is a number": {route("") + "\nsubsets: [{name: v1, labels: {version: 1}}]", "subsets.0.labels.version: got number, want string"},
		"a trafficPolicy that is a list":           {route("") + "\ntrafficPolicy: [tls]", "trafficPolicy: got array, want object"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := renderFor(t, "mirror-istio", test.values)
			g.Expect(err).To(MatchError(render.ErrInvalidValues))
			g.Expect(err).To(MatchError(ContainSubstring(test.message)))
		})
	}
}

func TestMirrorIstioRefusesSubsetsOfNoHostOrSeveral(t *testing.T) {
	const subsets = "\nsubsets: [{name: v1, labels: {version: v1}}]"
	for name, test := range map[string]struct{ values, hosts string }{
		"subsets that no destination names": {"http: [{route: [{destination: {host: reviews}}]}]" + subsets, "none"},
		"subsets of several hosts": {"http: [{route: [{destination: {host: reviews, subset: v1}}], mirror: {host: ratings.default.svc, subset: v1}}]" + subsets,
			"ratings.default, reviews.default"},
		"a trafficPolicy for nothing":    {"http: [{}]\ntrafficPolicy: {tls: {mode: DISABLE}}", "none"},
		"a workloadSelector for nothing": {"http: [{}]\nworkloadSelector: {matchLabels: {app: frontend}}", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := renderFor(t, "mirror-istio", test.values)
			g.Expect(err).To(MatchError(ContainSubstring(
				"the DestinationRule takes one host, but the hosts of which destinations and mirrors name its subsets are: " + test.hosts + "; set host")))
		})
	}
}

func TestMirrorIstioLeavesSharesInTheFieldsThatIstioDeprecates(t *testing.T) {
	g := NewWithT(t)
	manifests, err := renderFor(t, "mirror-istio", `http: [{mirror: {host: a}, mirror_percent: 50}, {mirror: {host: b}, mirrorPercent: 0}]`)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(manifests).To(HaveLen(1))
	g.Expect(manifests[0].Object["spec"]).To(HaveKeyWithValue("http", []any{
		map[string]any{"mirror": map[string]any{"host": "a"}, "mirror_percent": int64(50)},
		map[string]any{"mirror": map[string]any{"host": "b"}, "mirrorPercent": int64(0)},
	}))
}

func TestMirrorIstioTakesVersionsThatTheClusterServes(t *testing.T) {
	of := func(version string) []string {
		return []string{"networking.istio.io/" + version + "/DestinationRule", "networking.istio.io/" + version + "/VirtualService"}
	}
	for name, test := range map[string]struct {
		served []string
		want   string
	}{
		"nothing is known":   {nil, "v1"},
		"all":                {slices.Concat(of("v1alpha3"), of("v1beta1"), of("v1")), "v1"},
		"the two older ones": {slices.Concat(of("v1alpha3"), of("v1beta1")), "v1beta1"},
		"the oldest one":     {of("v1alpha3"), "v1alpha3"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			manifests, err := renderFor(t, "mirror-istio", "http: [{}]\nhost: reviews\nsubsets: [{name: v1}]", test.served...)
			g.Expect(err).NotTo(HaveOccurred())
			want := "networking.istio.io/" + test.want
			g.Expect(manifests).To(HaveExactElements(
				And(HaveField("GetKind()", "DestinationRule"), HaveField("GetAPIVersion()", want), HaveField("GetName()", "httpbin")),
				And(HaveField("GetKind()", "VirtualService"), HaveField("GetAPIVersion()", want), HaveField("GetName()", "httpbin"))))
		})
	}
}
