package integration

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

const operatorUser = "system:serviceaccount:" + systemNamespace + ":iter8-operator"

// operatorWrites gives the operator's writes since a moment, but for the Lease by which it is elected and the
// Events about that.
func (s *scene) operatorWrites(since time.Time) func() []string {
	return func() []string {
		events, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
			return e.IsWrite() && e.User == operatorUser && e.Namespace != systemNamespace && e.Time.After(since)
		})
		s.Expect(err).NotTo(gomega.HaveOccurred())
		writes := []string{}
		for _, e := range events {
			writes = append(writes, strings.Join([]string{e.Verb, e.Resource, e.Subresource, e.Namespace, e.Name}, " "))
		}
		return writes
	}
}

func TestAtRestAndOverARestartNothingIsWritten(t *testing.T) {
	const policies = 100
	s := newScene(t)
	s.deploy("httpbin-v1")
	s.deploy("httpbin-v2")
	for i := range policies {
		name := fmt.Sprintf("app-%03d", i)
		s.create(s.subject(name, variant("v1", "httpbin-v1"), variant("v2", "httpbin-v2")), s.mirrorPolicy(name, name))
	}
	allReady := func(g gomega.Gomega) {
		var list iter8v1alpha1.RoutingPolicyList
		g.Expect(k8s.List(s.Context(), &list, client.InNamespace(s.namespace))).To(gomega.Succeed())
		g.Expect(list.Items).To(gomega.HaveLen(policies))
		for _, p := range list.Items {
			g.Expect(p.Status.MirrorTargets).To(gomega.Equal("httpbin-v2:80"))
		}
		var subjects iter8v1alpha1.SubjectList
		g.Expect(k8s.List(s.Context(), &subjects, client.InNamespace(s.namespace))).To(gomega.Succeed())
		for _, o := range subjects.Items {
			g.Expect(o.Status.Available).To(gomega.Equal("2/2"))
		}
	}
	s.Eventually(allReady, "60s", "250ms").Should(gomega.Succeed())
	// Events about the last changes, and the ends of earlier tests' namespaces, come after them.
	s.Eventually(func() []string { return s.operatorWrites(time.Now().Add(-3 * time.Second))() }, "60s", "1s").Should(gomega.BeEmpty())

	s.Consistently(s.operatorWrites(time.Now()), "60s", "5s").Should(gomega.BeEmpty(), "at rest")

	since := time.Now()
	restart(t, func() {})
	s.Consistently(s.operatorWrites(since), "15s", "1s").Should(gomega.BeEmpty(), "over a restart")
	// And it is at work: what is drifted is put right.
	route := &gatewayv1.HTTPRoute{}
	s.Expect(k8s.Get(s.Context(), s.key("app-042"), route)).To(gomega.Succeed())
	s.delete(route)
	s.Eventually(s.route("app-042")).Should(mirrorTo("httpbin-v2"))
}

func TestASecondReplicaActsAsSoonAsTheLeaderIsStopped(t *testing.T) {
	s := newScene(t)
	s.tutorial()
	second, err := installed.Run(s.Context())
	s.Expect(err).NotTo(gomega.HaveOccurred())
	lease := &coordinationv1.Lease{}
	holder := func() (string, error) {
		err := k8s.Get(s.Context(), types.NamespacedName{Namespace: systemNamespace, Name: "iter8-operator"}, lease)
		return *lease.Spec.HolderIdentity, err
	}
	leader, err := holder()
	s.Expect(err).NotTo(gomega.HaveOccurred())

	s.Expect(operator.Stop(syscall.SIGTERM)).To(gomega.Succeed())
	operator = second
	stopped := time.Now()
	s.deploy("httpbin-v2")
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	took := time.Since(stopped)
	s.Expect(holder()).NotTo(gomega.Equal(leader))
	lasts := time.Duration(*lease.Spec.LeaseDurationSeconds) * time.Second
	t.Logf("the second replica acted %s after the leader had ended; the Lease lasts %s", took, lasts)
	s.Expect(took).To(gomega.BeNumerically("<", lasts))
}
