package proxy

import (
	"fmt"
	"math"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	. "github.com/onsi/gomega"
)

// compile compiles a virtual host of any domain with one route to cluster a, from what its action has besides.
func compile(t *testing.T, action string) (*Route, error) {
	t.Helper()
	config, err := compiler{newCounters()}.routeConfiguration(parse(t, fmt.Sprintf(`{"name": "80", "virtual_hosts": [
		{"name": "any", "domains": ["*"], "routes": [{"name": "r", "match": {"prefix": "/"}, %s}]}]}`, action), &routev3.RouteConfiguration{}))
	if err != nil {
		return nil, err
	}
	return (&Snapshot{configs: map[string]*routeConfiguration{"80": config}}).Route("80", ask("GET /")), nil
}

func TestMirrorsGetTheirFractionOfRequests(t *testing.T) {
	const requests = 20_000
	for sentence, c := range map[string]struct {
		policy string
		share  float64
	}{
		"all, where there is no fraction": {`"cluster": "m"`, 1},
		"a hundred of a hundred":          {`"cluster": "m", "runtime_fraction": {"default_value": {"numerator": 100}}`, 1},
		"none of a hundred":               {`"cluster": "m", "runtime_fraction": {"default_value": {"numerator": 0}}`, 0},
		"half":                            {`"cluster": "m", "runtime_fraction": {"default_value": {"numerator": 50}}`, 0.5},
		"five of a hundred":               {`"cluster": "m", "runtime_fraction": {"default_value": {"numerator": 500, "denominator": "TEN_THOUSAND"}}`, 0.05},
		"a thousandth":                    {`"cluster": "m", "runtime_fraction": {"default_value": {"numerator": 1000, "denominator": "MILLION"}}`, 0.001},
	} {
		t.Run(sentence, func(t *testing.T) {
			g := NewWithT(t)
			route, err := compile(t, fmt.Sprintf(`"route": {"cluster": "a", "request_mirror_policies": [{%s}]}`, c.policy))
			g.Expect(err).NotTo(HaveOccurred())
			dice, copies := newDice(1), 0
			for range requests {
				if route.Mirrors[0].takes(dice.roll()) {
					copies++
				}
			}
			deviation := math.Sqrt(requests * c.share * (1 - c.share))
			g.Expect(float64(copies)).To(BeNumerically("~", requests*c.share, 4*deviation))
		})
	}
}

func TestClustersTakeTurnsByTheirWeights(t *testing.T) {
	g := NewWithT(t)
	route, err := compile(t, `"route": {"weighted_clusters": {"clusters": [
		{"name": "a", "weight": 90}, {"name": "none", "weight": 0}, {"name": "b", "weight": 10}]}}`)
	g.Expect(err).NotTo(HaveOccurred())
	for random, name := range map[uint64]string{0: "a", 89: "a", 90: "b", 99: "b", 100: "a", 190: "b"} {
		g.Expect(route.cluster(random).Name).To(Equal(name), "%d", random)
	}
}

func TestTheSameDiceGiveTheSameChoices(t *testing.T) {
	g := NewWithT(t)
	a, b, other := newDice(1), newDice(1), newDice(2)
	first := a.roll()
	g.Expect(b.roll()).To(Equal(first))
	g.Expect(other.roll()).NotTo(Equal(first))
}

func TestWhatTheProxyCannotReadIsRefused(t *testing.T) {
	for sentence, c := range map[string]struct{ action, reason string }{
		"a cluster by header":         {`"route": {"cluster_header": "to"}`, "clusters by *routev3.RouteAction_ClusterHeader"},
		"weights of nothing":          {`"route": {"weighted_clusters": {"clusters": [{"name": "a", "weight": 0}]}}`, "all clusters have weight 0"},
		"a mirror by header":          {`"route": {"cluster": "a", "request_mirror_policies": [{"cluster_header": "to"}]}`, `mirror policy to "": a cluster by header`},
		"a regular expression's path": {`"route": {"cluster": "a", "regex_rewrite": {"pattern": {"regex": "a"}}}`, "a rewrite of the path by a regular expression"},
		"a host by header":            {`"route": {"cluster": "a", "host_rewrite_header": "to"}`, "a rewrite of the host by"},
		"a formatted header":          {`"route": {"cluster": "a"}, "request_headers_to_add": [{"header": {"key": "a", "value": "%PROTOCOL%"}}]`, `header a: the test proxy doesn't format values: "%PROTOCOL%"`},
		"no action":                   {`"non_forwarding_action": {}`, "an action of type"},
	} {
		t.Run(sentence, func(t *testing.T) {
			g := NewWithT(t)
			_, err := compile(t, c.action)
			g.Expect(err).To(MatchError(HavePrefix(`virtual host any: route "r": `)))
			g.Expect(err).To(MatchError(ContainSubstring(c.reason)))
		})
	}
	for sentence, c := range map[string]struct{ match, reason string }{
		"a random part":            {`"prefix": "/", "runtime_fraction": {}`, "a match by what the test proxy doesn't know of"},
		"a path of an unknown way": {`"connect_matcher": {}`, "a match by *routev3.RouteMatch_ConnectMatcher"},
		"no regular expression":    {`"safe_regex": {"regex": "("}`, "compiling a regular expression"},
		"a header's":               {`"prefix": "/", "headers": [{"name": "a", "string_match": {"safe_regex": {"regex": "("}}}]`, "header a: compiling a regular expression"},
	} {
		t.Run(sentence, func(t *testing.T) {
			_, err := routeMatch(parse(t, "{"+c.match+"}", &routev3.RouteMatch{}))
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(c.reason)))
		})
	}
}
