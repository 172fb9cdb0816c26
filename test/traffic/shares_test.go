package traffic

import (
	"math"
	"net/http"
	"testing"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/dataplane"
	"iter8.tools/operator/test/figures"
)

// share of requests that is mirrored: how the values of a chart say it, and what comes of it.
type share struct {
	values string
	does   string             // what Envoy does with requests
	copies map[string]float64 // of all requests, by the variant that gets them
}

// routeShares are said by an HTTPRoute's rules.
var routeShares = map[string]share{
	"all, where nothing is said": {
		values: `
rules:
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}}}
  backendRefs: [{name: httpbin-v1, port: 80}]`,
		does:   "httpbin-v1, copies to httpbin-v2 (100%)",
		copies: map[string]float64{"httpbin-v2": 1, "httpbin-v3": 0},
	},
	"a half": {
		values: `
rules:
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}, percent: 50}}
  backendRefs: [{name: httpbin-v1, port: 80}]`,
		does:   "httpbin-v1, copies to httpbin-v2 (50%)",
		copies: map[string]float64{"httpbin-v2": 0.5, "httpbin-v3": 0},
	},
	"five of a hundred": {
		values: `
rules:
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}, percent: 5}}
  backendRefs: [{name: httpbin-v1, port: 80}]`,
		does:   "httpbin-v1, copies to httpbin-v2 (5%)",
		copies: map[string]float64{"httpbin-v2": 0.05, "httpbin-v3": 0},
	},
	"two mirrors at once, one of them by a fraction": {
		values: `
rules:
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}, percent: 50}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v3, port: 80}, fraction: {numerator: 1, denominator: 8}}}
  backendRefs: [{name: httpbin-v1, port: 80}]`,
		does:   "httpbin-v1, copies to httpbin-v2 (50%), copies to httpbin-v3 (12.5%)",
		copies: map[string]float64{"httpbin-v2": 0.5, "httpbin-v3": 0.125},
	},
	"one method only": {
		values: `
rules:
- matches: [{method: GET}]
  filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}}}
  backendRefs: [{name: httpbin-v1, port: 80}]
- backendRefs: [{name: httpbin-v1, port: 80}]`,
		does:   "GET: httpbin-v1, copies to httpbin-v2 (100%); httpbin-v1",
		copies: map[string]float64{"httpbin-v2": 0.5, "httpbin-v3": 0},
	},
	"safe methods only": {
		values: `
rules:
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}, percent: 50}}
  backendRefs: [{name: httpbin-v1, port: 80}]
mirrorUnsafeMethods: false`,
		does:   "GET, HEAD, OPTIONS: httpbin-v1, copies to httpbin-v2 (50%); httpbin-v1",
		copies: map[string]float64{"httpbin-v2": 0.25, "httpbin-v3": 0},
	},
}

// virtualServiceShares are said by a VirtualService's routes.
var virtualServiceShares = map[string]share{
	"a half": {
		values: `
http:
- route: [{destination: {host: httpbin-v1, port: {number: 80}}}]
  mirror: {host: httpbin-v2, port: {number: 80}}
  mirrorPercentage: {value: 50}`,
		does:   "httpbin-v1, copies to httpbin-v2 (50%)",
		copies: map[string]float64{"httpbin-v2": 0.5, "httpbin-v3": 0},
	},
	"two mirrors at once": {
		values: `
http:
- route: [{destination: {host: httpbin-v1, port: {number: 80}}}]
  mirrors:
  - {destination: {host: httpbin-v2, port: {number: 80}}, percentage: {value: 5}}
  - {destination: {host: httpbin-v3, port: {number: 80}}, percentage: {value: 12.5}}`,
		does:   "httpbin-v1, copies to httpbin-v2 (5%), copies to httpbin-v3 (12.5%)",
		copies: map[string]float64{"httpbin-v2": 0.05, "httpbin-v3": 0.125},
	},
	"safe methods only": {
		values: `
http:
- route: [{destination: {host: httpbin-v1, port: {number: 80}}}]
  mirror: {host: httpbin-v2, port: {number: 80}}
mirrorUnsafeMethods: false`,
		does:   "GET|HEAD|OPTIONS: httpbin-v1, copies to httpbin-v2 (100%); httpbin-v1",
		copies: map[string]float64{"httpbin-v2": 0.5, "httpbin-v3": 0},
	},
}

// sharing has three variants of httpbin, all of which are there.
func (s *scene) sharing() {
	s.Helper()
	s.httpbin("v2", "v3")
	for _, name := range []string{"httpbin-v1", "httpbin-v2", "httpbin-v3"} {
		s.deploy(name)
	}
}

// expectShares brings a policy to each of the shares, sends requests of which half are GET and half POST, and
// expects counts within five standard deviations.
func (s *scene) expectShares(c *httpClient, policy *iter8v1alpha1.RoutingPolicy, values string, shares map[string]share) {
	s.Helper()
	const times = 2000
	get, post := c.Get("/get"), c.Request(http.MethodPost, "/post", "a body")
	for sentence, share := range shares {
		s.Run(sentence, func(t *testing.T) {
			g := gomega.NewWithT(t)
			before := policy.DeepCopy()
			policy.Spec.Values = s.values(values + share.values)
			g.Expect(k8s.Patch(t.Context(), policy, client.MergeFrom(before))).To(gomega.Succeed())
			g.Eventually(c.routing).Should(gomega.Equal(share.does))
			sentBefore := map[string]int{}
			for name := range share.copies {
				s.forget(name)
				sentBefore[name] = c.total(name, "rq_total")
			}
			g.Expect(c.Send(times, get, post)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
			for name, p := range share.copies {
				g.Eventually(func() int { return c.total(name, "rq_total") - sentBefore[name] - s.count(name)() }).Should(gomega.BeZero(), "every copy to %s arrives", name)
				copies := s.count(name)()
				g.Expect(float64(copies)).To(gomega.BeNumerically("~", times*p, 5*math.Sqrt(times*p*(1-p))), "copies to %s", name)
				if p > 0 && p < 1 {
					figures.Note(t, "%d of %d requests were copied to %s, of which %g%% was asked", copies, times, name, 100*p)
				}
			}
		})
	}
}

func TestSharesOfRequests(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		s.sharing()
		policy := s.route(mirrorAll)
		c := s.calling()
		s.expectShares(c, policy, s.plane.parent(s.namespace), routeShares)
	})
}

func TestSharesOfRequestsByAVirtualService(t *testing.T) {
	s := newScene(t, sidecar)
	s.sharing()
	policy := s.policy("mirror-istio", "hosts: [httpbin]"+virtualServiceShares["a half"].values)
	s.expectShares(s.calling(), policy, "hosts: [httpbin]", virtualServiceShares)
}

func TestAGatewayServesItsHostnamesOnly(t *testing.T) {
	for _, p := range []plane{istioGateway, egGateway} {
		t.Run(p.name, func(t *testing.T) {
			s := newScene(t, p)
			c, _ := s.mirrored()
			other := s.callingAt(c.envoy, "other.example", dataplane.HTTP1)
			s.Expect(other.routing()).To(gomega.Equal("no route"))
			s.Expect(other.Do(other.Get("/"))).To(gomega.HavePrefix("404: "))
			s.Expect(s.received("httpbin-v2")).To(gomega.BeEmpty())
		})
	}
}
