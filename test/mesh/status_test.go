package mesh

import (
	"net/http"
	"testing"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

func TestThePolicyIsAcceptedWhenItsRouteIs(t *testing.T) {
	s := newScene(t)
	s.httpbin("v2")
	s.deploy("httpbin-v1")
	policy := s.policy("mirror", mirrorAll)
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.HavePrefix("True Accepted: "))
	s.kubectl("wait", "--for=condition=Accepted", "routingpolicy/httpbin", "--timeout=30s")

	s.deploy("httpbin-v2")
	s.Eventually(func() []iter8v1alpha1.Mirror {
		_, _ = s.condition(policy, iter8v1alpha1.ConditionAccepted)()
		return policy.Status.Mirrors
	}).Should(gomega.HaveLen(1))
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.HavePrefix("True Accepted: "))
}

func TestABackendThatDoesNotExistIsReportedAsIstiodReportsIt(t *testing.T) {
	for sentence, c := range map[string]struct{ rules, answered string }{
		"whose requests it is to answer": {
			rules:    "rules: [{backendRefs: [{name: missing, port: 80}]}]",
			answered: "500: ",
		},
		"that is to get copies": {
			rules: `
rules:
- filters: [{type: RequestMirror, requestMirror: {backendRef: {name: missing, port: 80}}}]
  backendRefs: [{name: httpbin-v1, port: 80}]`,
			answered: "httpbin-v1",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newScene(t)
			s.httpbin("v2")
			s.deploy("httpbin-v1")
			s.deploy("httpbin-v2")
			policy := s.policy("mirror", serviceParent+"\n"+c.rules)
			s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.And(
				gomega.HavePrefix("False BackendNotFound: "),
				gomega.ContainSubstring("HTTPRoute httpbin"),
				gomega.ContainSubstring("Service "+s.namespace+"/httpbin"),
				gomega.HaveSuffix("backend(missing."+s.namespace+".svc.cluster.local) not found"),
			))
			caller := s.calling(s.sidecar(), "8000", "httpbin:8000")
			s.Eventually(func() string { return caller.do(caller.get("/")) }).Should(gomega.HavePrefix(c.answered))

			s.create(env.Service(s.namespace, "missing", map[string]string{"app": "httpbin", "version": "v1"}))
			s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.HavePrefix("True Accepted: "))
			s.Eventually(func() string { return caller.do(caller.get("/")) }).Should(gomega.Equal("httpbin-v1"))
		})
	}
}

// What istiod supports it doesn't publish, so that a policy has nothing to be refused for.
func TestAGatewayOfIstiodsClassTakesAnyMirror(t *testing.T) {
	s := newScene(t)
	s.httpbin("v2")
	s.deploy("httpbin-v1")
	s.deploy("httpbin-v2")
	p, address := s.gateway()
	c := s.callingAt(p, address, "http.80", "httpbin.example")
	policy := s.policy("mirror", gatewayParent+`
rules:
- filters: [{type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}, percent: 10}}]
  backendRefs: [{name: httpbin-v1, port: 80}]`)
	s.Eventually(c.routing(c.request(http.MethodGet, "/", ""))).Should(gomega.Equal("httpbin-v1:80, copies to httpbin-v2:80 (10%)"))
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.HavePrefix("True Accepted: "))

	class := &gatewayv1.GatewayClass{}
	s.Expect(k8s.Get(s.Context(), client.ObjectKey{Name: "istio"}, class)).To(gomega.Succeed())
	s.Expect(class.Status.Conditions).To(gomega.ContainElement(gomega.HaveField("Type", "Accepted")))
	s.Expect(class.Status.SupportedFeatures).To(gomega.BeEmpty())

	s.delete(&iter8v1alpha1.Subject{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "httpbin"}})
	s.Eventually(c.routing(c.get("/"))).Should(gomega.Equal("no route"))
}
