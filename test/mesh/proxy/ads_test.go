package proxy

import (
	"fmt"
	"net"
	"testing"

	clusterv3 "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	endpointv3 "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	listenerv3 "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	discoveryv3 "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	. "github.com/onsi/gomega"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/anypb"
)

// controlPlane stands in for istiod: what the proxy says comes out of said, and answers go in at answer.
type controlPlane struct {
	discoveryv3.UnimplementedAggregatedDiscoveryServiceServer
	said   chan *discoveryv3.DiscoveryRequest
	answer chan *discoveryv3.DiscoveryResponse // nil ends the stream
}

func (c *controlPlane) StreamAggregatedResources(stream discoveryv3.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	go func() {
		for {
			request, err := stream.Recv()
			if err != nil {
				return
			}
			c.said <- request
		}
	}()
	for {
		select {
		case response := <-c.answer:
			if response == nil {
				return nil
			}
			if err := stream.Send(response); err != nil {
				return err
			}
		case <-stream.Context().Done():
			return nil
		}
	}
}

func startControlPlane(t *testing.T) (c *controlPlane, address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c = &controlPlane{said: make(chan *discoveryv3.DiscoveryRequest, 100), answer: make(chan *discoveryv3.DiscoveryResponse)}
	server := grpc.NewServer()
	discoveryv3.RegisterAggregatedDiscoveryServiceServer(server, c)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return c, listener.Addr().String()
}

// next describes what the proxy says next.
func (c *controlPlane) next() string {
	r := <-c.said
	short := map[string]string{clusterType: "CDS", endpointType: "EDS", listenerType: "LDS", routeType: "RDS"}[r.GetTypeUrl()]
	said := fmt.Sprintf("%s %q version %q nonce %q", short, r.GetResourceNames(), r.GetVersionInfo(), r.GetResponseNonce())
	if detail := r.GetErrorDetail(); detail != nil {
		said += " refused: " + detail.GetMessage()
	}
	return said
}

func (c *controlPlane) send(typeURL, version string, resources []*anypb.Any) {
	c.answer <- &discoveryv3.DiscoveryResponse{TypeUrl: typeURL, VersionInfo: version, Nonce: "n" + version, Resources: resources}
}

func TestTheProxyFollowsItsControlPlane(t *testing.T) {
	g := NewWithT(t)
	istiod, address := startControlPlane(t)
	p, err := Start(Options{XDSAddress: address, Node: Node{Gateway: true, Namespace: "ns", Pod: "gw", IP: "10.0.0.1", Labels: map[string]string{"app": "gw"}}})
	g.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { g.Expect(p.Close()).To(Succeed()) })

	first := <-istiod.said
	g.Expect(first.GetNode().GetId()).To(Equal("router~10.0.0.1~gw.ns~ns.svc.cluster.local"))
	g.Expect(first.GetNode().GetMetadata().AsMap()).To(HaveKeyWithValue("LABELS", map[string]any{"app": "gw"}))
	g.Expect(first.GetTypeUrl()).To(Equal(clusterType))
	g.Expect(istiod.next()).To(Equal(`LDS [] version "" nonce ""`))

	istiod.send(clusterType, "1", pack(t, edsCluster(t, "b", `, "eds_cluster_config": {"service_name": "other"}`), edsCluster(t, "a", ""), parse(t, `{"name": "static"}`, &clusterv3.Cluster{})))
	g.Expect(istiod.next()).To(Equal(`CDS [] version "1" nonce "n1"`))
	g.Expect(istiod.next()).To(Equal(`EDS ["a" "other"] version "" nonce ""`))
	g.Expect(p.Snapshot().ClusterNames()).To(BeEmpty(), "without their endpoints they aren't used")

	istiod.send(endpointType, "2", pack(t, assignment(t, "a", "10.0.0.2:80"), assignment(t, "other", "10.0.0.4:80", "10.0.0.3:80")))
	g.Expect(istiod.next()).To(Equal(`EDS ["a" "other"] version "2" nonce "n2"`))
	g.Expect(p.Snapshot().ClusterNames()).To(Equal([]string{"a", "b"}))
	g.Expect(p.Snapshot().Cluster("b").Endpoints).To(Equal([]string{"10.0.0.3:80", "10.0.0.4:80"}))

	istiod.send(listenerType, "3", pack(t, parse(t, listener80, &listenerv3.Listener{})))
	g.Expect(istiod.next()).To(Equal(`LDS [] version "3" nonce "n3"`))
	g.Expect(istiod.next()).To(Equal(`RDS ["80"] version "" nonce ""`))

	istiod.send(routeType, "4", pack(t, routes80(t, `{"match": {"prefix": "/"}, "route": {"cluster": "a"}}`)))
	g.Expect(istiod.next()).To(Equal(`RDS ["80"] version "4" nonce "n4"`))
	g.Expect(p.Snapshot().Route("80", ask("GET /")).Clusters[0].Name).To(Equal("a"))

	istiod.send(routeType, "5", pack(t, routes80(t, `{"name": "r", "match": {"prefix": "/"}, "route": {"cluster_header": "b"}}`)))
	g.Expect(istiod.next()).To(HavePrefix(`RDS ["80"] version "4" nonce "n5" refused: route configuration 80: virtual host any: route "r": `))
	g.Expect(p.Refusals()).To(HaveLen(1))
	g.Expect(p.Snapshot().Route("80", ask("GET /")).Clusters[0].Name).To(Equal("a"), "what was there stays")

	istiod.send(endpointType, "6", pack(t, assignment(t, "a")))
	g.Expect(istiod.next()).To(Equal(`EDS ["a" "other"] version "6" nonce "n6"`))
	g.Expect(p.Wait(t.Context(), func(s *Snapshot) bool {
		return len(s.Cluster("a").Endpoints) == 0 && len(s.Cluster("b").Endpoints) == 2
	})).To(Succeed())

	istiod.answer <- nil
	g.Expect(istiod.next()).To(Equal(`CDS [] version "1" nonce ""`), "on a new stream")
	g.Expect(istiod.next()).To(Equal(`LDS [] version "3" nonce ""`))
	istiod.send(clusterType, "7", pack(t, edsCluster(t, "a", "")))
	g.Expect(istiod.next()).To(Equal(`CDS [] version "7" nonce "n7"`))
	g.Expect(istiod.next()).To(Equal(`EDS ["a"] version "6" nonce ""`))
	g.Expect(p.Snapshot().ClusterNames()).To(Equal([]string{"a"}))
}

func TestEndpointsThatAreNotHealthyGetNothing(t *testing.T) {
	g := NewWithT(t)
	s := newState(newCounters())
	g.Expect(s.take(endpointType, pack(t, parse(t, `{"cluster_name": "a", "endpoints": [
		{"lb_endpoints": [{"health_status": "UNHEALTHY", "endpoint": {"address": {"socket_address": {"address": "10.0.0.1", "port_value": 80}}}}]},
		{"priority": 2, "lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "10.0.0.2", "port_value": 80}}}}]},
		{"priority": 1, "lb_endpoints": [
			{"health_status": "DRAINING", "endpoint": {"address": {"socket_address": {"address": "10.0.0.3", "port_value": 80}}}},
			{"health_status": "HEALTHY", "endpoint": {"address": {"socket_address": {"address": "10.0.0.4", "port_value": 80}}}}]}]}`,
		&endpointv3.ClusterLoadAssignment{})))).To(Succeed())
	g.Expect(s.endpoints["a"]).To(Equal([]string{"10.0.0.4:80"}))
}
