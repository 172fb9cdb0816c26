package integration

import (
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"iter8.tools/operator/test/env"
)

// account makes a ServiceAccount that may do as much with routes as verbs say.
func (s *scene) account(name string, verbs ...string) {
	s.Helper()
	meta := metav1.ObjectMeta{Namespace: s.namespace, Name: name}
	s.create(
		&corev1.ServiceAccount{ObjectMeta: meta},
		&rbacv1.Role{ObjectMeta: meta, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"gateway.networking.k8s.io"}, Resources: []string{"httproutes"}, Verbs: verbs}}},
		&rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.namespace, Name: name}}},
	)
}

func TestUnderLockDownNoPolicyIsAppliedWithTheOperatorsRights(t *testing.T) {
	s := newScene(t)
	restart(t, func() {
		_, err := cluster.Install(t.Context(), systemNamespace, "--set", "impersonation.defaultServiceAccount=tenant")
		s.Expect(err).NotTo(gomega.HaveOccurred())
	})
	defer restart(t, func() {
		_, err := cluster.Install(t.Context(), systemNamespace, "--reset-values")
		s.Expect(err).NotTo(gomega.HaveOccurred())
	})
	s.deploy("httpbin-v1")
	policy := s.mirrorPolicy("httpbin-route", "httpbin")
	s.create(s.httpbin(), policy)
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("False Forbidden: ServiceAccount " + s.namespace + "/tenant may not create, patch, delete httproutes"))

	s.account("tenant", "create", "patch")
	s.Eventually(s.ready(policy), "60s").Should(gomega.HavePrefix("True"))
	s.delete(s.httpbin())
	s.Eventually(s.condition(policy, "Applied")).Should(gomega.HavePrefix("False Forbidden: ServiceAccount " + s.namespace + "/tenant may not delete httproutes"))
	s.Expect(policy.Status.Applied).To(gomega.HaveLen(1), "what could not be deleted stays listed")
	writes, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
		return e.IsWrite() && e.Resource == "httproutes" && e.Namespace == s.namespace
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(writes).NotTo(gomega.BeEmpty())
	s.Expect(writes).To(gomega.HaveEach(gomega.HaveField("ImpersonatedUser", "system:serviceaccount:"+s.namespace+":tenant")))
}
