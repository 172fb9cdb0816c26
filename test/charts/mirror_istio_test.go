package charts

import (
	"fmt"
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
		"a percentage of no mirror":                {route(", mirrorPercentage: {value: 5}"), "http.0: properties 'mirror' required, if 'mirrorPercentage' exists"},
		"a percentage of mirrors":                  {route(", mirrors: [{destination: {host: mirror}}], mirror_percent: 5"), "http.0: properties 'mirror' required, if 'mirror_percent' exists"},
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

func TestMirrorIstioRefusesWhatItCannotRender(t *testing.T) {
	const (
		mirrored = "route: [{destination: {host: reviews}}], mirror: {host: mirror}"
		safe     = "mirrorUnsafeMethods: false\n"
		subsets  = "\nsubsets: [{name: v1, labels: {version: v1}}]"
	)
	for name, test := range map[string]struct {
		values  string
		weight  int32
		message string
	}{
		"a weight that is no percentage": {"http: [{" + mirrored + "}]", 1000,
			"http[0].mirror points at variant mirror, whose weight is 1000: as a percentage it must be 0 to 100, or set a percentage for the mirror"},
		"such a weight for one of several mirrors": {"http: [{mirrors: [{destination: {host: a}}, {destination: {host: mirror}}]}]", 101,
			"http[0].mirrors[1] points at variant mirror, whose weight is 101"},
		"mirror and mirrors": {"http: [{}, {" + mirrored + ", mirrors: [{destination: {host: mirror}}]}]", 100,
			"http[1] has both mirror and mirrors, of which Istio takes one: put all into mirrors"},
		"a percentage, twice": {"http: [{" + mirrored + ", mirrorPercentage: {value: 1}, mirror_percent: 1}]", 100,
			"http[0] gives the percentage of its mirror more than once, as mirrorPercentage and mirror_percent: leave all but mirrorPercentage out"},
		"a deprecated percentage, twice": {"http: [{" + mirrored + ", mirrorPercent: 1, mirror_percent: 1}]", 100,
			"as mirrorPercent and mirror_percent"},
		"subsets that nobody names": {"http: [{" + mirrored + "}]" + subsets, 100,
			"the DestinationRule takes one host, but the hosts of which destinations and mirrors name its subsets are: none; set host"},
		"subsets of several hosts": {"http: [{route: [{destination: {host: reviews, subset: v1}}], mirror: {host: ratings.default.svc, subset: v1}}]" + subsets, 100,
			"name its subsets are: ratings.default, reviews.default; set host"},
		"a trafficPolicy for nothing": {"http: [{" + mirrored + "}]\ntrafficPolicy: {tls: {mode: DISABLE}}", 100,
			"name its subsets are: none; set host"},
		"a method that is matched by its beginning": {safe + "http: [{" + mirrored + ", match: [{method: {exact: GET}}, {method: {prefix: P}}]}]", 100,
			"mirrorUnsafeMethods is false, but http[0] matches methods by prefix, which can't be told apart: match each method as exact"},
		"a method that is matched by an expression": {safe + "http: [{" + mirrored + ", match: [{method: {regex: GET|POST}}]}]", 100,
			"http[0] matches methods by regex, which can't be told apart"},
		"a delegate that may match methods": {safe + "http: [{mirror: {host: mirror}, delegate: {name: reviews}}]", 100,
			"mirrorUnsafeMethods is false, but http[0] delegates to a VirtualService that may match methods itself: give that the mirror, with methods in its matches"},
	} {
		// It is refused from the start, not when the variant comes.
		for _, available := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, available %t", name, available), func(t *testing.T) {
				g := NewWithT(t)
				_, err := renderFor(t, "mirror-istio", test.values, render.Variant{
					Name: "mirror", Number: 1, Available: available, Weight: test.weight, Weighted: true,
					Resources: []render.Resource{{Kind: "Service", Name: "mirror"}},
				})
				g.Expect(err).To(MatchError(ContainSubstring(test.message)))
			})
		}
	}
}
