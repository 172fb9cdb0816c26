package traffic

import (
	"os"
	"strings"
	"testing"

	"github.com/onsi/gomega"
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
		t.Run(sentence, func(t *testing.T) { expectTestersByPolicy(t, policy) })
	}
}

func expectTestersByPolicy(t *testing.T, policy string) {
	s := newScene(t, sidecar)
	c := s.reviews()
	s.kubectl("apply", "-f", sample("istio/subject.yaml"))
	s.manifest(policy)
	s.expectTesters(c, testersToV2)
	s.kubectl("apply", "-f", sample("istio/mirror.yaml"))
	s.expectTesters(c, testersMirrored)
	s.kubectl("delete", "-f", sample("istio/mirror.yaml"))
	s.expectTesters(c, testersToV2)
}
