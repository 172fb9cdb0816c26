package lifecycle

import (
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/test/env"
)

// edge attaches the tutorial's route to a Gateway, as another policy.
const edge = `
apiVersion: v1
kind: Service
metadata: {name: edge-v1}
spec: {ports: [{port: 80}]}
---
apiVersion: iter8.tools/v1alpha1
kind: RoutingPolicy
metadata: {name: edge-route}
spec:
  subjectRef: {name: edge}
  trigger: {variants: [v2]}
  chart: {name: mirror}
  values:
    parentRefs: [{name: edge}]
    rules:
    - filters: [{type: RequestMirror, requestMirror: {backendRef: {name: edge-v2, port: 80}}}]
      backendRefs: [{name: edge-v1, port: 80}]
---
apiVersion: iter8.tools/v1alpha1
kind: Subject
metadata: {name: edge}
spec:
  variants:
  - {name: v1}
  - {name: v2, resources: [{apiVersion: v1, kind: Service, name: edge-v2}]}
`

// edgeGateway is a Gateway of a class that publishes one feature, and not that it mirrors.
const edgeGateway = `
apiVersion: gateway.networking.k8s.io/v1
kind: GatewayClass
metadata: {name: plain}
spec: {controllerName: example.com/gateway}
---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: default}
spec: {gatewayClassName: plain, listeners: [{name: http, port: 80, protocol: HTTP}]}
`

// edgeV2 is ready while it exists.
const edgeV2 = `
apiVersion: v1
kind: Service
metadata: {name: edge-v2, labels: {iter8.tools/detect: "true"}}
spec: {ports: [{port: 80}]}
`

func TestTheGatewayAPIMayBeInstalledAfterTheOperator(t *testing.T) {
	t.Parallel()
	w := newWorld(t, env.Options{WithoutGatewayAPI: true})
	w.install()
	operator := w.start()
	w.kubectl("apply", "-k", "config/samples")
	w.apply(edge)
	const notServed = "KindNotServed: the cluster does not serve gateway.networking.k8s.io/v1 HTTPRoute; install its CustomResourceDefinition"
	for _, policy := range []string{"httpbin-route", "edge-route"} {
		w.Eventually(w.ready(policy)).Should(Equal("False "+notServed), policy)
		w.Expect(w.condition(policy, "Reconciling")()).To(Equal("True "+notServed), policy)
	}

	w.kubectl("apply", "--server-side", "-f", filepath.Join(w.gatewayAPI(), "config", "crd", "standard"))
	w.Eventually(w.mirrors("httpbin"), "60s").Should(Equal("httpbin-v2"))
	w.Eventually(w.ready("httpbin-route")).Should(Equal("True Succeeded: 1 object applied for v2 available"))
	w.Eventually(w.mirrors("edge"), "60s").Should(Equal("nothing"))

	// Gateways have been looked for since before there were any.
	w.apply(edgeGateway)
	w.kubectl("patch", "gatewayclass", "plain", "--subresource=status", "--type=merge", "--patch", `{"status":{"supportedFeatures":[{"name":"HTTPRouteResponseHeaderModification"}]}}`)
	w.apply(edgeV2)
	w.Eventually(w.ready("edge-route")).Should(Equal("False UnsupportedByGateway: no mirror to edge-v2:80: GatewayClass plain, of Gateway default/edge, does not list the feature HTTPRouteRequestMirror"))
	w.Expect(w.mirrors("edge")()).To(Equal("nothing"))

	w.followsV2()
	w.Expect(operator.Done()).NotTo(BeClosed(), "it took no restart")
}

// gatewayAPI is the folder of the Gateway API's module.
func (w *world) gatewayAPI() string {
	w.Helper()
	return strings.TrimSpace(w.run("go", "list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/gateway-api"))
}
