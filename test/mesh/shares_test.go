package mesh

import (
	"maps"
	"math"
	"net/http"
	"slices"
	"testing"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/figures"
)

// share of requests that is mirrored: how the values of a chart say it, and what comes of it.
type share struct {
	values string
	get    string             // what the proxy does with a GET
	post   string             // and with a POST
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
		get:    "httpbin-v1:80, copies to httpbin-v2:80 (100%)",
		post:   "httpbin-v1:80, copies to httpbin-v2:80 (100%)",
		copies: map[string]float64{"httpbin-v2": 1, "httpbin-v3": 0},
	},
	"a half": {
		values: `
rules:
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}, percent: 50}}
  backendRefs: [{name: httpbin-v1, port: 80}]`,
		get:    "httpbin-v1:80, copies to httpbin-v2:80 (50%)",
		post:   "httpbin-v1:80, copies to httpbin-v2:80 (50%)",
		copies: map[string]float64{"httpbin-v2": 0.5, "httpbin-v3": 0},
	},
	"five of a hundred": {
		values: `
rules:
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}, percent: 5}}
  backendRefs: [{name: httpbin-v1, port: 80}]`,
		get:    "httpbin-v1:80, copies to httpbin-v2:80 (5%)",
		post:   "httpbin-v1:80, copies to httpbin-v2:80 (5%)",
		copies: map[string]float64{"httpbin-v2": 0.05, "httpbin-v3": 0},
	},
	"two mirrors at once, one of them by a fraction": {
		values: `
rules:
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}, percent: 50}}
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v3, port: 80}, fraction: {numerator: 1, denominator: 8}}}
  backendRefs: [{name: httpbin-v1, port: 80}]`,
		get:    "httpbin-v1:80, copies to httpbin-v2:80 (50%), copies to httpbin-v3:80 (12.5%)",
		post:   "httpbin-v1:80, copies to httpbin-v2:80 (50%), copies to httpbin-v3:80 (12.5%)",
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
		get:    "httpbin-v1:80, copies to httpbin-v2:80 (100%)",
		post:   "httpbin-v1:80",
		copies: map[string]float64{"httpbin-v2": 0.5, "httpbin-v3": 0},
	},
	"safe methods only": {
		values: `
rules:
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}, percent: 50}}
  backendRefs: [{name: httpbin-v1, port: 80}]
mirrorUnsafeMethods: false`,
		get:    "httpbin-v1:80, copies to httpbin-v2:80 (50%)",
		post:   "httpbin-v1:80",
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
		get:    "httpbin-v1:80, copies to httpbin-v2:80 (50%)",
		post:   "httpbin-v1:80, copies to httpbin-v2:80 (50%)",
		copies: map[string]float64{"httpbin-v2": 0.5, "httpbin-v3": 0},
	},
	"two mirrors at once": {
		values: `
http:
- route: [{destination: {host: httpbin-v1, port: {number: 80}}}]
  mirrors:
  - {destination: {host: httpbin-v2, port: {number: 80}}, percentage: {value: 5}}
  - {destination: {host: httpbin-v3, port: {number: 80}}, percentage: {value: 12.5}}`,
		get:    "httpbin-v1:80, copies to httpbin-v2:80 (5%), copies to httpbin-v3:80 (12.5%)",
		post:   "httpbin-v1:80, copies to httpbin-v2:80 (5%), copies to httpbin-v3:80 (12.5%)",
		copies: map[string]float64{"httpbin-v2": 0.05, "httpbin-v3": 0.125},
	},
	"safe methods only": {
		values: `
http:
- route: [{destination: {host: httpbin-v1, port: {number: 80}}}]
  mirror: {host: httpbin-v2, port: {number: 80}}
mirrorUnsafeMethods: false`,
		get:    "httpbin-v1:80, copies to httpbin-v2:80 (100%)",
		post:   "httpbin-v1:80",
		copies: map[string]float64{"httpbin-v2": 0.5, "httpbin-v3": 0},
	},
}

// sharing is a scene in which httpbin has three variants, all of which are there.
func sharing(t *testing.T) *scene {
	t.Helper()
	s := newScene(t)
	s.httpbin("v2", "v3")
	for _, name := range []string{"httpbin-v1", "httpbin-v2", "httpbin-v3"} {
		s.deploy(name)
	}
	return s
}

// expectShares brings a policy to each of the shares, sends requests of which half are GET and half POST, and
// expects counts within four standard deviations.
func (s *scene) expectShares(c *caller, policy *iter8v1alpha1.RoutingPolicy, values string, shares map[string]share) {
	s.Helper()
	const times = 2000
	get, post := c.get("/get"), c.request(http.MethodPost, "/post", "a body")
	for _, sentence := range slices.Sorted(maps.Keys(shares)) { // in order, for the same choices each time
		share := shares[sentence]
		s.Run(sentence, func(t *testing.T) {
			g := gomega.NewWithT(t)
			before := policy.DeepCopy()
			policy.Spec.Values = s.values(values + share.values)
			g.Expect(k8s.Patch(t.Context(), policy, client.MergeFrom(before))).To(gomega.Succeed())
			g.Eventually(c.routing(get)).Should(gomega.Equal(share.get))
			g.Eventually(c.routing(post)).Should(gomega.Equal(share.post))
			for name := range share.copies {
				servers.forget(variant{s.namespace, name})
			}
			copiesBefore := c.copies()
			g.Expect(c.send(times, get, post)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
			for name, p := range share.copies {
				copies := c.copies()[name] - copiesBefore[name]
				g.Eventually(s.count(name)).Should(gomega.Equal(copies), "every copy to %s arrives", name)
				g.Expect(float64(copies)).To(gomega.BeNumerically("~", times*p, 4*math.Sqrt(times*p*(1-p))), "copies to %s", name)
				if p > 0 && p < 1 {
					figures.Note(t, "%d of %d requests were copied to %s, of which %g%% was asked", copies, times, name, 100*p)
				}
			}
		})
	}
}

func TestSharesOfRequestsInTheMesh(t *testing.T) {
	s := sharing(t)
	c := s.calling(s.sidecar(), "8000", "httpbin:8000")
	s.expectShares(c, s.policy("mirror", mirrorAll), serviceParent, routeShares)
}

func TestSharesOfRequestsByAVirtualService(t *testing.T) {
	s := sharing(t)
	c := s.calling(s.sidecar(), "8000", "httpbin:8000")
	s.expectShares(c, s.policy("mirror-istio", "hosts: [httpbin]"+virtualServiceShares["a half"].values), "hosts: [httpbin]", virtualServiceShares)
}

func TestSharesOfRequestsAtAGateway(t *testing.T) {
	s := sharing(t)
	p, address := s.gateway()
	c := s.callingAt(p, address, "http.80", "httpbin.example")
	const parent = gatewayParent + "\nhostnames: [httpbin.example]"
	s.expectShares(c, s.policy("mirror", parent+routeShares["a half"].values), parent, routeShares)
	c.host = "other.example"
	s.Expect(c.routing(c.get("/"))()).To(gomega.Equal("no route"))
}
