package dataplane

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Routing is what an Envoy does with the requests to a host.
type Routing struct {
	Routes []Route
	// Updated is when the Envoy took over the configuration.
	Updated time.Time
}

// Route is what an Envoy does with those requests that match it.
type Route struct {
	// Match describes which these are; "" means all of them.
	Match string
	// Status is what they are answered with at once; 0 means that they are sent on.
	Status  int
	To      []Target
	Mirrors []Target
}

// Target is a cluster that requests or copies are sent to.
type Target struct {
	Cluster string
	// Endpoints are the IP addresses of the cluster's endpoints, sorted; none where it has none, or Envoy doesn't know the
	// cluster (yet).
	Endpoints []string
	// Percent of the requests that match.
	Percent float64
}

// requests puts a RouteMatch in words: "GET end-user=tester /prefix".
func requests(match map[string]any) string {
	var words []string
	headers, _ := match["headers"].([]any)
	for _, h := range headers {
		header, _ := h.(map[string]any)
		value := header["string_match"] // by its kind: exact, prefix, …
		for {
			inner, ok := value.(map[string]any)
			if !ok {
				break
			}
			value = nil
			for _, kind := range []string{"exact", "safe_regex", "regex", "prefix"} {
				if v, ok := inner[kind]; ok {
					value = v
				}
			}
		}
		if name := header["name"]; name == ":method" {
			words = append(words, fmt.Sprint(value))
		} else {
			words = append(words, fmt.Sprintf("%v=%v", name, value))
		}
	}
	for _, kind := range []string{"prefix", "path_separated_prefix", "path"} {
		if path, ok := match[kind].(string); ok && (kind != "prefix" || path != "/") {
			words = append(words, path)
		}
	}
	return strings.Join(words, " ")
}

// Describe puts in words what an Envoy does with requests: "httpbin-v1, copies to httpbin-v2 (50%)", by the workloads of the
// clusters' endpoints; where it is not the same for all requests, "GET: …; …".
func (p *Pods) Describe(routing Routing) string {
	if len(routing.Routes) == 0 {
		return "no route"
	}
	type described struct{ matches, does string }
	var all []described
	for _, route := range routing.Routes {
		next := described{route.Match, p.describe(route)}
		if last := len(all) - 1; last >= 0 && all[last].does == next.does && all[last].matches != "" && next.matches != "" {
			all[last].matches += ", " + next.matches
			continue
		}
		all = append(all, next)
	}
	parts := make([]string, len(all))
	for i, d := range all {
		if parts[i] = d.does; d.matches != "" {
			parts[i] = d.matches + ": " + d.does
		}
	}
	return strings.Join(parts, "; ")
}

func (p *Pods) describe(route Route) string {
	if route.Status != 0 {
		return strconv.Itoa(route.Status)
	}
	var parts []string
	for _, to := range route.To {
		if to.Percent > 0 {
			parts = append(parts, p.Behind(to.Endpoints))
		}
	}
	for _, m := range route.Mirrors {
		parts = append(parts, fmt.Sprintf("copies to %s (%g%%)", p.Behind(m.Endpoints), m.Percent))
	}
	return strings.Join(parts, ", ")
}

// Behind names the workloads of the Pods that have these addresses: "httpbin-v1+httpbin-v2".
func (p *Pods) Behind(ips []string) string {
	var names []string
	for _, ip := range ips {
		names = append(names, p.At(ip))
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return "no endpoint"
	}
	return strings.Join(names, "+")
}
