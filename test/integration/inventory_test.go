package integration

import (
	"slices"
	"testing"

	"github.com/onsi/gomega"
	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// applied polls the names in a policy's inventory.
func (s *scene) applied(policy *iter8v1alpha1.RoutingPolicy) func() ([]string, error) {
	return func() ([]string, error) {
		if err := k8s.Get(s.Context(), client.ObjectKeyFromObject(policy), policy); err != nil {
			return nil, err
		}
		names := []string{}
		for _, entry := range policy.Status.Applied {
			names = append(names, entry.Name)
		}
		slices.Sort(names)
		return names, nil
	}
}

func TestObjectsThatLeaveTheRenderAreDeleted(t *testing.T) {
	s := newScene(t)
	s.createPrimary()
	policy := s.templatePolicy("routes", "app", routeTemplate("one"), routeTemplate("two"))
	s.create(s.subject("app", iter8v1alpha1.Variant{Name: "v1"}), policy)
	s.Eventually(s.ready(policy)).Should(gomega.Equal("True Succeeded: 2 objects applied for v1 available"))
	s.Expect(s.applied(policy)()).To(gomega.Equal([]string{"one", "two"}))

	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates = p.Spec.Templates[:1] })
	s.Eventually(s.route("two")).Should(gomega.BeNil())
	s.Eventually(s.applied(policy)).Should(gomega.Equal([]string{"one"}))
	s.Expect(s.route("one")()).NotTo(gomega.BeNil())
}

func TestTheInventoryIsWrittenBeforeAnythingNewIsApplied(t *testing.T) {
	s := newScene(t)
	s.tutorial()
	writes, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
		return e.IsWrite() && e.Namespace == s.namespace && (e.Resource == "httproutes" || e.Resource == "routingpolicies" && e.Subresource == "status")
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(writes[0].Resource).To(gomega.Equal("routingpolicies"))
	s.Expect(writes[1].Resource).To(gomega.Equal("httproutes"))
}

func TestADeleteThatFailsIsRetriedAndStaysListed(t *testing.T) {
	s := newScene(t)
	s.createPrimary()
	policy := s.templatePolicy("routes", "app", routeTemplate("one"), routeTemplate("two"))
	s.create(s.subject("app", iter8v1alpha1.Variant{Name: "v1"}), policy)
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
	allow := s.forbid(admissionregistrationv1.Delete)

	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates = p.Spec.Templates[:1] })
	s.Eventually(s.conditions(policy)).Should(gomega.Equal(map[string]string{
		"Ready":         "False PruneFailed",
		"ChartResolved": "True InlineTemplates",
		"Rendered":      "True Succeeded",
		"Applied":       "False PruneFailed",
		"Accepted":      "Unknown NotReported",
		"Reconciling":   "True PruneFailed",
	}))
	s.Expect(s.ready(policy)()).To(gomega.And(gomega.HavePrefix("False PruneFailed: deleting HTTPRoute two: "), gomega.HaveSuffix(" denied request: not today")))
	s.Expect(s.applied(policy)()).To(gomega.Equal([]string{"one", "two"}))
	s.Expect(s.route("two")()).NotTo(gomega.BeNil())

	allow()
	s.Eventually(s.route("two"), "60s").Should(gomega.BeNil())
	s.Eventually(s.applied(policy)).Should(gomega.Equal([]string{"one"}))
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
}

func TestFromTemplateToChartAndBackTheRouteIsTheSame(t *testing.T) {
	s := newScene(t)
	s.deploy("httpbin-v1")
	templates := s.templatePolicy("httpbin-route", "httpbin", routeTemplate("httpbin"), routeTemplate("extra"))
	chart := s.mirrorPolicy("httpbin-route", "httpbin")
	policy := templates.DeepCopy()
	s.create(s.httpbin(), policy)
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
	route, err := s.route("httpbin")()
	s.Expect(err).NotTo(gomega.HaveOccurred())

	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec = *chart.Spec.DeepCopy() })
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
	s.Expect(s.applied(policy)()).To(gomega.Equal([]string{"httpbin"}))
	s.Expect(s.route("extra")()).To(gomega.BeNil())
	s.Expect(policy.Status.Chart).To(gomega.HaveField("Version", "0.14.1"))
	s.Expect(s.route("httpbin")()).To(gomega.And(gomega.HaveField("UID", route.UID), gomega.HaveField("Spec.ParentRefs", gomega.HaveLen(1))))

	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec = *templates.Spec.DeepCopy() })
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
	s.Expect(s.applied(policy)()).To(gomega.Equal([]string{"extra", "httpbin"}))
	s.Expect(policy.Status.Chart).To(gomega.BeNil())
	s.Expect(s.route("httpbin")()).To(gomega.And(gomega.HaveField("UID", route.UID), gomega.HaveField("Spec.ParentRefs", gomega.BeEmpty())))
}
