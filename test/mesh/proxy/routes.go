package proxy

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
)

// compiler makes route configurations of what istiod sends. What it can't read is an error, never left out.
type compiler struct{ counters *counters }

func (c compiler) routeConfiguration(in *routev3.RouteConfiguration) (*routeConfiguration, error) {
	if len(in.GetRequestMirrorPolicies()) > 0 || in.GetVhds() != nil {
		return nil, errors.New("mirror policies or VHDS of a whole route configuration")
	}
	out := &routeConfiguration{ignorePort: in.GetIgnorePortInHostMatching(), exact: map[string]*virtualHost{}}
	outer, err := newEdits(in)
	if err != nil {
		return nil, err
	}
	for _, vh := range in.GetVirtualHosts() {
		host, err := c.virtualHost(vh, outer)
		if err != nil {
			return nil, fmt.Errorf("virtual host %s: %w", vh.GetName(), err)
		}
		for _, domain := range vh.GetDomains() {
			out.add(strings.ToLower(domain), host)
		}
	}
	longest := func(a, b wildcard) int { return cmp.Compare(len(b.text), len(a.text)) }
	slices.SortStableFunc(out.suffixes, longest)
	slices.SortStableFunc(out.prefixes, longest)
	return out, nil
}

func (c *routeConfiguration) add(domain string, host *virtualHost) {
	if domain == "*" {
		c.any = host
	} else if text, ok := strings.CutPrefix(domain, "*"); ok {
		c.suffixes = append(c.suffixes, wildcard{text, host})
	} else if text, ok := strings.CutSuffix(domain, "*"); ok {
		c.prefixes = append(c.prefixes, wildcard{text, host})
	} else {
		c.exact[domain] = host
	}
}

func (c compiler) virtualHost(in *routev3.VirtualHost, outer edits) (*virtualHost, error) {
	if in.GetMatcher() != nil || in.GetRequireTls() != routev3.VirtualHost_NONE || len(in.GetRequestMirrorPolicies()) > 0 {
		return nil, errors.New("a matcher, required TLS or mirror policies of a whole virtual host")
	}
	own, err := newEdits(in)
	if err != nil {
		return nil, err
	}
	out := &virtualHost{}
	for _, r := range in.GetRoutes() {
		route, err := c.route(r, own.then(outer))
		if err != nil {
			return nil, fmt.Errorf("route %q: %w", r.GetName(), err)
		}
		out.routes = append(out.routes, route)
	}
	return out, nil
}

func (c compiler) route(in *routev3.Route, outer edits) (*Route, error) {
	matches, err := routeMatch(in.GetMatch())
	if err != nil {
		return nil, err
	}
	own, err := newEdits(in)
	if err != nil {
		return nil, err
	}
	own = own.then(outer)
	out := &Route{Name: in.GetName(), matches: matches, request: own.request, response: own.response}
	switch action := in.GetAction().(type) {
	case *routev3.Route_Route:
		err = c.forwarding(out, in.GetMatch(), action.Route)
	case *routev3.Route_DirectResponse:
		out.answer = directResponse(action.DirectResponse)
	case *routev3.Route_Redirect:
		out.answer, err = redirect(in.GetMatch(), action.Redirect)
	default:
		err = fmt.Errorf("an action of type %T", action)
	}
	return out, err
}

// noClusterStatus are HTTP's numbers of Envoy's, for a route whose cluster isn't there.
var noClusterStatus = map[routev3.RouteAction_ClusterNotFoundResponseCode]int{
	routev3.RouteAction_SERVICE_UNAVAILABLE:   http.StatusServiceUnavailable,
	routev3.RouteAction_NOT_FOUND:             http.StatusNotFound,
	routev3.RouteAction_INTERNAL_SERVER_ERROR: http.StatusInternalServerError,
}

// forwarding compiles what is to be done with a request that goes on to a cluster.
func (c compiler) forwarding(out *Route, match *routev3.RouteMatch, in *routev3.RouteAction) error {
	if in.GetPathRewrite() != "" || in.GetPathRewritePolicy() != nil {
		return errors.New("a rewrite of the path that the test proxy doesn't know")
	}
	out.Timeout = in.GetTimeout().AsDuration()
	out.noCluster = noClusterStatus[in.GetClusterNotFoundResponseCode()]
	var err error
	if out.rewrite, err = rewrite(match, in.GetPrefixRewrite(), in.GetRegexRewrite()); err != nil {
		return err
	}
	switch by := in.GetHostRewriteSpecifier().(type) {
	case nil, *routev3.RouteAction_AutoHostRewrite: // an address has no name to take
	case *routev3.RouteAction_HostRewriteLiteral:
		out.host = by.HostRewriteLiteral
	default:
		return fmt.Errorf("a rewrite of the host by %T", by)
	}
	if out.Clusters, err = c.clusters(in); err != nil {
		return err
	}
	for _, cluster := range out.Clusters {
		out.allWeight += cluster.Weight
	}
	if out.allWeight == 0 {
		return errors.New("all clusters have weight 0")
	}
	for _, policy := range in.GetRequestMirrorPolicies() {
		mirror, err := c.mirror(policy)
		if err != nil {
			return fmt.Errorf("mirror policy to %q: %w", policy.GetCluster(), err)
		}
		out.Mirrors = append(out.Mirrors, mirror)
	}
	return nil
}

func (c compiler) clusters(in *routev3.RouteAction) ([]WeightedCluster, error) {
	switch by := in.GetClusterSpecifier().(type) {
	case *routev3.RouteAction_Cluster:
		return []WeightedCluster{{Name: by.Cluster, Weight: 1, traffic: c.counters.of(by.Cluster)}}, nil
	case *routev3.RouteAction_WeightedClusters:
		var clusters []WeightedCluster
		for _, w := range by.WeightedClusters.GetClusters() {
			own, err := newEdits(w)
			if err != nil {
				return nil, err
			}
			clusters = append(clusters, WeightedCluster{
				Name: w.GetName(), Weight: uint64(w.GetWeight().GetValue()), traffic: c.counters.of(w.GetName()),
				host: w.GetHostRewriteLiteral(), request: own.request, response: own.response,
			})
		}
		return clusters, nil
	default:
		return nil, fmt.Errorf("clusters by %T", by)
	}
}

func (c compiler) mirror(in *routev3.RouteAction_RequestMirrorPolicy) (Mirror, error) {
	if in.GetCluster() == "" || len(in.GetRequestHeadersMutations()) > 0 {
		return Mirror{}, errors.New("a cluster by header, or mutations of headers")
	}
	numerator, denominator, err := fraction(in.GetRuntimeFraction())
	return Mirror{
		Cluster: in.GetCluster(), Numerator: numerator, Denominator: denominator, traffic: c.counters.of(in.GetCluster()),
		host: in.GetHostRewriteLiteral(), suffix: !in.GetDisableShadowHostSuffixAppend(),
	}, err
}

// fraction gives numerator and denominator; all, where there is none.
func fraction(in *corev3.RuntimeFractionalPercent) (numerator, denominator uint64, err error) {
	if in == nil {
		return 1, 1, nil
	}
	numerator = uint64(in.GetDefaultValue().GetNumerator())
	switch d := in.GetDefaultValue().GetDenominator(); d {
	case typev3.FractionalPercent_HUNDRED:
		return numerator, 100, nil
	case typev3.FractionalPercent_TEN_THOUSAND:
		return numerator, 10_000, nil
	case typev3.FractionalPercent_MILLION:
		return numerator, 1_000_000, nil
	default:
		return 0, 1, fmt.Errorf("denominator %s", d)
	}
}

// edits are those of requests and of responses.
type edits struct{ request, response headerEdits }

// editing is a part of the configuration that edits headers.
type editing interface {
	GetRequestHeadersToAdd() []*corev3.HeaderValueOption
	GetRequestHeadersToRemove() []string
	GetResponseHeadersToAdd() []*corev3.HeaderValueOption
	GetResponseHeadersToRemove() []string
}

func newEdits(in editing) (edits, error) {
	request, err := newHeaderEdits(in.GetRequestHeadersToAdd(), in.GetRequestHeadersToRemove())
	if err != nil {
		return edits{}, err
	}
	response, err := newHeaderEdits(in.GetResponseHeadersToAdd(), in.GetResponseHeadersToRemove())
	return edits{request, response}, err
}

func (e edits) then(outer edits) edits {
	return edits{slices.Concat(e.request, outer.request), slices.Concat(e.response, outer.response)}
}
