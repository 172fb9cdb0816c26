package mesh

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/onsi/gomega"

	"iter8.tools/operator/test/mesh/proxy"
)

// numberHeader of a request tells it from all others of its caller.
const numberHeader = "Number"

// caller sends requests to a Service through a test proxy.
type caller struct {
	scene   *scene
	proxy   *proxy.Proxy
	routes  string // the route configuration that it is served by
	host    string // which it calls
	address string // of the proxy
	http    *http.Client
	sent    atomic.Int64
}

// calling gives a caller of a host, such as "httpbin:8000", in a sidecar's Pod: the proxy serves it one of its
// route configurations.
func (s *scene) calling(p *proxy.Proxy, routes, host string) *caller {
	s.Helper()
	return s.callingAt(p, "127.0.0.1:0", routes, host)
}

// callingAt is calling, of a proxy that listens on an address.
func (s *scene) callingAt(p *proxy.Proxy, address, routes, host string) *caller {
	s.Helper()
	address, err := p.Listen(address, routes)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	s.Cleanup(transport.CloseIdleConnections)
	return &caller{
		scene: s, proxy: p, routes: routes, host: host, address: address,
		http: &http.Client{Transport: transport, Timeout: 30 * time.Second},
	}
}

// request of a method to a path; headers as name, value, name, value….
func (c *caller) request(method, path, body string, headers ...string) *http.Request {
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+c.address+path, strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	r.Host = c.host
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// get is a request for a path.
func (c *caller) get(path string, headers ...string) *http.Request {
	return c.request(http.MethodGet, path, "", headers...)
}

// do sends a request, numbered, and returns which variant has answered, or what went wrong.
func (c *caller) do(request *http.Request) string {
	r := request.Clone(context.Background())
	if request.GetBody != nil {
		r.Body, _ = request.GetBody()
	}
	r.Header.Set(numberHeader, strconv.FormatInt(c.sent.Add(1), 10))
	response, err := c.http.Do(r)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err.Error()
	case response.StatusCode != http.StatusOK:
		return fmt.Sprintf("%d: %s", response.StatusCode, body)
	default:
		return response.Header.Get(variantHeader)
	}
}

// send sends a request as often as told, one after the other, and counts who answered.
func (c *caller) send(times int, requests ...*http.Request) map[string]int {
	answers := map[string]int{}
	for i := range times {
		answers[c.do(requests[i%len(requests)])]++
	}
	return answers
}

// copies are how many the proxy has sent to each workload, or tried to.
func (c *caller) copies() map[string]int { return byWorkload(c.proxy.Counters().Copies) }

// lostCopies are how many of copies didn't arrive.
func (c *caller) lostCopies() map[string]int { return byWorkload(c.proxy.Counters().LostCopies) }

// byWorkload takes the clusters' names, outbound|PORT|SUBSET|SERVICE.NAMESPACE.svc.cluster.local, for those of
// their Services.
func byWorkload(counts map[string]int) map[string]int {
	by := map[string]int{}
	for name, n := range counts {
		service, _, _ := strings.Cut(name[strings.LastIndex(name, "|")+1:], ".")
		by[service] += n
	}
	return by
}

// routing polls what the proxy would do with a request: "CLUSTER", or "CLUSTER, copies to CLUSTER (50%)".
// A cluster without endpoints is marked as such.
func (c *caller) routing(request *http.Request) func() string {
	return func() string {
		snapshot := c.proxy.Snapshot()
		route := snapshot.Route(c.routes, request)
		if route == nil {
			return "no route"
		}
		described := ""
		for _, to := range route.Clusters {
			described += c.describe(snapshot, to.Name)
		}
		for _, m := range route.Mirrors {
			described += fmt.Sprintf(", copies to %s (%g%%)", c.describe(snapshot, m.Cluster), 100*float64(m.Numerator)/float64(m.Denominator))
		}
		return described
	}
}

// describe shortens the name of a cluster, outbound|PORT|SUBSET|SERVICE.NAMESPACE.svc.cluster.local, to
// SERVICE:PORT or SERVICE/SUBSET:PORT.
func (c *caller) describe(snapshot *proxy.Snapshot, name string) string {
	described := name
	if parts := strings.Split(name, "|"); len(parts) == 4 {
		described = strings.TrimSuffix(parts[3], "."+c.scene.namespace+".svc.cluster.local")
		if parts[2] != "" {
			described += "/" + parts[2]
		}
		described += ":" + parts[1]
	}
	if cluster := snapshot.Cluster(name); cluster == nil || len(cluster.Endpoints) == 0 {
		described += " without endpoints"
	}
	return described
}
