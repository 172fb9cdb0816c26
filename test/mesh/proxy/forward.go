package proxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
)

// maxBody is how much of a request's body is kept to be copied, in bytes.
const maxBody = 8 << 20

// forwarded are headers that ReverseProxy takes off, and that this proxy leaves as they came.
var forwarded = []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"}

// silent takes what net/http would log of connections that break; tests see the answers.
var silent = log.New(io.Discard, "", 0)

// serve answers a client's request by the configuration of the moment.
func (p *Proxy) serve(w http.ResponseWriter, r *http.Request, routeConfiguration string) {
	snapshot := p.Snapshot()
	route := snapshot.Route(routeConfiguration, r)
	if route == nil {
		http.Error(w, "the test proxy has no route", http.StatusNotFound)
		return
	}
	if route.answer != nil {
		said := route.answer(r)
		if said.location != "" {
			w.Header().Set("Location", said.location)
		}
		route.response.apply(w.Header())
		w.WriteHeader(said.status)
		_, _ = io.WriteString(w, said.body) // the client may have gone
		return
	}
	random := p.dice.roll()
	weighted := route.cluster(random)
	weighted.traffic.requests.Add(1)
	cluster := snapshot.Cluster(weighted.Name)
	endpoint, err := p.endpoint(cluster)
	if err != nil {
		status := http.StatusServiceUnavailable
		if errors.Is(err, errNoCluster) {
			status = route.noCluster
		}
		http.Error(w, fmt.Sprintf("the test proxy can't reach %s: %v", weighted.Name, err), status)
		return
	}
	var mirrors []*Mirror
	for i := range route.Mirrors {
		if route.Mirrors[i].takes(random) {
			mirrors = append(mirrors, &route.Mirrors[i])
		}
	}
	var body []byte
	if len(mirrors) > 0 {
		body, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, fmt.Sprintf("the test proxy can't read the body: %v", err), http.StatusBadRequest)
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
	}
	if route.Timeout > 0 {
		ctx, cancel := context.WithTimeout(r.Context(), route.Timeout)
		defer cancel()
		r = r.WithContext(ctx)
	}
	upstream := &httputil.ReverseProxy{
		Transport: p.transport(cluster, r),
		Rewrite: func(pr *httputil.ProxyRequest) {
			route.prepare(pr, weighted, endpoint)
			for _, mirror := range mirrors {
				p.mirror(snapshot, mirror, pr.Out, body)
			}
		},
		ModifyResponse: func(response *http.Response) error {
			weighted.response.apply(response.Header)
			route.response.apply(response.Header)
			return nil
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			status := http.StatusServiceUnavailable
			if errors.Is(err, context.DeadlineExceeded) {
				status = http.StatusGatewayTimeout
			}
			http.Error(w, fmt.Sprintf("the test proxy failed to forward to %s: %v", endpoint, err), status)
		},
		ErrorLog: silent,
	}
	upstream.ServeHTTP(w, r)
}

// prepare makes the request that goes to the endpoint. Its method, path, headers and body are the client's,
// but for what the route says.
func (r *Route) prepare(pr *httputil.ProxyRequest, cluster *WeightedCluster, endpoint string) {
	out := pr.Out
	out.URL.Scheme, out.URL.Host = "http", endpoint
	for _, name := range forwarded {
		if values := pr.In.Header.Values(name); len(values) > 0 {
			out.Header[name] = values
		}
	}
	if r.rewrite != nil {
		out.URL.Path, out.URL.RawPath = r.rewrite(out.URL.Path), ""
	}
	for _, host := range []string{r.host, cluster.host} {
		if host != "" {
			out.Host = host
		}
	}
	cluster.request.apply(out.Header)
	r.request.apply(out.Header)
}

var (
	errNoCluster  = errors.New("there is no such cluster")
	errNoEndpoint = errors.New("it has no healthy endpoint")
)

// endpoint is one of a cluster's, by chance.
func (p *Proxy) endpoint(cluster *Cluster) (string, error) {
	switch {
	case cluster == nil:
		return "", errNoCluster
	case len(cluster.Endpoints) == 0:
		return "", errNoEndpoint
	default:
		return cluster.Endpoints[p.dice.roll()%uint64(len(cluster.Endpoints))], nil
	}
}

// transport is that of what the cluster speaks, or of what the client spoke where the cluster doesn't say.
func (p *Proxy) transport(cluster *Cluster, r *http.Request) http.RoundTripper {
	if cluster.http2 || r.ProtoMajor == 2 {
		return p.http2
	}
	return p.http1
}
