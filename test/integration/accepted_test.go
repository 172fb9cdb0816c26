package integration

import (
	"context"
	"testing"
	"time"

	"github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/gateway-api/pkg/features"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// report says what a gateway's controller would of a route as it is now: for each condition its status and reason.
func (s *scene) report(name string, conditions ...metav1.Condition) {
	s.Helper()
	route := &gatewayv1.HTTPRoute{}
	s.Expect(k8s.Get(s.Context(), s.key(name), route)).To(gomega.Succeed())
	route.Status.Parents = nil
	for _, parent := range route.Spec.ParentRefs {
		status := gatewayv1.RouteParentStatus{ParentRef: parent, ControllerName: "example.com/gateway"}
		for _, c := range conditions {
			c.ObservedGeneration, c.LastTransitionTime = route.Generation, metav1.Now()
			status.Conditions = append(status.Conditions, c)
		}
		route.Status.Parents = append(route.Status.Parents, status)
	}
	s.Expect(k8s.Status().Update(s.Context(), route)).To(gomega.Succeed())
}

func condition(of gatewayv1.RouteConditionType, status metav1.ConditionStatus, reason, message string) metav1.Condition {
	return metav1.Condition{Type: string(of), Status: status, Reason: reason, Message: message}
}

func TestThePolicyRepeatsWhatTheGatewaySays(t *testing.T) {
	s := newScene(t)
	_, policy := s.tutorial()
	accepted := s.condition(policy, iter8v1alpha1.ConditionAccepted)
	const awaited = "Unknown AwaitingReport: HTTPRoute httpbin: Service "
	s.Eventually(accepted).Should(gomega.HavePrefix(awaited))
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True "), "that nobody reports is no failure")

	isAccepted := condition(gatewayv1.RouteConditionAccepted, metav1.ConditionTrue, "Accepted", "")
	isResolved := condition(gatewayv1.RouteConditionResolvedRefs, metav1.ConditionTrue, "ResolvedRefs", "")
	s.report("httpbin", isAccepted, isResolved)
	s.Eventually(accepted).Should(gomega.Equal("True Accepted: HTTPRoute httpbin accepted by Service " + s.namespace + "/httpbin port 8000"))
	s.Expect(s.kubectl("wait", "--for=condition=Accepted", "--timeout=10s", "routingpolicy/httpbin-route")).
		To(gomega.Equal("routingpolicy.iter8.tools/httpbin-route condition met\n"))

	s.deploy("httpbin-v2")
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	s.Eventually(accepted).Should(gomega.HavePrefix(awaited), "the route is another one now")

	s.report("httpbin", isAccepted, isResolved)
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True "))
	s.report("httpbin", isAccepted, condition(gatewayv1.RouteConditionResolvedRefs, metav1.ConditionFalse, "BackendNotFound", "httpbin-v1 not found"))
	const refused = "False BackendNotFound: HTTPRoute httpbin: Service "
	s.Eventually(accepted).Should(gomega.And(gomega.HavePrefix(refused), gomega.HaveSuffix("says ResolvedRefs False: BackendNotFound: httpbin-v1 not found")))
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix(refused))
	s.Expect(s.route("httpbin")()).To(mirrorTo("httpbin-v2"), "what was accepted with the mirror stays")

	s.report("httpbin", isAccepted, isResolved)
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True "))
}

// TestAMirrorThatTheGatewayRefusesIsTakenBack has a gateway refuse a route with the mirror that it accepted without.
func TestAMirrorThatTheGatewayRefusesIsTakenBack(t *testing.T) {
	s := newScene(t)
	_, policy := s.tutorial()
	s.Eventually(s.route("httpbin")).ShouldNot(gomega.BeNil())
	isAccepted := condition(gatewayv1.RouteConditionAccepted, metav1.ConditionTrue, "Accepted", "")
	isResolved := condition(gatewayv1.RouteConditionResolvedRefs, metav1.ConditionTrue, "ResolvedRefs", "")
	unresolved := condition(gatewayv1.RouteConditionResolvedRefs, metav1.ConditionFalse, "InvalidKind", "no mirrors here")
	s.report("httpbin", isAccepted, isResolved)
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.HavePrefix("True "))

	s.deploy("httpbin-v2")
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	s.Eventually(func() bool {
		_, _ = s.ready(policy)()
		return len(policy.Status.Mirrors) > 0 && policy.Status.Mirrors[0].OnTrial
	}).Should(gomega.BeTrue())
	primary := s.primary("httpbin")
	s.report("httpbin", isAccepted, unresolved)
	s.Eventually(s.route("httpbin"), withdrawalTime).Should(mirrorTo(), "at once")
	s.Expect(s.primary("httpbin")).To(gomega.Equal(primary))
	refused := "False MirrorRefused: no mirror to httpbin-v2:80: HTTPRoute httpbin: Service " + s.namespace + "/httpbin port 8000 says ResolvedRefs False: InvalidKind: no mirrors here"
	s.Eventually(s.ready(policy)).Should(gomega.Equal(refused))

	s.report("httpbin", isAccepted, isResolved)
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.HavePrefix("True "))
	s.Eventually(s.ready(policy)).Should(gomega.Equal(refused), "it was the mirror")
	s.Eventually(s.route("httpbin"), "25s").Should(mirrorTo("httpbin-v2"), "tried again after a quarter of a minute")
	s.report("httpbin", isAccepted, isResolved)
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True "))
}

// gatewayClass makes a class that publishes features.
func (s *scene) gatewayClass(published ...features.FeatureName) *gatewayv1.GatewayClass {
	s.Helper()
	class := &gatewayv1.GatewayClass{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}, Spec: gatewayv1.GatewayClassSpec{ControllerName: "example.com/gateway"}}
	s.create(class)
	s.Cleanup(func() { _ = k8s.Delete(context.Background(), class) })
	s.publish(class, published...)
	return class
}

func (s *scene) publish(class *gatewayv1.GatewayClass, published ...features.FeatureName) {
	s.Helper()
	class.Status.SupportedFeatures = nil
	for _, feature := range published {
		class.Status.SupportedFeatures = append(class.Status.SupportedFeatures, gatewayv1.SupportedFeature{Name: gatewayv1.FeatureName(feature)})
	}
	s.Expect(k8s.Status().Update(s.Context(), class)).To(gomega.Succeed())
}

func TestAGatewayThatCanNotMirrorAPartGetsNoMirror(t *testing.T) {
	s := newScene(t)
	class := s.gatewayClass(features.SupportHTTPRouteRequestMirror)
	s.create(&gatewayv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "edge"}, Spec: gatewayv1.GatewaySpec{
		GatewayClassName: gatewayv1.ObjectName(class.Name), Listeners: []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}}}})
	s.deploy("httpbin-v1")
	policy := s.mirrorPolicy("httpbin-route", "httpbin")
	v := mirrorValues("httpbin-v1", "httpbin-v2")
	v["parentRefs"] = []any{map[string]any{"name": "edge"}}
	policy.Spec.Values = values(v)
	subject := s.httpbin()
	weight := int32(5)
	subject.Spec.Variants[1].Weight = &weight
	s.create(subject, policy)
	s.Eventually(s.route("httpbin")).Should(mirrorTo(), "a route without mirrors takes nothing of its gateway")
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True "))

	s.deploy("httpbin-v2")
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionStalled)).Should(gomega.Equal("True UnsupportedByGateway: " +
		"no mirror to httpbin-v2:80: GatewayClass " + class.Name + ", of Gateway " + s.namespace + "/edge, does not list the feature HTTPRouteRequestPercentageMirror"))
	s.Expect(s.route("httpbin")()).To(mirrorTo())

	s.publish(class, features.SupportHTTPRouteRequestMirror, features.SupportHTTPRouteRequestPercentageMirror)
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True "))
	s.Expect(policy.Status.MirrorTargets).To(gomega.Equal("httpbin-v2:80 (5%)"))
}

func TestAMirrorGoesWithItsVariantWhateverTheGatewayCanNotDoForAnother(t *testing.T) {
	s := newScene(t)
	class := s.gatewayClass(features.SupportHTTPRouteRequestMirror)
	s.create(&gatewayv1.Gateway{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "edge"}, Spec: gatewayv1.GatewaySpec{
		GatewayClassName: gatewayv1.ObjectName(class.Name), Listeners: []gatewayv1.Listener{{Name: "http", Port: 80, Protocol: gatewayv1.HTTPProtocolType}}}})
	s.deploy("httpbin-v1")
	deployment, service := s.deploy("httpbin-v2")
	v := mirrorValues("httpbin-v1", "httpbin-v2", "httpbin-v3")
	v["parentRefs"] = []any{map[string]any{"name": "edge"}}
	policy := s.mirrorPolicy("httpbin-route", "httpbin")
	policy.Spec.Values, policy.Spec.Trigger = values(v), nil
	s.create(s.subject("httpbin", variant("v1", "httpbin-v1"), variant("v2", "httpbin-v2"), variant("v3", "httpbin-v3")), policy)
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))

	lacks := func(target string, feature features.FeatureName) string {
		return "True UnsupportedByGateway: no mirror to " + target + ": GatewayClass " + class.Name + ", of Gateway " + s.namespace + "/edge, does not list the feature " + string(feature)
	}
	s.deploy("httpbin-v3")
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionStalled)).Should(gomega.Equal(lacks("httpbin-v3:80", "HTTPRouteRequestMultipleMirrors")))
	s.Expect(s.route("httpbin")()).To(mirrorTo("httpbin-v2"), "the first may stand")

	s.delete(deployment, service)
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v3"), "it makes room for the other")
	s.Eventually(s.ready(policy)).Should(gomega.Equal("True Succeeded: no mirror to httpbin-v2:80: Service httpbin-v2 does not exist"))

	s.publish(class, "HTTPRouteResponseTimeout") // not even one mirror any more
	s.Eventually(s.route("httpbin")).Should(mirrorTo(), "nothing is mirrored by what can't")
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionStalled)).Should(gomega.Equal(lacks("httpbin-v3:80", "HTTPRouteRequestMirror")))
}

// withoutPercent takes the field out of the HTTPRoute's CRD, as in the Gateway API before 1.2, and gives what puts
// it back.
func (s *scene) withoutPercent() (restore func()) {
	s.Helper()
	name := types.NamespacedName{Name: "httproutes.gateway.networking.k8s.io"}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	s.Expect(k8s.Get(s.Context(), name, crd)).To(gomega.Succeed())
	spec := crd.Spec.DeepCopy()
	for i := range crd.Spec.Versions {
		forget(crd.Spec.Versions[i].Schema.OpenAPIV3Schema, "percent")
	}
	s.Expect(k8s.Update(s.Context(), crd)).To(gomega.Succeed())
	return func() {
		s.Expect(k8s.Get(context.Background(), name, crd)).To(gomega.Succeed())
		crd.Spec = *spec
		s.Expect(k8s.Update(context.Background(), crd)).To(gomega.Succeed())
	}
}

// forget removes a property wherever it stands in a schema, with the rules that speak of it.
func forget(schema *apiextensionsv1.JSONSchemaProps, property string) {
	if _, ok := schema.Properties[property]; ok {
		delete(schema.Properties, property)
		schema.XValidations = nil
	}
	for key, below := range schema.Properties {
		forget(&below, property)
		schema.Properties[key] = below
	}
	if schema.Items != nil && schema.Items.Schema != nil {
		forget(schema.Items.Schema, property)
	}
}

func TestAClusterThatDoesNotKnowPercentagesGetsNoMirror(t *testing.T) {
	s := newScene(t)
	restore := s.withoutPercent()
	s.Cleanup(restore)
	s.deploy("httpbin-v1")
	s.deploy("httpbin-v2")
	subject, policy := s.httpbin(), s.mirrorPolicy("httpbin-route", "httpbin")
	weight := int32(5)
	subject.Spec.Variants[1].Weight = &weight
	policy.Spec.Interval = &metav1.Duration{Duration: 10 * time.Second}
	partly := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": map[string]any{"name": "probe", "namespace": s.namespace},
		"spec": map[string]any{"rules": []any{map[string]any{"filters": []any{map[string]any{"type": "RequestMirror", "requestMirror": map[string]any{
			"percent": int64(5), "backendRef": map[string]any{"name": "a", "port": int64(80)}}}}}}},
	}}
	refused := func() error { // by a dry run
		return k8s.Create(s.Context(), partly.DeepCopy(), client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
	}
	s.Eventually(refused).Should(gomega.MatchError(gomega.ContainSubstring(`unknown field "spec.rules[0].filters[0].requestMirror.percent"`)))

	s.create(subject, policy)
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionStalled)).Should(gomega.And(
		gomega.HavePrefix("True UnsupportedByCluster: applying HTTPRoute httpbin: "),
		gomega.HaveSuffix(".spec.rules[0].filters[0].requestMirror.percent: field not declared in schema: "+
			"correct the field, or install a CustomResourceDefinition of gateway.networking.k8s.io/v1 that has it")))
	// Where the variants came up one after the other, a first route without the mirror rightly stands.
	s.Consistently(s.route("httpbin"), "2s").Should(gomega.Or(gomega.BeNil(), mirrorTo()), "a mirror of 5 % became one of all requests")

	restore()
	s.Eventually(refused).Should(gomega.Succeed()) // for the tests to come as well
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
}
