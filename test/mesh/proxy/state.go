package proxy

import (
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcmv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	upstreamv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	"google.golang.org/protobuf/types/known/anypb"
)

// Types of resources, by their URLs.
const (
	clusterType  = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
	endpointType = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
	listenerType = "type.googleapis.com/envoy.config.listener.v3.Listener"
	routeType    = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
)

// httpOptions is the name of the extension that tells a cluster's protocol.
const httpOptions = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"

// state is all that istiod has sent and still holds. It is used by one goroutine.
type state struct {
	compiler  compiler
	clusters  map[string]upstream
	endpoints map[string][]string // by the name of the assignment; none while it hasn't come
	routes    []string            // names that listeners refer to, sorted
	configs   map[string]*routeConfiguration
}

// upstream is a cluster without its endpoints.
type upstream struct {
	assignment string // name of its endpoints
	http2      bool
}

func newState(c *counters) *state {
	return &state{
		compiler: compiler{c},
		clusters: map[string]upstream{}, endpoints: map[string][]string{}, configs: map[string]*routeConfiguration{},
	}
}

// take takes the resources of a response over. On an error everything stays as it was.
func (s *state) take(typeURL string, resources []*anypb.Any) error {
	switch typeURL {
	case clusterType:
		return s.takeClusters(resources)
	case endpointType:
		return s.takeEndpoints(resources)
	case listenerType:
		return s.takeListeners(resources)
	case routeType:
		return s.takeRoutes(resources)
	default:
		return fmt.Errorf("resources of type %s, which nobody asked for", typeURL)
	}
}

// snapshot is what the proxy can use. As in Envoy, a new cluster is not there before its endpoints are.
func (s *state) snapshot() *Snapshot {
	clusters := map[string]*Cluster{}
	for name, c := range s.clusters {
		if endpoints, known := s.endpoints[c.assignment]; known {
			clusters[name] = &Cluster{Name: name, Endpoints: endpoints, http2: c.http2}
		}
	}
	return &Snapshot{clusters: clusters, configs: maps.Clone(s.configs)}
}

// assignments are the names of the endpoints that are wanted, sorted.
func (s *state) assignments() []string {
	wanted := map[string]bool{}
	for _, c := range s.clusters {
		wanted[c.assignment] = true
	}
	return slices.Sorted(maps.Keys(wanted))
}

// takeClusters replaces all clusters: a response holds every one. Those whose endpoints don't come from
// istiod are of no use here, such as the one of whatever isn't in the mesh.
func (s *state) takeClusters(resources []*anypb.Any) error {
	clusters := map[string]upstream{}
	for _, resource := range resources {
		in := &clusterv3.Cluster{}
		if err := resource.UnmarshalTo(in); err != nil {
			return fmt.Errorf("a cluster: %w", err)
		}
		if in.GetType() != clusterv3.Cluster_EDS {
			continue
		}
		http2, err := speaksHTTP2(in)
		if err != nil {
			return fmt.Errorf("cluster %s: %w", in.GetName(), err)
		}
		out := upstream{assignment: in.GetEdsClusterConfig().GetServiceName(), http2: http2}
		if out.assignment == "" {
			out.assignment = in.GetName()
		}
		clusters[in.GetName()] = out
	}
	s.clusters = clusters
	wanted := s.assignments()
	maps.DeleteFunc(s.endpoints, func(name string, _ []string) bool { return !slices.Contains(wanted, name) })
	return nil
}

func speaksHTTP2(in *clusterv3.Cluster) (bool, error) {
	config := in.GetTypedExtensionProtocolOptions()[httpOptions]
	if config == nil {
		return false, nil
	}
	options := &upstreamv3.HttpProtocolOptions{}
	if err := config.UnmarshalTo(options); err != nil {
		return false, fmt.Errorf("its protocol: %w", err)
	}
	return options.GetExplicitHttpConfig().GetHttp2ProtocolOptions() != nil, nil
}

// takeEndpoints adds or replaces those that are in the response; the others stay.
func (s *state) takeEndpoints(resources []*anypb.Any) error {
	taken := map[string][]string{}
	for _, resource := range resources {
		in := &endpointv3.ClusterLoadAssignment{}
		if err := resource.UnmarshalTo(in); err != nil {
			return fmt.Errorf("endpoints: %w", err)
		}
		addresses, err := healthy(in)
		if err != nil {
			return fmt.Errorf("endpoints of %s: %w", in.GetClusterName(), err)
		}
		taken[in.GetClusterName()] = addresses
	}
	maps.Copy(s.endpoints, taken)
	return nil
}

// healthy are the addresses of the endpoints that are, of the first priority that has any.
func healthy(in *endpointv3.ClusterLoadAssignment) ([]string, error) {
	byPriority := map[uint32][]string{}
	for _, locality := range in.GetEndpoints() {
		for _, e := range locality.GetLbEndpoints() {
			if h := e.GetHealthStatus(); h != corev3.HealthStatus_HEALTHY && h != corev3.HealthStatus_UNKNOWN {
				continue
			}
			address := e.GetEndpoint().GetAddress().GetSocketAddress()
			if address == nil {
				return nil, fmt.Errorf("an address that is no socket's: %v", e.GetEndpoint().GetAddress())
			}
			port := strconv.FormatUint(uint64(address.GetPortValue()), 10)
			byPriority[locality.GetPriority()] = append(byPriority[locality.GetPriority()], net.JoinHostPort(address.GetAddress(), port))
		}
	}
	if len(byPriority) == 0 {
		return nil, nil
	}
	first := byPriority[slices.Min(slices.Collect(maps.Keys(byPriority)))]
	slices.Sort(first)
	return first, nil
}

// takeListeners replaces all listeners: a response holds every one. Of these the proxy only wants to know
// which route configurations there are; where it listens is the test's decision.
func (s *state) takeListeners(resources []*anypb.Any) error {
	named := map[string]bool{}
	for _, resource := range resources {
		in := &listenerv3.Listener{}
		if err := resource.UnmarshalTo(in); err != nil {
			return fmt.Errorf("a listener: %w", err)
		}
		chains := append([]*listenerv3.FilterChain{in.GetDefaultFilterChain()}, in.GetFilterChains()...)
		for _, chain := range chains {
			for _, filter := range chain.GetFilters() {
				manager := &hcmv3.HttpConnectionManager{}
				if !filter.GetTypedConfig().MessageIs(manager) {
					continue
				}
				if err := filter.GetTypedConfig().UnmarshalTo(manager); err != nil {
					return fmt.Errorf("listener %s: %w", in.GetName(), err)
				}
				if name := manager.GetRds().GetRouteConfigName(); name != "" {
					named[name] = true
				}
			}
		}
	}
	s.routes = slices.Sorted(maps.Keys(named))
	maps.DeleteFunc(s.configs, func(name string, _ *routeConfiguration) bool { return !named[name] })
	return nil
}

// takeRoutes adds or replaces those that are in the response; the others stay.
func (s *state) takeRoutes(resources []*anypb.Any) error {
	taken := map[string]*routeConfiguration{}
	for _, resource := range resources {
		in := &routev3.RouteConfiguration{}
		if err := resource.UnmarshalTo(in); err != nil {
			return fmt.Errorf("a route configuration: %w", err)
		}
		out, err := s.compiler.routeConfiguration(in)
		if err != nil {
			return fmt.Errorf("route configuration %s: %w", in.GetName(), err)
		}
		taken[in.GetName()] = out
	}
	maps.Copy(s.configs, taken)
	return nil
}
