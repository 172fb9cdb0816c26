package traffic

import (
	"strconv"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	corev1 "k8s.io/api/core/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/dataplane"
)

// greeterPolicy mirrors calls of gRPC, for some parent.
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
    PARENT
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

// serviceOfRoute is an HTTPRoute, of requests that are never sent, which has Envoy Gateway look at greeter-v2.
const serviceOfRoute = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: unused}
spec:
  parentRefs: [{name: gateway, namespace: gateways}]
  hostnames: [unused.NAMESPACE.example]
  rules: [{backendRefs: [{name: greeter-v2, port: 80}]}]
`

// grpcClient calls gRPC's health service.
type grpcClient struct {
	*httpClient
	health healthpb.HealthClient
	sent   int
}

// greeting applies the policy for the scene's data plane, and returns a client of it.
func (s *scene) greeting() *grpcClient {
	s.Helper()
	parent := strings.ReplaceAll(s.plane.parent(s.namespace), "httpbin, port: 8000", "greeter, port: 9000")
	s.manifest(strings.ReplaceAll(greeterPolicy, "PARENT", strings.ReplaceAll(parent, "\n", "\n    ")))
	envoy, host := s.plane.envoy, s.plane.host(s.namespace)
	if s.plane.name == sidecar.name {
		envoy, host = func(s *scene) *dataplane.Envoy { return s.sidecar(9000) }, "greeter:9000"
	}
	c := s.callingAt(envoy(s), host, dataplane.H2C)
	connection, err := grpc.NewClient("passthrough:///"+c.Address, grpc.WithAuthority(c.Host), grpc.WithNoProxy(),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Cleanup(func() { _ = connection.Close() })
	return &grpcClient{httpClient: c, health: healthpb.NewHealthClient(connection)}
}

// call returns which workload has answered a call, or what went wrong.
func (c *grpcClient) call() string {
	var header metadata.MD
	c.sent++
	ctx := metadata.AppendToOutgoingContext(c.scene.Context(), dataplane.NumberHeader, strconv.Itoa(c.sent))
	answer, err := c.health.Check(ctx, &healthpb.HealthCheckRequest{}, grpc.Header(&header))
	if err != nil {
		return err.Error()
	}
	return answer.GetStatus().String() + " by " + strings.Join(header.Get(dataplane.WorkloadHeader), ",")
}

// calls are how many make up a batch.
const calls = 50

// expectCalls makes calls, and expects v1 to answer all of them.
func (s *scene) expectCalls(c *grpcClient) {
	s.Helper()
	s.forget("greeter-v1")
	for range calls {
		s.Expect(c.call()).To(gomega.Equal("SERVING by greeter-v1"))
	}
}

// Envoy Gateway 1.9.1 doesn't look at the Services that GRPCRoutes mirror to, and answers clients of a route with such a mirror with
// errors. So the mirror is taken back at once, and comes once the Service is known for another route.
func TestEnvoyGatewayRefusesAMirrorOfCallsAndTheCallsWithIt(t *testing.T) {
	s := newScene(t, egGateway)
	s.deployFor("greeter-v1", dataplane.H2C)
	c := s.greeting()
	s.Eventually(c.routing).Should(gomega.Equal("/grpc.health.v1.Health: greeter-v1"))
	s.expectCalls(c)

	s.deployFor("greeter-v2", dataplane.H2C)
	s.Eventually(s.condition(s.applied("greeter"), iter8v1alpha1.ConditionReady)).Should(gomega.And(
		gomega.HavePrefix("False MirrorRefused: no mirror to greeter-v2"), gomega.ContainSubstring(s.plane.notFound(s.namespace, "greeter-v2"))))
	s.Eventually(c.routing).Should(gomega.Equal("/grpc.health.v1.Health: greeter-v1"))
	s.expectCalls(c)

	s.manifest(strings.ReplaceAll(serviceOfRoute, "NAMESPACE", s.namespace))
	s.Eventually(c.routing, "90s").Should(gomega.Equal("/grpc.health.v1.Health: greeter-v1, copies to greeter-v2 (100%)"))
	s.expectCalls(c)
}

func TestGRPCRouteMirrorsCallsWhileVariantTwoExists(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		s.deployFor("greeter-v1", dataplane.H2C)
		c := s.greeting()
		if s.plane.losesMirrorsOfCalls {
			s.manifest(strings.ReplaceAll(serviceOfRoute, "NAMESPACE", s.namespace))
		}
		const health = "/grpc.health.v1.Health: "
		s.Eventually(c.routing).Should(gomega.Equal(health + "greeter-v1"))
		s.expectCalls(c)
		s.Expect(s.received("greeter-v2")).To(gomega.BeEmpty())

		deployment, service := s.deployFor("greeter-v2", dataplane.H2C)
		s.Eventually(c.routing).Should(gomega.Equal(health + "greeter-v1, copies to greeter-v2 (100%)"))
		s.expectCalls(c)
		s.Eventually(s.count("greeter-v2")).Should(gomega.Equal(calls))
		s.Expect(dataplane.CheckCopies(s.received("greeter-v1"), s.received("greeter-v2"))).To(gomega.Succeed())

		patch(s, service, func(o *corev1.Service) { o.Spec.Selector["version"] = "of-no-pod" }) // its Pod stays, and would answer
		s.Eventually(c.routing).Should(gomega.Equal(health + "greeter-v1"))
		s.expectCalls(c)
		s.Consistently(s.count("greeter-v2"), "200ms").Should(gomega.Equal(calls), "as many as before")
		s.delete(deployment, service)
		s.expectCalls(c)
	})
}
