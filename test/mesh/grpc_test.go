package mesh

import (
	"strconv"
	"testing"

	"github.com/onsi/gomega"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	corev1 "k8s.io/api/core/v1"
)

// greeterPolicy mirrors calls of gRPC.
const greeterPolicy = `
apiVersion: iter8.tools/v1alpha1
kind: Subject
metadata: {name: greeter}
spec:
  variants:
  - name: v1
    resources: [{apiVersion: v1, kind: Service, name: greeter-v1}, {apiVersion: apps/v1, kind: Deployment, name: greeter-v1}]
  - name: v2
    resources: [{apiVersion: v1, kind: Service, name: greeter-v2}, {apiVersion: apps/v1, kind: Deployment, name: greeter-v2}]
---
apiVersion: iter8.tools/v1alpha1
kind: RoutingPolicy
metadata: {name: greeter}
spec:
  subjectRef: {name: greeter}
  trigger: {variants: [v2]}
  chart: {name: mirror}
  values:
    kind: GRPCRoute
    parentRefs: [{group: "", kind: Service, name: greeter, port: 9000}]
    rules:
    - matches: [{method: {service: grpc.health.v1.Health}}]
      filters: [{type: RequestMirror, requestMirror: {backendRef: {name: greeter-v2, port: 80}}}]
      backendRefs: [{name: greeter-v1, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: greeter}
spec:
  ports: [{name: grpc, port: 9000, targetPort: 80}]
  selector: {app: greeter}
`

func TestGRPCRouteMirrorsCallsWhileVariantTwoExists(t *testing.T) {
	s := newScene(t)
	speaksGRPC := func(_ any, service *corev1.Service) *corev1.Service {
		patch(s, service, func(service *corev1.Service) { service.Spec.Ports[0].Name = "grpc" })
		return service
	}
	speaksGRPC(s.deploy("greeter-v1"))
	s.manifest(greeterPolicy)
	c := s.calling(s.sidecar(), "9000", "greeter:9000")
	call := c.request("POST", "/grpc.health.v1.Health/Check", "", "Content-Type", "application/grpc")
	other := c.request("POST", "/other.Service/Method", "", "Content-Type", "application/grpc")

	connection, err := grpc.NewClient(c.address, grpc.WithAuthority(c.host), grpc.WithTransportCredentials(insecure.NewCredentials()))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	t.Cleanup(func() { _ = connection.Close() })
	const times = 50
	sent := 0
	// expectCalls makes calls, and expects of v1 to answer all of them.
	expectCalls := func() {
		t.Helper()
		servers.forget(variant{s.namespace, "greeter-v1"})
		for range times {
			var header metadata.MD
			sent++
			ctx := metadata.AppendToOutgoingContext(t.Context(), numberHeader, strconv.Itoa(sent))
			answer, err := healthpb.NewHealthClient(connection).Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&header))
			s.Expect(err).NotTo(gomega.HaveOccurred())
			s.Expect(answer.GetStatus()).To(gomega.Equal(healthpb.HealthCheckResponse_SERVING))
			s.Expect(header.Get(variantHeader)).To(gomega.Equal([]string{"greeter-v1"}))
		}
	}

	s.Eventually(c.routing(call)).Should(gomega.Equal("greeter-v1:80"))
	expectCalls()
	s.Expect(s.received("greeter-v2")).To(gomega.BeEmpty())

	deployment, service := s.deploy("greeter-v2")
	speaksGRPC(deployment, service)
	s.Eventually(c.routing(call)).Should(gomega.Equal("greeter-v1:80, copies to greeter-v2:80 (100%)"))
	s.Expect(c.routing(other)()).To(gomega.Equal("no route"))
	expectCalls()
	s.Eventually(s.count("greeter-v2")).Should(gomega.Equal(times))
	s.expectCopies(s.received("greeter-v1"), s.received("greeter-v2"))

	s.delete(deployment, service)
	s.Eventually(c.routing(call)).Should(gomega.Equal("greeter-v1:80"))
	expectCalls()
	s.Expect(s.received("greeter-v2")).To(gomega.HaveLen(times), "as many as before")
}
