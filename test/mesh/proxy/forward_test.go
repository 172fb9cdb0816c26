package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	. "github.com/onsi/gomega"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

// listener80 names route configuration 80.
const listener80 = `{"name": "l", "filter_chains": [{"filters": [{"name": "http", "typed_config": {
	"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
	"rds": {"route_config_name": "80"}}}]}]}`

// http2Options make a cluster speak HTTP/2.
const http2Options = `, "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
	"@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
	"explicit_http_config": {"http2_protocol_options": {}}}}`

func pack(t *testing.T, messages ...proto.Message) []*anypb.Any {
	t.Helper()
	var packed []*anypb.Any
	for _, m := range messages {
		a, err := anypb.New(m)
		if err != nil {
			t.Fatal(err)
		}
		packed = append(packed, a)
	}
	return packed
}

func edsCluster(t *testing.T, name, more string) proto.Message {
	return parse(t, fmt.Sprintf(`{"name": %q, "type": "EDS"%s}`, name, more), &clusterv3.Cluster{})
}

// assignment gives the endpoints of a cluster, as host:port.
func assignment(t *testing.T, name string, addresses ...string) proto.Message {
	var endpoints []string
	for _, a := range addresses {
		host, port, _ := strings.Cut(a, ":")
		endpoints = append(endpoints, fmt.Sprintf(`{"endpoint": {"address": {"socket_address": {"address": %q, "port_value": %s}}}}`, host, port))
	}
	return parse(t, fmt.Sprintf(`{"cluster_name": %q, "endpoints": [{"lb_endpoints": [%s]}]}`, name, strings.Join(endpoints, ",")), &endpointv3.ClusterLoadAssignment{})
}

// routes80 is route configuration 80, of some routes for any host.
func routes80(t *testing.T, routes string) proto.Message {
	return parse(t, fmt.Sprintf(`{"name": "80", "virtual_hosts": [{"name": "any", "domains": ["*"], "routes": [%s]}]}`, routes), &routev3.RouteConfiguration{})
}

// upstreams are servers that note what reaches them.
type upstreams struct {
	mu       sync.Mutex
	received []string
}

func (u *upstreams) serve(t *testing.T, name string, also http.HandlerFunc) (address string) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		u.mu.Lock()
		u.received = append(u.received, fmt.Sprintf("%s: %s %s %s %s %q %s", name, r.Proto, r.Method, r.Host, r.URL, r.Header["X-A"], body))
		u.mu.Unlock()
		w.Header().Set("X-Upstream", name)
		if also != nil {
			also(w, r)
		}
	}))
	server.Config.Protocols = &http.Protocols{}
	server.Config.Protocols.SetHTTP1(true)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Start()
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

func (u *upstreams) all() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return append([]string(nil), u.received...)
}

// stage is a proxy with clusters a and m that nobody but the test configures.
type stage struct {
	*GomegaWithT
	proxy   *Proxy
	address string
}

func newStage(t *testing.T, a, m []string, clusterOptions, routes string) *stage {
	g := NewWithT(t)
	p := newProxy(1)
	t.Cleanup(func() { g.Expect(p.Close()).To(Succeed()) })
	s := newState(p.counters)
	g.Expect(s.take(clusterType, pack(t, edsCluster(t, "a", clusterOptions), edsCluster(t, "m", "")))).To(Succeed())
	g.Expect(s.take(endpointType, pack(t, assignment(t, "a", a...), assignment(t, "m", m...)))).To(Succeed())
	g.Expect(s.take(listenerType, pack(t, parse(t, listener80, &listenerv3.Listener{})))).To(Succeed())
	g.Expect(s.take(routeType, pack(t, routes80(t, routes)))).To(Succeed())
	p.accept(s.snapshot())
	address, err := p.Listen("127.0.0.1:0", "80")
	g.Expect(err).NotTo(HaveOccurred())
	return &stage{g, p, address}
}

// answered is what a client gets.
type answered struct {
	status int
	header http.Header
	body   string
}

// send sends a request to the proxy, without following redirects.
func (s *stage) send(client http.RoundTripper, method, path, body string) answered {
	request, err := http.NewRequest(method, "http://"+s.address+path, strings.NewReader(body))
	s.Expect(err).NotTo(HaveOccurred())
	request.Host = "app.example:80"
	request.Header["X-A"] = []string{"1", "2"}
	response, err := client.RoundTrip(request)
	s.Expect(err).NotTo(HaveOccurred())
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	s.Expect(err).NotTo(HaveOccurred())
	return answered{response.StatusCode, response.Header, string(text)}
}

// http1 gives a client of its own, so that no connection is another test's.
func http1() http.RoundTripper { return transport(func(p *http.Protocols) { p.SetHTTP1(true) }) }

func TestACopyIsTheOriginal(t *testing.T) {
	const route = `{"match": {"prefix": "/"}, "route": {"cluster": "a", "request_mirror_policies": [
		{"cluster": "m", "disable_shadow_host_suffix_append": true}]}}`
	for sentence, c := range map[string]struct {
		options  string
		client   http.RoundTripper
		protocol string
	}{
		"over HTTP/1.1":                      {client: http1(), protocol: "HTTP/1.1"},
		"over HTTP/2 that the client speaks": {client: transport(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }), protocol: "HTTP/2.0"},
	} {
		t.Run(sentence, func(t *testing.T) {
			u := &upstreams{}
			s := newStage(t, []string{u.serve(t, "a", nil)}, []string{u.serve(t, "m", nil)}, c.options, route)
			response := s.send(c.client, http.MethodPut, "/some%2Fpath?q=%20", "a body")
			s.Expect(response.header.Get("X-Upstream")).To(Equal("a"))
			what := ": " + c.protocol + ` PUT app.example:80 /some%2Fpath?q=%20 ["1" "2"] a body`
			s.Eventually(u.all).Should(ConsistOf("a"+what, "m"+what))
			s.Eventually(s.proxy.Counters).Should(Equal(Counters{
				Requests: map[string]int{"a": 1}, Copies: map[string]int{"m": 1}, LostCopies: map[string]int{},
			}))
		})
	}
}

func TestAClusterThatSpeaksHTTP2GetsIt(t *testing.T) {
	u := &upstreams{}
	s := newStage(t, []string{u.serve(t, "a", nil)}, nil, http2Options, `{"match": {"prefix": "/"}, "route": {"cluster": "a"}}`)
	s.send(http1(), http.MethodGet, "/", "")
	s.Expect(u.all()).To(Equal([]string{`a: HTTP/2.0 GET app.example:80 / ["1" "2"] `}))
}

func TestTheHostOfACopyTellsWhatItIsUnlessToldNotTo(t *testing.T) {
	u := &upstreams{}
	s := newStage(t, []string{u.serve(t, "a", nil)}, []string{u.serve(t, "m", nil)}, "",
		`{"match": {"prefix": "/"}, "route": {"cluster": "a", "request_mirror_policies": [{"cluster": "m"}]}}`)
	s.send(http1(), http.MethodGet, "/", "")
	s.Eventually(u.all).Should(ConsistOf(`a: HTTP/1.1 GET app.example:80 / ["1" "2"] `, `m: HTTP/1.1 GET app.example-shadow:80 / ["1" "2"] `))
}

func TestAClientIsAnsweredWhileTheMirrorHangs(t *testing.T) {
	u := &upstreams{}
	release := make(chan struct{})
	hanging := u.serve(t, "m", func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	s := newStage(t, []string{u.serve(t, "a", nil)}, []string{hanging}, "",
		`{"match": {"prefix": "/"}, "route": {"cluster": "a", "request_mirror_policies": [{"cluster": "m"}]}}`)
	const requests = mirrorLimit + 10
	client := http1()
	for range requests {
		response := s.send(client, http.MethodGet, "/", "")
		s.Expect(response.status).To(Equal(http.StatusOK))
	}
	s.Expect(s.proxy.Counters().Copies).To(Equal(map[string]int{"m": requests}))
	s.Expect(s.proxy.Counters().LostCopies).To(Equal(map[string]int{"m": requests - mirrorLimit}), "more than may be under way")
}

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(20 * time.Second)
	os.Exit(m.Run())
}

func TestAMirrorThatCannotBeReachedIsNobodysConcern(t *testing.T) {
	for sentence, endpoints := range map[string][]string{
		"no endpoint":              nil,
		"nobody listening":         {"127.0.0.1:1"}, // a port that nobody is given by chance
		"a connection that breaks": {(&upstreams{}).serve(t, "m", func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })},
	} {
		t.Run(sentence, func(t *testing.T) {
			u := &upstreams{}
			s := newStage(t, []string{u.serve(t, "a", nil)}, endpoints, "",
				`{"match": {"prefix": "/"}, "route": {"cluster": "a", "request_mirror_policies": [{"cluster": "m"}, {"cluster": "unknown"}]}}`)
			response := s.send(http1(), http.MethodPost, "/", "a body")
			s.Expect(response.status).To(Equal(http.StatusOK))
			s.Eventually(s.proxy.Counters).Should(Equal(Counters{
				Requests:   map[string]int{"a": 1},
				Copies:     map[string]int{"m": 1, "unknown": 1},
				LostCopies: map[string]int{"m": 1, "unknown": 1},
			}))
		})
	}
}

func TestWhatARouteSays(t *testing.T) {
	const edits = `"request_headers_to_remove": ["x-a"], "request_headers_to_add": [{"header": {"key": "x-a", "value": "100%%"}}],
		"response_headers_to_remove": ["x-upstream"], "response_headers_to_add": [
			{"header": {"key": "x-b", "value": "b"}, "append_action": "ADD_IF_ABSENT"},
			{"header": {"key": "x-b", "value": "c"}, "append_action": "OVERWRITE_IF_EXISTS"},
			{"header": {"key": "x-b", "value": "d"}}]`
	for sentence, c := range map[string]struct {
		route    string
		answer   string // status, Location, X-Upstream, X-B and body
		received string
	}{
		"headers are removed and added": {
			route:    `"route": {"cluster": "a"}, ` + edits,
			answer:   `200 "" "" ["c" "d"] ""`,
			received: `a: HTTP/1.1 GET app.example:80 /in/path?q ["100%"] `,
		},
		"the prefix of the path and the host are replaced": {
			route:    `"route": {"cluster": "a", "prefix_rewrite": "/out/", "host_rewrite_literal": "other"}`,
			answer:   `200 "" "a" [] ""`,
			received: `a: HTTP/1.1 GET other /out/path?q ["1" "2"] `,
		},
		"the proxy answers itself": {
			route:  `"direct_response": {"status": 418, "body": {"inline_string": "short and stout"}}`,
			answer: `418 "" "" [] "short and stout"`,
		},
		"the client is sent elsewhere": {
			route:  `"redirect": {"https_redirect": true, "host_redirect": "other", "port_redirect": 8443, "prefix_rewrite": "/out/", "strip_query": true, "response_code": "TEMPORARY_REDIRECT"}`,
			answer: `307 "https://other:8443/out/path" "" [] ""`,
		},
		"a cluster that isn't known": {
			route:  `"route": {"cluster": "unknown"}`,
			answer: `503 "" "" [] "the test proxy can't reach unknown: there is no such cluster\n"`,
		},
		"a cluster that isn't known, and its status": {
			route:  `"route": {"cluster": "unknown", "cluster_not_found_response_code": "INTERNAL_SERVER_ERROR"}`,
			answer: `500 "" "" [] "the test proxy can't reach unknown: there is no such cluster\n"`,
		},
		"a cluster without endpoints": {
			route:  `"route": {"cluster": "m"}`,
			answer: `503 "" "" [] "the test proxy can't reach m: it has no healthy endpoint\n"`,
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			u := &upstreams{}
			s := newStage(t, []string{u.serve(t, "a", nil)}, nil, "", `{"match": {"prefix": "/in/"}, `+c.route+`}`)
			response := s.send(http1(), http.MethodGet, "/in/path?q", "")
			s.Expect(fmt.Sprintf("%d %q %q %q %q", response.status, response.header.Get("Location"),
				response.header.Get("X-Upstream"), response.header["X-B"], response.body)).To(Equal(c.answer))
			if c.received != "" {
				s.Expect(u.all()).To(Equal([]string{c.received}))
			}
			response = s.send(http1(), http.MethodGet, "/elsewhere", "")
			s.Expect(response.status).To(Equal(http.StatusNotFound), "no route")
		})
	}
}

func TestARoutesTimeoutEndsARequest(t *testing.T) {
	u := &upstreams{}
	release := make(chan struct{})
	hanging := u.serve(t, "a", func(http.ResponseWriter, *http.Request) { <-release })
	t.Cleanup(func() { close(release) })
	s := newStage(t, []string{hanging}, nil, "", `{"match": {"prefix": "/"}, "route": {"cluster": "a", "timeout": "0.05s"}}`)
	response := s.send(http1(), http.MethodGet, "/", "")
	s.Expect(response.status).To(Equal(http.StatusGatewayTimeout))
}
