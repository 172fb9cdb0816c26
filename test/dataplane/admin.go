package dataplane

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dump is what of Envoy's /config_dump is of interest: envoy.admin.v3.ConfigDump.
type dump struct {
	Configs []struct {
		RouteConfig struct {
			Name         string
			VirtualHosts []virtualHost `json:"virtual_hosts"`
		} `json:"route_config"`
		LastUpdated time.Time `json:"last_updated"`
	}
}

// virtualHost is envoy.config.route.v3.VirtualHost.
type virtualHost struct {
	Domains []string
	Routes  []struct {
		Match map[string]any
		Route struct {
			Cluster          string
			WeightedClusters struct{ Clusters []weighted } `json:"weighted_clusters"`
			Mirrors          []struct {
				Cluster         string
				RuntimeFraction struct {
					DefaultValue *fraction `json:"default_value"`
				} `json:"runtime_fraction"`
			} `json:"request_mirror_policies"`
		}
		DirectResponse struct{ Status int } `json:"direct_response"`
	}
}

type weighted struct {
	Name   string
	Weight float64
}

// fraction is envoy.type.v3.FractionalPercent.
type fraction struct {
	Numerator   float64
	Denominator string
}

func (f *fraction) percent() float64 {
	switch {
	case f == nil:
		return 100
	case f.Denominator == "TEN_THOUSAND":
		return f.Numerator / 100
	case f.Denominator == "MILLION":
		return f.Numerator / 10_000
	default:
		return f.Numerator
	}
}

// Routing returns what the Envoy does with the requests to a host (with or without a port), by its configuration.
func (v *Envoy) Routing(ctx context.Context, host string) (Routing, error) {
	var configured dump
	if err := v.get(ctx, "/config_dump?resource=dynamic_route_configs", &configured); err != nil {
		return Routing{}, err
	}
	clusters, err := v.Clusters(ctx)
	if err != nil {
		return Routing{}, err
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	target := func(name string, percent float64) Target {
		return Target{Cluster: name, Endpoints: clusters[name].Endpoints(), Percent: percent}
	}
	for _, config := range configured.Configs {
		for _, virtual := range config.RouteConfig.VirtualHosts {
			if !slices.Contains(virtual.Domains, host) {
				continue
			}
			routing := Routing{Updated: config.LastUpdated}
			for _, r := range virtual.Routes {
				route := Route{Match: requests(r.Match), Status: r.DirectResponse.Status}
				if r.Route.Cluster != "" {
					route.To = append(route.To, target(r.Route.Cluster, 100))
				}
				total := 0.0
				for _, w := range r.Route.WeightedClusters.Clusters {
					total += w.Weight
				}
				for _, w := range r.Route.WeightedClusters.Clusters {
					route.To = append(route.To, target(w.Name, 100*w.Weight/max(total, 1)))
				}
				for _, m := range r.Route.Mirrors {
					route.Mirrors = append(route.Mirrors, target(m.Cluster, m.RuntimeFraction.DefaultValue.percent()))
				}
				routing.Routes = append(routing.Routes, route)
			}
			return routing, nil
		}
	}
	return Routing{}, nil
}

// Cluster is what an Envoy knows of a cluster.
type Cluster struct {
	Hosts []struct {
		Address struct {
			Socket struct{ Address string } `json:"socket_address"`
		}
		Stats []struct {
			Name  string
			Value count
		}
	} `json:"host_statuses"`
}

// count is a counter in Envoy's JSON: a number, or a string of one.
type count int

// UnmarshalJSON reads either.
func (c *count) UnmarshalJSON(data []byte) error {
	n, err := strconv.Atoi(strings.Trim(string(data), `"`))
	*c = count(n)
	return err
}

// Endpoints are the IP addresses of the cluster's endpoints, sorted.
func (c Cluster) Endpoints() []string {
	var addresses []string
	for _, h := range c.Hosts {
		addresses = append(addresses, h.Address.Socket.Address)
	}
	slices.Sort(addresses)
	return addresses
}

// Total is a counter of the cluster's endpoints, such as rq_total, rq_error or cx_connect_fail, over all that are there now.
func (c Cluster) Total(counter string) int {
	total := 0
	for _, h := range c.Hosts {
		for _, s := range h.Stats {
			if s.Name == counter {
				total += int(s.Value)
			}
		}
	}
	return total
}

// Clusters are the Envoy's, by their names.
func (v *Envoy) Clusters(ctx context.Context) (map[string]Cluster, error) {
	var answer struct {
		Statuses []struct {
			Name string
			Cluster
		} `json:"cluster_statuses"`
	}
	if err := v.get(ctx, "/clusters?format=json", &answer); err != nil {
		return nil, err
	}
	clusters := make(map[string]Cluster, len(answer.Statuses))
	for _, s := range answer.Statuses {
		clusters[s.Name] = s.Cluster
	}
	return clusters, nil
}

// Stats are the counters and gauges whose names match the regular expression, and that have been used.
func (v *Envoy) Stats(ctx context.Context, filter string) (map[string]int, error) {
	var answer struct {
		Stats []struct {
			Name  string
			Value *count
		}
	}
	if err := v.get(ctx, "/stats?format=json&usedonly&filter="+url.QueryEscape(filter), &answer); err != nil {
		return nil, err
	}
	stats := map[string]int{}
	for _, s := range answer.Stats {
		if s.Value != nil { // histograms have none
			stats[s.Name] = int(*s.Value)
		}
	}
	return stats, nil
}

// get asks the admin interface.
func (v *Envoy) get(ctx context.Context, path string, answer any) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+v.admin+path, http.NoBody)
	if err != nil {
		return fmt.Errorf("asking Envoy for %s: %w", path, err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("asking Envoy for %s: %w", path, err)
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	if response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(response.Body)
		return fmt.Errorf("asking Envoy for %s: %s: %s", path, response.Status, text)
	}
	if err := json.NewDecoder(response.Body).Decode(answer); err != nil {
		return fmt.Errorf("asking Envoy for %s: %w", path, err)
	}
	return nil
}

// Descriptors is how many the process has open.
func (v *Envoy) Descriptors() (int, error) {
	open, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", v.PID()))
	return len(open), err
}

// ResidentKiB is how much memory the process takes.
func (v *Envoy) ResidentKiB() (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", v.PID()))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == "VmRSS:" {
			return strconv.Atoi(fields[1])
		}
	}
	return 0, fmt.Errorf("the kernel doesn't say how much memory process %d takes", v.PID())
}
