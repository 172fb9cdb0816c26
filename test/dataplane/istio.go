package dataplane

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"

	"iter8.tools/operator/test/env"
)

// istioVersion is the release that proxies claim to be of: istiod's own.
const istioVersion = "1.31.0"

// Names of types in Envoy's API.
const (
	typeOfHTTPConnectionManager = "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager"
	typeOfHTTPProtocolOptions   = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
	typeOfRouter                = "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"
)

// message is one of Envoy's, in JSON.
type message map[string]any

// Pod is what a proxy of Istio's says of the Pod that it is in.
type Pod struct {
	Namespace, Name, IP string
	Labels              map[string]string
}

// StartSidecar starts the Envoy in a client's Pod, which takes from istiod all but one thing: clients reach it on a listener
// of its own, since no packets are redirected here. The listener serves the route configuration by which a sidecar would
// route requests to that port of Services.
func StartSidecar(ctx context.Context, e *env.Environment, istiod *env.Istiod, namespace string, port int) (*Envoy, error) {
	address, err := e.ReserveAddress()
	if err != nil {
		return nil, err
	}
	pod := Pod{Namespace: namespace, Name: "client", IP: ClientAddress}
	v, err := startUnderIstiod(ctx, e, istiod.XDSAddress, "sidecar", pod, []message{listener(address, strconv.Itoa(port))})
	if err != nil {
		return nil, err
	}
	v.Address = address
	return v, nil
}

// StartGateway starts the Envoy of a Gateway under istiod, in the Pod that the Gateway's Service selects. All of its
// configuration is istiod's, listeners included; clients are expected on the port of the Pod.
func StartGateway(ctx context.Context, e *env.Environment, istiod *env.Istiod, pod Pod, port int) (*Envoy, error) {
	v, err := startUnderIstiod(ctx, e, istiod.XDSAddress, "router", pod, nil)
	if err != nil {
		return nil, err
	}
	v.Address = net.JoinHostPort(pod.IP, strconv.Itoa(port))
	return v, nil
}

func startUnderIstiod(ctx context.Context, e *env.Environment, xds, kind string, pod Pod, listeners []message) (*Envoy, error) {
	file, err := os.CreateTemp(e.Dir(), "bootstrap-*.json")
	if err != nil {
		return nil, fmt.Errorf("writing a bootstrap configuration of Envoy: %w", err)
	}
	defer file.Close() //nolint:errcheck // Encode tells of what went wrong
	if err := json.NewEncoder(file).Encode(bootstrap(xds, kind, pod, listeners)); err != nil {
		return nil, fmt.Errorf("writing a bootstrap configuration of Envoy: %w", err)
	}
	return startEnvoy(ctx, e, "envoy-"+kind, "", "--config-path", filepath.Clean(file.Name()),
		"--concurrency", "1", "--log-level", "warning", "--drain-time-s", "1")
}

// bootstrap is the configuration that an Envoy under istiod starts with: https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1
// has what istiod reads in the node's metadata.
func bootstrap(xds, kind string, pod Pod, listeners []message) message {
	ads := message{"ads": message{}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
	dynamic := message{
		"ads_config": message{
			"api_type": "GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": true,
			"grpc_services": []message{{"envoy_grpc": message{"cluster_name": "xds-grpc"}}},
		},
		"cds_config": ads,
	}
	if len(listeners) == 0 {
		dynamic["lds_config"] = ads
	}
	http2 := message{"@type": typeOfHTTPProtocolOptions, "explicit_http_config": message{"http2_protocol_options": message{}}}
	return message{
		"node": message{
			"id":      fmt.Sprintf("%s~%s~%s.%s~%s.svc.cluster.local", kind, pod.IP, pod.Name, pod.Namespace, pod.Namespace),
			"cluster": pod.Name + "." + pod.Namespace,
			"metadata": message{
				"NAME": pod.Name, "NAMESPACE": pod.Namespace, "INSTANCE_IPS": pod.IP, "LABELS": pod.Labels,
				"CLUSTER_ID": "Kubernetes", "MESH_ID": "cluster.local", "ISTIO_VERSION": istioVersion,
			},
		},
		"admin":             message{"address": socketAddress("127.0.0.1:0")},
		"dynamic_resources": dynamic,
		"static_resources": message{
			"listeners": listeners,
			"clusters": []message{{
				"name": "xds-grpc", "type": "STATIC", "connect_timeout": "1s",
				"load_assignment": message{"cluster_name": "xds-grpc", "endpoints": []message{
					{"lb_endpoints": []message{{"endpoint": message{"address": socketAddress(xds)}}}},
				}},
				"typed_extension_protocol_options": message{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
			}},
		},
	}
}

// listener takes HTTP/1.1 and h2c on an address, and routes by a route configuration of the control plane's.
func listener(address, routes string) message {
	manager := message{
		"@type": typeOfHTTPConnectionManager, "stat_prefix": "clients", "codec_type": "AUTO", "normalize_path": true,
		"rds": message{
			"route_config_name": routes,
			"config_source":     message{"ads": message{}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"},
		},
		"http_filters": []message{{"name": "envoy.filters.http.router", "typed_config": message{"@type": typeOfRouter}}},
	}
	return message{
		"name": "clients", "address": socketAddress(address),
		"filter_chains": []message{{"filters": []message{{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}}}},
	}
}

func socketAddress(address string) message {
	parsed := netip.MustParseAddrPort(address)
	return message{"socket_address": message{"address": parsed.Addr().String(), "port_value": parsed.Port()}}
}
