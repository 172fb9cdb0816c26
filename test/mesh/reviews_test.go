package mesh

import (
	"os"
	"strings"
	"testing"

	"github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestVirtualServiceMirrorsTheTestersRequestsWhileTheMirrorExists(t *testing.T) {
	text, err := os.ReadFile(sample("istio/routingpolicy.yaml"))
	gomega.NewWithT(t).Expect(err).NotTo(gomega.HaveOccurred())
	policy := string(text)
	const percentage, deprecated = "mirrorPercentage:\n        value: 100\n", "mirror_percent: 100\n"
	gomega.NewWithT(t).Expect(policy).To(gomega.ContainSubstring(percentage))
	for sentence, policy := range map[string]string{
		"by a percentage":                        policy,
		"by the percent that Istio had at first": strings.Replace(policy, percentage, deprecated, 1),
	} {
		t.Run(sentence, func(t *testing.T) { expectTestersAreMirrored(t, policy) })
	}
}

func expectTestersAreMirrored(t *testing.T, policy string) {
	s := newScene(t)
	s.kubectl("apply", "-f", sample("istio/app.yaml"), "-f", sample("istio/subject.yaml"))
	s.manifest(policy)
	for _, version := range []string{"reviews-v1", "reviews-v2"} {
		s.Eventually(s.pods(version)).Should(gomega.HaveLen(1))
	}
	c := s.calling(s.sidecar(), "9080", "reviews:9080")
	testers, others, nobody := c.get("/reviews/1", "end-user", "tester"), c.get("/reviews/1", "end-user", "jason"), c.get("/reviews/1")

	const times = 50
	// expectAnswers sends the requests of all, and expects who answers, and how many copies the mirror gets.
	expectAnswers := func(when string, copies int) {
		t.Helper()
		servers.forget(variant{s.namespace, "reviews-v2"})
		servers.forget(variant{s.namespace, "mirror-v1"})
		s.Expect(c.send(times, others)).To(gomega.Equal(map[string]int{"reviews-v1": times}), when)
		s.Expect(c.send(times, nobody)).To(gomega.Equal(map[string]int{"reviews-v1": times}), when)
		s.Expect(s.received("mirror-v1")).To(gomega.BeEmpty(), when)
		s.Expect(c.send(times, testers)).To(gomega.Equal(map[string]int{"reviews-v2": times}), when)
		s.Eventually(s.count("mirror-v1")).Should(gomega.Equal(copies), when)
		if copies > 0 {
			s.expectCopies(s.received("reviews-v2"), s.received("mirror-v1"))
		}
	}

	s.Eventually(c.routing(testers)).Should(gomega.Equal("reviews/v2:9080"))
	s.Eventually(c.routing(others)).Should(gomega.Equal("reviews/v1:9080"))
	expectAnswers("before the mirror exists", 0)
	applied := s.applied("reviews-route")
	s.Eventually(s.condition(applied, iter8v1alpha1.ConditionReady)).Should(gomega.HavePrefix("True Succeeded: "))
	s.Expect(s.condition(applied, iter8v1alpha1.ConditionAccepted)()).To(gomega.HavePrefix("Unknown NotReported: "), "Istio says nothing of VirtualServices")

	s.kubectl("apply", "-f", sample("istio/mirror.yaml"))
	s.Eventually(s.pods("mirror-v1")).Should(gomega.HaveLen(1))
	s.Eventually(c.routing(testers)).Should(gomega.Equal("reviews/v2:9080, copies to mirror:9080 (100%)"))
	s.Expect(c.routing(others)()).To(gomega.Equal("reviews/v1:9080"))
	expectAnswers("while the mirror exists", times)

	s.kubectl("delete", "-f", sample("istio/mirror.yaml"))
	s.Eventually(c.routing(testers)).Should(gomega.Equal("reviews/v2:9080"))
	s.Eventually(s.pods("mirror-v1")).Should(gomega.BeEmpty())
	expectAnswers("after the mirror has gone", 0)
}
