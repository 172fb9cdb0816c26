package proxy

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Snapshot is a whole configuration of the proxy. It never changes.
type Snapshot struct {
	clusters map[string]*Cluster
	configs  map[string]*routeConfiguration
}

// Cluster is where requests go: the endpoints of a Service's port, or of a subset of them.
type Cluster struct {
	// Name as istiod gives it, such as "outbound|80||httpbin-v1.default.svc.cluster.local".
	Name string
	// Endpoints are the addresses of the healthy ones, as host:port, sorted.
	Endpoints []string

	http2 bool // what upstream speaks, whatever the client does
}

// Route is what is done with the requests that match it.
type Route struct {
	// Name as istiod gives it.
	Name string
	// Clusters that take turns, by their weights.
	Clusters []WeightedCluster
	// Mirrors get copies.
	Mirrors []Mirror
	// Timeout for the whole answer; 0 means none.
	Timeout time.Duration

	matches   matcher
	answer    func(*http.Request) answer // instead of clusters; nil means none
	rewrite   func(path string) string   // nil means none
	host      string                     // replaces the request's, where given
	request   headerEdits
	response  headerEdits
	allWeight uint64
	noCluster int // the status where the cluster isn't there
}

// WeightedCluster is one of the clusters of a route.
type WeightedCluster struct {
	// Name of the cluster.
	Name string
	// Weight among those of the route.
	Weight uint64

	traffic           *traffic
	host              string
	request, response headerEdits
}

// Mirror is a cluster that gets copies of a route's requests.
type Mirror struct {
	// Cluster is its name.
	Cluster string
	// Numerator of Denominator requests are copied.
	Numerator, Denominator uint64

	traffic *traffic
	host    string // replaces that of the request, where given
	suffix  bool   // appends -shadow to the host
}

// takes tells whether a request is copied. As in Envoy, all that is random about a request comes of one
// number, so that of two mirrors the one with the smaller fraction gets a subset of the other's copies.
func (m *Mirror) takes(random uint64) bool { return random%m.Denominator < m.Numerator }

// Cluster is a cluster by its name; nil where there is none that can be used.
func (s *Snapshot) Cluster(name string) *Cluster { return s.clusters[name] }

// ClusterNames are those of all clusters that can be used, sorted.
func (s *Snapshot) ClusterNames() []string { return slices.Sorted(maps.Keys(s.clusters)) }

// RouteConfigurations are the names of all of them, sorted.
func (s *Snapshot) RouteConfigurations() []string { return slices.Sorted(maps.Keys(s.configs)) }

// Route is the one that a request takes by a route configuration; nil where none matches.
func (s *Snapshot) Route(routeConfiguration string, r *http.Request) *Route {
	config := s.configs[routeConfiguration]
	if config == nil {
		return nil
	}
	host := config.virtualHost(r.Host)
	if host == nil {
		return nil
	}
	in := newRequest(r)
	for _, route := range host.routes {
		if route.matches(in) {
			return route
		}
	}
	return nil
}

// cluster is the one of a route's that a random number falls on.
func (r *Route) cluster(random uint64) *WeightedCluster {
	at := random % r.allWeight
	for i := range r.Clusters {
		if at < r.Clusters[i].Weight {
			return &r.Clusters[i]
		}
		at -= r.Clusters[i].Weight
	}
	return nil // not reached: the weights add up
}

// routeConfiguration has virtual hosts by their domains.
type routeConfiguration struct {
	ignorePort bool
	exact      map[string]*virtualHost
	suffixes   []wildcard // *.example.com, the longest first
	prefixes   []wildcard // example.*, the longest first
	any        *virtualHost
}

type virtualHost struct{ routes []*Route }

type wildcard struct {
	text string // without the star
	host *virtualHost
}

// virtualHost is the one that answers to an authority: an exact domain goes before one with a wildcard in
// front, that before one with a wildcard at its end, and the longer before the shorter.
func (c *routeConfiguration) virtualHost(authority string) *virtualHost {
	authority = strings.ToLower(authority)
	if c.ignorePort {
		authority = withoutPort(authority)
	}
	if host := c.exact[authority]; host != nil {
		return host
	}
	for _, w := range c.suffixes {
		if len(authority) > len(w.text) && strings.HasSuffix(authority, w.text) {
			return w.host
		}
	}
	for _, w := range c.prefixes {
		if len(authority) > len(w.text) && strings.HasPrefix(authority, w.text) {
			return w.host
		}
	}
	return c.any
}

// withoutPort takes the port off an authority. An address in brackets keeps those.
func withoutPort(authority string) string {
	if i := strings.LastIndexByte(authority, ':'); i > strings.LastIndexByte(authority, ']') {
		return authority[:i]
	}
	return authority
}
