package traffic

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/dataplane"
	"iter8.tools/operator/test/env"
	"iter8.tools/operator/test/figures"
)

// flips are how often variant 2 comes or goes.
const flips = 100

// setV2 has variant 2 come or go in the least time: with its Service, or, where a route that mirrors to a Service that is gone
// hurts clients, with what the Service selects. Its Pod stays.
func (s *scene) setV2(there bool) {
	s.Helper()
	switch {
	case s.plane.needsService:
		version := "v2"
		if !there {
			version = "of-no-pod"
		}
		patch(s, s.serviceOfV2(), func(service *corev1.Service) { service.Spec.Selector["version"] = version })
	case there:
		s.create(s.serviceOfV2())
	default:
		s.delete(s.serviceOfV2())
	}
}

// lackOfV2 is what variant 2 lacks when it has gone that way.
func (s *scene) lackOfV2() string {
	if s.plane.needsService {
		return "Service httpbin-v2 has no ready endpoint"
	}
	return "Service httpbin-v2 does not exist"
}

// serviceOfV2 is made anew each time.
func (s *scene) serviceOfV2() *corev1.Service {
	return env.Service(s.namespace, "httpbin-v2", map[string]string{"app": "httpbin", "version": "v2"})
}

func TestNoRequestFailsWhileVariantTwoComesAndGoes(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, _ := s.mirrored()
		begun := time.Now()
		load := s.load(c, c.Request(http.MethodPost, "/post", "a body"))
		var served []time.Time
		for flip := range flips {
			there, does := flip%2 == 1, "httpbin-v1"
			if there {
				does = "httpbin-v1, copies to httpbin-v2 (100%)"
			}
			s.setV2(there)
			s.Eventually(c.routing).Should(gomega.Equal(does), "flip %d", flip)
			routing, err := c.envoy.Routing(s.Context(), c.Host)
			s.Expect(err).NotTo(gomega.HaveOccurred())
			served = append(served, routing.Updated)
		}
		answers, took := load.End(), time.Since(begun)
		s.Expect(answers).To(gomega.Equal(map[string]int{"httpbin-v1": load.Count()}))
		s.Expect(float64(load.Count())).To(gomega.BeNumerically(">", 0.8*dataplane.LoadPerSecond*took.Seconds()), "requests in %s", took)
		figures.Note(s.T, "%d flips under %d requests in %s, half of them on new connections: %d failed; %d copies arrived",
			flips, load.Count(), took.Round(time.Second), load.Count()-answers["httpbin-v1"], s.count("httpbin-v2")())
		figures.Note(s.T, "Envoy had a route %s after the apiserver got it", spread(s.sinceWrites(served)))
		s.expectMirrored(c, true)
		s.Eventually(s.condition(s.applied("httpbin"), iter8v1alpha1.ConditionReady)).Should(gomega.Equal("True Succeeded: 1 object applied for v2 available"))
	})
}

// sinceWrites returns how long before each moment the apiserver got the last write of a route before it.
func (s *scene) sinceWrites(moments []time.Time) []time.Duration {
	s.Helper()
	writes, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
		return e.IsWrite() && e.Resource == "httproutes" && e.Subresource == "" && e.Namespace == s.namespace
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	var since []time.Duration
	for _, at := range moments {
		i, _ := slices.BinarySearchFunc(writes, at, func(e env.AuditEvent, at time.Time) int { return e.Time.Compare(at) })
		if i > 0 {
			since = append(since, at.Sub(writes[i-1].Time))
		}
	}
	s.Expect(since).To(gomega.HaveLen(len(moments)))
	return since
}

func TestNoRequestFailsWhileVariantTwoComesAndGoesFasterThanRoutesFollow(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, _ := s.mirrored()
		s.setV2(false)
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		load := s.load(c, c.Request(http.MethodPost, "/post", "a body"))
		for range flips / 2 {
			s.setV2(true)
			s.setV2(false)
		}
		s.Eventually(load.Count).Should(gomega.BeNumerically(">=", dataplane.LoadPerSecond))
		s.Eventually(s.condition(s.applied("httpbin"), iter8v1alpha1.ConditionReady)).Should(gomega.Equal("True Succeeded: no mirror to httpbin-v2:80: " + s.lackOfV2()))
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		answers := load.End()
		s.Expect(answers).To(gomega.Equal(map[string]int{"httpbin-v1": load.Count()}))
		figures.Note(s.T, "%d flips under %d requests: %d failed", flips, load.Count(), load.Count()-answers["httpbin-v1"])
		s.expectMirrored(c, false)
	})
}
