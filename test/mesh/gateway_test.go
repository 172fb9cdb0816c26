package mesh

import (
	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"iter8.tools/operator/test/env"
	"iter8.tools/operator/test/mesh/proxy"
)

// gateway deploys a Gateway of istiod's class by hand, with the test proxy as its data plane on the Pod's own
// address, which it returns with the port that the Gateway listens on.
func (s *scene) gateway() (p *proxy.Proxy, address string) {
	s.Helper()
	labels := map[string]string{"gateway": "manual"} // without app, so that no other server takes the address
	s.create(env.Service(s.namespace, "gateway", labels), env.Deployment(s.namespace, "gateway", labels))
	hostname := gatewayv1.HostnameAddressType
	gateway := &gatewayv1.Gateway{
		ObjectMeta: metav1.ObjectMeta{Name: "gateway"},
		Spec: gatewayv1.GatewaySpec{
			GatewayClassName: "istio",
			Addresses:        []gatewayv1.GatewaySpecAddress{{Type: &hostname, Value: "gateway." + s.namespace + ".svc.cluster.local"}},
			Listeners:        []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}},
		},
	}
	s.create(gateway)
	var pods corev1.PodList
	s.Eventually(func() (string, error) {
		err := k8s.List(s.Context(), &pods, client.InNamespace(s.namespace), client.MatchingLabels(labels))
		if err != nil || len(pods.Items) != 1 {
			return "", err
		}
		return pods.Items[0].Status.PodIP, nil
	}).ShouldNot(gomega.BeEmpty())
	pod := pods.Items[0]
	return s.proxy(proxy.Node{Gateway: true, Namespace: s.namespace, Pod: pod.Name, IP: pod.Status.PodIP, Labels: pod.Labels}), pod.Status.PodIP + ":80"
}
