package traffic

import (
	"fmt"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

func TestThePolicyIsAcceptedWhenItsRouteIs(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		s.httpbin("v2")
		s.deploy("httpbin-v1")
		policy := s.route(mirrorAll)
		s.calling()
		s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.HavePrefix("True Accepted: "))
		s.kubectl("wait", "--for=condition=Accepted", "routingpolicy/httpbin", "--timeout=30s")

		s.deploy("httpbin-v2")
		s.Eventually(func() []iter8v1alpha1.Mirror {
			_, _ = s.condition(policy, iter8v1alpha1.ConditionAccepted)()
			return policy.Status.Mirrors
		}).Should(gomega.HaveLen(1))
		s.Eventually(func() error { return s.taken("httpbin") }).Should(gomega.Succeed())
		s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.HavePrefix("True Accepted: "))
	})
}

// taken returns nil if the route's one parent has accepted it as it is now, and found all that it refers to.
func (s *scene) taken(name string) error {
	var route gatewayv1.HTTPRoute
	if err := k8s.Get(s.Context(), s.key(name), &route); err != nil {
		return err
	}
	if len(route.Status.Parents) != 1 {
		return fmt.Errorf("%d parents", len(route.Status.Parents))
	}
	conditions := route.Status.Parents[0].Conditions
	for _, of := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
		c := meta.FindStatusCondition(conditions, string(of))
		if c == nil || c.Status != metav1.ConditionTrue || c.ObservedGeneration != route.Generation {
			return fmt.Errorf("at generation %d: %+v", route.Generation, c)
		}
	}
	return nil
}

// A rule whose backend is not there is answered with 500; one that mirrors to such a backend too, where the data plane
// needs the Service of a mirror.
func TestABackendThatGoesIsReportedAsTheGatewayReportsIt(t *testing.T) {
	for sentence, c := range map[string]struct {
		rules    string
		answered func(plane) string
	}{
		"whose requests it is to answer": {
			rules:    "\nrules: [{backendRefs: [{name: missing, port: 80}]}]",
			answered: func(plane) string { return "500: " },
		},
		"that is to get copies": {
			rules: `
rules:
- filters: [{type: RequestMirror, requestMirror: {backendRef: {name: missing, port: 80}}}]
  backendRefs: [{name: httpbin-v1, port: 80}]`,
			answered: func(p plane) string {
				if p.needsService {
					return "500: "
				}
				return "httpbin-v1"
			},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			onEachPlane(t, func(s *scene) {
				s.httpbin("v2")
				s.deploy("httpbin-v1")
				s.deploy("httpbin-v2")
				missing := func() *corev1.Service {
					return env.Service(s.namespace, "missing", map[string]string{"app": "httpbin", "version": "v1"})
				}
				s.create(missing())
				policy := s.route(c.rules)
				caller := s.calling()
				s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.HavePrefix("True Accepted: "))

				s.delete(missing())
				s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.And(
					gomega.HavePrefix("False BackendNotFound: "),
					gomega.ContainSubstring("HTTPRoute httpbin"),
					gomega.ContainSubstring(s.plane.notFound(s.namespace, "missing")),
				))
				s.Eventually(func() string { return caller.Do(caller.Get("/")) }).Should(gomega.HavePrefix(c.answered(s.plane)))

				s.create(missing())
				s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.HavePrefix("True Accepted: "))
				s.Eventually(func() string { return caller.Do(caller.Get("/")) }).Should(gomega.Equal("httpbin-v1"))
			})
		})
	}
}

// Neither istiod nor Envoy Gateway publish what they support, so that a policy has nothing to be refused for.
func TestAGatewayWhoseClassNamesNoFeaturesTakesAnyMirror(t *testing.T) {
	for _, p := range []plane{istioGateway, egGateway} {
		t.Run(p.name, func(t *testing.T) {
			s := newScene(t, p)
			s.httpbin("v2")
			s.deploy("httpbin-v1")
			s.deploy("httpbin-v2")
			c := s.calling()
			policy := s.route(`
rules:
- filters: [{type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}, percent: 10}}]
  backendRefs: [{name: httpbin-v1, port: 80}]`)
			s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (10%)"))
			s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.HavePrefix("True Accepted: "))

			class := &gatewayv1.GatewayClass{}
			s.Expect(k8s.Get(s.Context(), client.ObjectKey{Name: p.class}, class)).To(gomega.Succeed())
			s.Expect(class.Status.Conditions).To(gomega.ContainElement(gomega.HaveField("Type", "Accepted")))
			s.Expect(class.Status.SupportedFeatures).To(gomega.BeEmpty())

			s.delete(&iter8v1alpha1.Subject{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "httpbin"}})
			s.Eventually(c.routing).Should(gomega.Equal("no route"))
		})
	}
}
