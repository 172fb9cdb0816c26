package traffic

import (
	"net/http"
	"testing"

	"github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// A person takes the mirror out, though the policy is suspended, and lets it come back. Clients notice neither.
func TestAMirrorThatIsWithdrawnByHand(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, _ := s.mirrored()
		load := s.load(c, c.Request(http.MethodPost, "/post", "a body"))
		policy := s.applied("httpbin")
		set := func(suspend, withdrawn bool) {
			patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend, p.Spec.Withdrawn = suspend, withdrawn })
		}
		set(true, true)
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		s.Eventually(s.states(policy)).Should(gomega.Equal([]string{"httpbin-v2:80 0% Withheld"}))
		s.Expect(policy.Status.Mirrors[0].Message).To(gomega.Equal("no mirror to httpbin-v2:80: spec.withdrawn is set"))
		s.expectMirrored(c, false)

		set(true, false)
		s.Eventually(s.condition(policy, iter8v1alpha1.ConditionReady)).Should(gomega.HavePrefix("True Suspended: "))
		s.Consistently(c.routing, "500ms").Should(gomega.Equal("httpbin-v1"), "nothing is changed")
		set(false, false)
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"))
		s.expectMirrored(c, true)
		s.Expect(load.End()).To(gomega.Equal(map[string]int{"httpbin-v1": load.Count()}))
	})
}
