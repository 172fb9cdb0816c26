package traffic

import (
	"context"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"iter8.tools/operator/test/dataplane"
	"iter8.tools/operator/test/env"
)

// plane is a data plane that brings the requests of clients to httpbin.
type plane struct {
	name string
	// parent of the routes in a namespace, as values of the chart mirror.
	parent func(namespace string) string
	// host that clients call.
	host func(namespace string) string
	// envoy that serves a scene.
	envoy func(s *scene) *dataplane.Envoy
	// restart kills what configures the Envoy, and has another one take its place.
	restart func(context.Context) error
	// needsService says that a route which mirrors to a Service that is not there answers its clients with 500.
	needsService bool
	// notFound is how the controller says that a Service isn't there.
	notFound func(namespace, service string) string
	// limitsCopies says that there are no more than 1,024 connections to a mirror at a time.
	limitsCopies bool
	// sharesEnvoy says that one Envoy serves all scenes.
	sharesEnvoy bool
	// losesMirrorsOfCalls says that a GRPCRoute which mirrors to a Service that no HTTPRoute names answers its clients with 500.
	losesMirrorsOfCalls bool
	// class is the GatewayClass of a gateway.
	class string
}

var sidecar = plane{
	name:     "sidecar under istiod",
	parent:   func(string) string { return `parentRefs: [{group: "", kind: Service, name: httpbin, port: 8000}]` },
	host:     func(string) string { return "httpbin:8000" },
	envoy:    func(s *scene) *dataplane.Envoy { return s.sidecar(8000) },
	restart:  restartIstiod,
	notFound: istiodFindsNot,
}

var istioGateway = plane{
	name: "gateway under istiod",
	parent: func(string) string {
		return "parentRefs: [{name: gateway}]\nhostnames: [httpbin.example]"
	},
	host:     func(string) string { return "httpbin.example" },
	envoy:    (*scene).gateway,
	class:    "istio",
	restart:  restartIstiod,
	notFound: istiodFindsNot,
}

var egGateway = plane{
	name: "Envoy Gateway",
	parent: func(namespace string) string {
		return "parentRefs: [{name: " + dataplane.GatewayName + ", namespace: " + dataplane.GatewayNamespace + "}]\nhostnames: [" + namespace + ".example]"
	},
	host:                func(namespace string) string { return namespace + ".example" },
	envoy:               func(*scene) *dataplane.Envoy { return envoyGateway.Envoy },
	needsService:        true,
	limitsCopies:        true,
	sharesEnvoy:         true,
	notFound:            func(namespace, service string) string { return "service " + namespace + "/" + service + " not found" },
	losesMirrorsOfCalls: true,
	restart:             func(ctx context.Context) error { return envoyGateway.RestartController(ctx) },
	class:               dataplane.EnvoyGatewayClass,
}

func istiodFindsNot(namespace, service string) string {
	return "backend(" + service + "." + namespace + ".svc.cluster.local) not found"
}

func restartIstiod(ctx context.Context) error { return istiod.Restart(ctx) }

var planes = []plane{sidecar, istioGateway, egGateway}

// onEachPlane runs a test once for each data plane, in a scene of its own.
func onEachPlane(t *testing.T, test func(s *scene)) {
	for _, p := range planes {
		t.Run(p.name, func(t *testing.T) { test(newScene(t, p)) })
	}
}

// sidecar starts the Envoy of clients in the scene's namespace, which call a port of Services.
func (s *scene) sidecar(port int) *dataplane.Envoy {
	s.Helper()
	v, err := dataplane.StartSidecar(s.Context(), cluster, istiod, s.namespace, port)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Cleanup(func() { v.Kill() }) // the one that is there then
	return v
}

// gatewayPort is where a Gateway's Pods listen: other Pods have servers on ports 80 and 9080, and Envoy Gateway has one on 8080.
const gatewayPort = 8088

// gateway deploys a Gateway of istiod's class by hand, with an Envoy in its Pod.
func (s *scene) gateway() *dataplane.Envoy {
	s.Helper()
	labels := map[string]string{"gateway": "manual"} // without app, so that no other server takes the address
	service := env.Service(s.namespace, "gateway", labels)
	service.Spec.Ports[0].TargetPort = intstr.FromInt32(gatewayPort)
	s.create(service, env.Deployment(s.namespace, "gateway", labels))
	hostname := gatewayv1.HostnameAddressType
	s.create(&gatewayv1.Gateway{
		ObjectMeta: metav1.ObjectMeta{Name: "gateway"},
		Spec: gatewayv1.GatewaySpec{
			GatewayClassName: "istio",
			Addresses:        []gatewayv1.GatewaySpecAddress{{Type: &hostname, Value: "gateway." + s.namespace + ".svc.cluster.local"}},
			Listeners:        []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}},
		},
	})
	var list corev1.PodList
	s.Eventually(func() (string, error) {
		err := k8s.List(s.Context(), &list, client.InNamespace(s.namespace), client.MatchingLabels(labels))
		if err != nil || len(list.Items) != 1 {
			return "", err
		}
		return list.Items[0].Status.PodIP, nil
	}).ShouldNot(gomega.BeEmpty())
	pod := list.Items[0]
	v, err := dataplane.StartGateway(s.Context(), cluster, istiod, dataplane.Pod{
		Namespace: s.namespace, Name: pod.Name, IP: pod.Status.PodIP, Labels: pod.Labels,
	}, gatewayPort)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Cleanup(func() { v.Kill() }) // the one that is there then
	return v
}
