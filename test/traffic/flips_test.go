package traffic

import (
	"net/http"
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

// vanish and appear have variant 2 go and come in the least time: with its Service, or where a route that mirrors to a
// Service that is gone hurts clients, with what the Service selects.
func (s *scene) vanish() {
	s.Helper()
	if !s.plane.needsService {
		s.delete(s.serviceOfV2())
		return
	}
	patch(s, s.serviceOfV2(), func(service *corev1.Service) { service.Spec.Selector["version"] = "of-no-pod" })
}

func (s *scene) appear() {
	s.Helper()
	if !s.plane.needsService {
		s.create(s.serviceOfV2())
		return
	}
	patch(s, s.serviceOfV2(), func(service *corev1.Service) { service.Spec.Selector["version"] = "v2" })
}

// serviceOfV2 is made anew each time.
func (s *scene) serviceOfV2() *corev1.Service {
	return env.Service(s.namespace, "httpbin-v2", map[string]string{"app": "httpbin", "version": "v2"})
}

func TestNoRequestFailsWhileVariantTwoComesAndGoes(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, _ := s.mirrored()
		post := c.Request(http.MethodPost, "/post", "a body")
		load := c.Load(post)
		var serving []time.Duration // after the apiserver had the route
		for flip := range flips {
			does, change := "httpbin-v1, copies to httpbin-v2 (100%)", s.appear
			if flip%2 == 0 {
				does, change = "httpbin-v1", s.vanish
			}
			written := s.written("httpbin")
			change()
			s.Eventually(c.routing).Should(gomega.Equal(does), "flip %d", flip)
			routing, err := c.envoy.Routing(s.Context(), c.Host)
			s.Expect(err).NotTo(gomega.HaveOccurred())
			var at time.Time
			s.Eventually(written).Should(gomega.Receive(&at))
			serving = append(serving, routing.Updated.Sub(at))
		}
		answers := load.End()
		s.Expect(answers).To(gomega.Equal(map[string]int{"httpbin-v1": load.Count()}))
		figures.Note(s.T, "%d flips under %d requests, half of them on new connections: %d failed; %d copies arrived",
			flips, load.Count(), load.Count()-answers["httpbin-v1"], s.count("httpbin-v2")())
		figures.Note(s.T, "Envoy had a route %s after the apiserver", spread(serving))
		s.expectMirrored(c, post)
		s.Eventually(s.condition(s.applied("httpbin"), iter8v1alpha1.ConditionReady)).Should(gomega.Equal("True Succeeded: 1 object applied for v2 available"))
	})
}

func TestNoRequestFailsWhileVariantTwoComesAndGoesFasterThanRoutesFollow(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, _ := s.mirrored()
		post := c.Request(http.MethodPost, "/post", "a body")
		s.vanish()
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		load := c.Load(post)
		for range flips / 2 {
			s.appear()
			s.vanish()
		}
		s.Eventually(load.Count).Should(gomega.BeNumerically(">=", dataplane.LoadPerSecond))
		s.Eventually(s.condition(s.applied("httpbin"), iter8v1alpha1.ConditionReady)).Should(gomega.Equal("True Succeeded: 1 object applied for v2 not available"))
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		answers := load.End()
		s.Expect(answers).To(gomega.Equal(map[string]int{"httpbin-v1": load.Count()}))
		figures.Note(s.T, "%d flips under %d requests: %d failed", flips, load.Count(), load.Count()-answers["httpbin-v1"])
		s.expectNotMirrored(c, post)
	})
}

// expectMirrored expects v1 to answer, and v2 to get a copy of each.
func (s *scene) expectMirrored(c *httpClient, request *http.Request) {
	s.Helper()
	const times = 100
	s.Eventually(func() int { // what was sent before has arrived
		before := s.count("httpbin-v2")()
		<-time.After(50 * time.Millisecond)
		return s.count("httpbin-v2")() - before
	}).Should(gomega.BeZero())
	s.forget("httpbin-v2")
	s.Expect(c.Send(times, request)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
	s.Eventually(s.count("httpbin-v2")).Should(gomega.Equal(times), "the mirror is there at the end")
}

// expectNotMirrored expects v1 to answer, and v2 to get nothing.
func (s *scene) expectNotMirrored(c *httpClient, request *http.Request) {
	s.Helper()
	const times = 100
	before := s.count("httpbin-v2")()
	s.Expect(c.Send(times, request)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
	s.Expect(c.routing()).To(gomega.Equal("httpbin-v1"))
	s.Expect(s.count("httpbin-v2")()).To(gomega.Equal(before), "the mirror is gone at the end")
}
