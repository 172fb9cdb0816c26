package mesh

import (
	"net/http"
	"testing"
	"time"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
	"iter8.tools/operator/test/figures"
)

// flips are how often variant 2 comes or goes. It does with its Service, which takes the least time.
const flips = 100

// serviceOfV2 is made anew each time.
func (s *scene) serviceOfV2() *corev1.Service {
	return env.Service(s.namespace, "httpbin-v2", map[string]string{"app": "httpbin", "version": "v2"})
}

func TestNoRequestFailsWhileVariantTwoComesAndGoes(t *testing.T) {
	s, c, _ := mirrored(t)
	post := c.request(http.MethodPost, "/post", "a body")
	load := c.load(post)
	var withdrawals []time.Duration
	for flip := range flips / 2 {
		updated, deleted := c.copiesEnd(post), time.Now()
		s.delete(s.serviceOfV2())
		var applied time.Time
		s.Eventually(updated).Should(gomega.Receive(&applied), "flip %d", 2*flip)
		withdrawals = append(withdrawals, applied.Sub(deleted))
		s.Expect(c.routing(post)()).To(gomega.Equal("httpbin-v1:80"))

		s.create(s.serviceOfV2())
		s.Eventually(c.routing(post)).Should(gomega.Equal("httpbin-v1:80, copies to httpbin-v2:80 (100%)"), "flip %d", 2*flip+1)
	}
	answers := load.end()
	s.Expect(answers).To(gomega.Equal(map[string]int{"httpbin-v1": load.count()}))
	copies, lost := c.copies()["httpbin-v2"], c.lostCopies()["httpbin-v2"]
	s.Eventually(s.count("httpbin-v2")).Should(gomega.Equal(copies - lost))
	figures.Note(t, "%d flips under %d requests: %d failed, %d were copied, and %d copies were lost", flips, load.count(), load.count()-answers["httpbin-v1"], copies, lost)
	figures.Note(t, "from the request to delete the Service of v2, the proxy had no mirror in %s", spread(withdrawals))

	servers.forget(variant{s.namespace, "httpbin-v2"})
	const times = 100
	s.Expect(c.send(times, post)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
	s.Eventually(s.count("httpbin-v2")).Should(gomega.Equal(times), "the mirror is there at the end")
	s.Eventually(s.condition(s.applied("httpbin"), iter8v1alpha1.ConditionReady)).Should(gomega.Equal("True Succeeded: 1 object applied for v2 available"))
}

func TestNoRequestFailsWhileVariantTwoComesAndGoesFasterThanAnybodyFollows(t *testing.T) {
	s, c, _ := mirrored(t)
	post := c.request(http.MethodPost, "/post", "a body")
	s.delete(s.serviceOfV2())
	s.Eventually(c.routing(post)).Should(gomega.Equal("httpbin-v1:80"))
	load := c.load(post)
	for range flips / 2 {
		s.create(s.serviceOfV2())
		s.delete(s.serviceOfV2())
	}
	s.Eventually(load.count).Should(gomega.BeNumerically(">=", loadPerSecond))
	s.Eventually(s.condition(s.applied("httpbin"), iter8v1alpha1.ConditionReady)).Should(gomega.Equal("True Succeeded: 1 object applied for v2 not available"))
	s.Eventually(c.routing(post)).Should(gomega.Equal("httpbin-v1:80"))
	answers := load.end()
	s.Expect(answers).To(gomega.Equal(map[string]int{"httpbin-v1": load.count()}))
	figures.Note(t, "%d flips under %d requests: %d failed", flips, load.count(), load.count()-answers["httpbin-v1"])

	before := s.count("httpbin-v2")()
	const times = 100
	s.Expect(c.send(times, post)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
	s.Expect(c.routing(post)()).To(gomega.Equal("httpbin-v1:80"))
	s.Expect(s.count("httpbin-v2")()).To(gomega.Equal(before), "the mirror is gone at the end")
}
