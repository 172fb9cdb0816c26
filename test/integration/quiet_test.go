package integration

import (
	"fmt"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

const operatorUser = "system:serviceaccount:" + systemNamespace + ":iter8-operator"

// requests returns what the operator asked of the apiserver about the scene's namespace since a moment, in the order of the
// answers, see env.Request. What goes on in other scenes, and their ends, are no business of this one.
func (s *scene) requests(since time.Time, filter func(env.AuditEvent) bool) func() []string {
	return func() []string {
		events, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
			return e.User == operatorUser && e.Namespace == s.namespace && e.Time.After(since) && filter(e)
		})
		s.Expect(err).NotTo(gomega.HaveOccurred())
		requests := []string{}
		for _, e := range events {
			requests = append(requests, e.String())
		}
		return requests
	}
}

// writes are requests to change something, dry runs among them.
func (s *scene) writes(since time.Time) func() []string {
	return s.requests(since, func(e env.AuditEvent) bool { return e.IsWrite() || strings.Contains(e.URI, "dryRun=All") })
}

// reads returns what the operator read since a moment, of the scene's namespace or of all, but for what it asks by the clock:
// once a minute, which kinds of routes the cluster serves.
func (s *scene) reads(since time.Time) func() []string {
	return func() []string {
		events, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
			return e.User == operatorUser && e.Time.After(since) && slices.Contains([]string{"get", "list"}, e.Verb) &&
				slices.Contains([]string{"", s.namespace}, e.Namespace) && e.Resource != ""
		})
		s.Expect(err).NotTo(gomega.HaveOccurred())
		uris := []string{}
		for _, e := range events {
			uris = append(uris, e.Verb+" "+e.URI)
		}
		return uris
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
	s.settle()

	since := time.Now()
	s.Consistently(s.writes(since), "60s", "5s").Should(gomega.BeEmpty(), "at rest")
	s.Expect(s.reads(since)()).To(gomega.BeEmpty(), "at rest")

	since = time.Now()
	restart(t, func() {})
	s.Consistently(s.writes(since), "15s", "1s").Should(gomega.BeEmpty(), "over a restart")
	// And it is at work: what is drifted is put right.
	route := &gatewayv1.HTTPRoute{}
	s.Expect(k8s.Get(s.Context(), s.key("app-042"), route)).To(gomega.Succeed())
	s.delete(route)
	s.Eventually(s.route("app-042")).Should(mirrorTo("httpbin-v2"))
}

// settle waits until what was asked for has been done: Events about the last changes come after them, and a resource that
// was looked for in vain is looked for again, ever less often.
func (s *scene) settle() {
	s.Helper()
	s.Eventually(func() []string {
		since := time.Now().Add(-3 * time.Second)
		return append(s.writes(since)(), s.reads(since)()...)
	}, "120s", "1s").Should(gomega.BeEmpty())
}

func TestAFlipCostsOneWriteToTheRouteAndNoRead(t *testing.T) {
	s := newScene(t)
	s.tutorial()
	deployment, _ := s.deploy("httpbin-v2")
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	for name, flip := range map[string]struct {
		replicas int32
		mirrors  []string
	}{
		"variant 2 goes":  {0, nil},
		"variant 2 comes": {1, []string{"httpbin-v2"}},
	} {
		s.scale(deployment, 1-flip.replicas)
		s.Eventually(s.route("httpbin")).ShouldNot(mirrorTo(flip.mirrors...), name)
		s.settle()

		since := time.Now()
		s.scale(deployment, flip.replicas)
		s.Eventually(s.route("httpbin")).Should(mirrorTo(flip.mirrors...), name)
		s.settle()
		writes := map[string]int{}
		for _, w := range s.writes(since)() {
			writes[w]++
		}
		route := "patch httproutes " + s.namespace + "/httpbin"
		policy, subject := "patch routingpolicies/status "+s.namespace+"/httpbin-route", "patch subjects/status "+s.namespace+"/httpbin"
		s.Expect(writes).To(gomega.HaveKeyWithValue(route, 1), name)
		// Endpoints and Deployment change one after the other, and with each what is said of the variant.
		s.Expect(writes).To(gomega.HaveKeyWithValue(policy, gomega.And(gomega.BeNumerically(">=", 1), gomega.BeNumerically("<=", 3))), name)
		s.Expect(writes).To(gomega.HaveKeyWithValue(subject, gomega.And(gomega.BeNumerically(">=", 1), gomega.BeNumerically("<=", 3))), name)
		for w := range writes {
			s.Expect(w).To(gomega.Or(gomega.BeElementOf(route, policy, subject), gomega.MatchRegexp(`^(create|patch) events `)), name)
		}
		s.Expect(s.reads(since)()).To(gomega.BeEmpty(), name)
	}
}

func (s *scene) scale(deployment *appsv1.Deployment, replicas int32) {
	s.Helper()
	patch(s, deployment, func(d *appsv1.Deployment) { d.Spec.Replicas = &replicas })
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
