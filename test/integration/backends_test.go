package integration

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

func TestClientsAreSentToAServiceOnceItIsThere(t *testing.T) {
	const missing = "False BackendNotFound: HTTPRoute httpbin can't send clients of rule 0 to "
	s := newScene(t)
	_, v2 := s.deploy("httpbin-v2")
	policy := s.mirrorPolicy("httpbin-route", "httpbin")
	s.create(s.httpbin(), policy)
	s.Eventually(s.ready(policy)).Should(gomega.Equal(missing + "httpbin-v1:80: Service httpbin-v1 does not exist"))
	s.Expect(s.conditions(policy)()).To(gomega.Equal(map[string]string{
		"Ready":         "False BackendNotFound",
		"ChartResolved": "True Succeeded",
		"Rendered":      "True Succeeded",
		"Applied":       "False BackendNotFound",
		"Accepted":      "Unknown Skipped",
		"Reconciling":   "True BackendNotFound",
	}))
	s.Expect(s.route("httpbin")()).To(gomega.BeNil())

	s.deploy("httpbin-v1")
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True Succeeded"))

	since := time.Now()
	before := s.primary("httpbin")
	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = values(mirrorValues("httpbin-v9", "httpbin-v2")) })
	s.Eventually(s.ready(policy)).Should(gomega.Equal(missing + "httpbin-v9:80: Service httpbin-v9 does not exist"))
	s.Expect(s.route("httpbin")()).To(mirrorTo("httpbin-v2"))
	s.delete(v2)
	s.Eventually(s.route("httpbin")).Should(mirrorTo())
	s.Expect(s.primary("httpbin")).To(gomega.Equal(before), "clients are sent to where they were")
	s.Expect(s.ready(policy)()).To(gomega.HavePrefix(missing))

	_, v9 := s.workload("httpbin-v9")
	s.create(v9)
	s.Eventually(s.ready(policy), "40s").Should(gomega.HavePrefix("True Succeeded"))
	s.Expect(s.primary("httpbin").Rules[0].BackendRefs[0].Name).To(gomega.BeEquivalentTo("httpbin-v9"))
	reads := slices.DeleteFunc(s.reads(since)(), func(uri string) bool { return !strings.HasSuffix(uri, "/services/httpbin-v9") })
	s.Expect(len(reads)).To(gomega.BeNumerically("<=", 1+int(time.Since(since)/(30*time.Second))), "once every 30 s")
}

func TestHostsOfAVirtualServiceAreLookedForWhereTheyAreServices(t *testing.T) {
	s := newScene(t)
	s.serve(customResource("networking.istio.io", "v1", "VirtualService"))
	s.createPrimary()
	to := func(host, port string) string {
		return strings.Replace(virtualServiceTemplate, "{host: httpbin-v1}", "{host: "+host+", port: {number: "+port+"}}", 1)
	}
	inFull := "httpbin-v1." + s.namespace + ".svc.cluster.local"
	const can = "False BackendNotFound: VirtualService app can't send clients of rule 0 to "
	policy := s.templatePolicy("routes", "app", to("httpbin-v9", "80"))
	s.create(s.subject("app", iter8v1alpha1.Variant{Name: "v1"}), policy)
	for _, step := range []struct{ host, port, ready string }{
		{"httpbin-v9", "80", can + "httpbin-v9:80: Service httpbin-v9 does not exist"},
		{inFull, "8080", can + inFull + ":8080: Service " + s.namespace + "/httpbin-v1 has no port 8080 (it has 80)"},
		{"www.example.com", "443", "True Succeeded: 1 object applied for v1 available"},
		{inFull, "80", "True Succeeded: 1 object applied for v1 available"},
	} {
		patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates[0].Template = to(step.host, step.port) })
		s.Eventually(s.ready(policy), "60s").Should(gomega.Equal(step.ready), step.host)
	}
	reads, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
		return e.User == operatorUser && e.Resource == "services" && e.Verb == "get" && e.Namespace != s.namespace && strings.Contains(e.URI, "example")
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(reads).To(gomega.BeEmpty())
}
