package proxy

import (
	"fmt"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	"google.golang.org/protobuf/types/known/structpb"
)

// istioVersion is the release that the proxy claims to be of: istiod's own.
const istioVersion = "1.31.0"

// Node is what a proxy tells istiod of itself.
type Node struct {
	// Gateway makes it a gateway (a "router"). Otherwise it is a sidecar, whose clients are in its Pod.
	Gateway bool
	// Namespace, Pod and IP of the Pod that the proxy stands for. The Services of a gateway select it.
	Namespace, Pod, IP string
	// Labels of the Pod.
	Labels map[string]string
}

// proto is the node as istiod reads it: https://istio.io/latest/docs/reference/config/istio.mesh.v1alpha1.
func (n Node) proto() *corev3.Node {
	kind := "sidecar"
	if n.Gateway {
		kind = "router"
	}
	text := structpb.NewStringValue
	labels := &structpb.Struct{Fields: map[string]*structpb.Value{}}
	for name, value := range n.Labels {
		labels.Fields[name] = text(value)
	}
	return &corev3.Node{
		Id: fmt.Sprintf("%s~%s~%s.%s~%s.svc.cluster.local", kind, n.IP, n.Pod, n.Namespace, n.Namespace),
		Metadata: &structpb.Struct{Fields: map[string]*structpb.Value{
			"NAME":          text(n.Pod),
			"NAMESPACE":     text(n.Namespace),
			"CLUSTER_ID":    text("Kubernetes"),
			"MESH_ID":       text("cluster.local"),
			"ISTIO_VERSION": text(istioVersion),
			"INSTANCE_IPS":  text(n.IP),
			"LABELS":        structpb.NewStructValue(labels),
		}},
	}
}
