package integration

import (
	"testing"

	"github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestTheMirrorFollowsVariantTwo(t *testing.T) {
	s := newScene(t)
	subject, policy := s.tutorial()
	s.Eventually(s.ready(subject)).Should(gomega.HavePrefix("True Observed: variant v2 is not available: Service httpbin-v2 does not exist"))
	s.Eventually(s.ready(policy)).Should(gomega.Equal("True Succeeded: no mirror to httpbin-v2:80: Service httpbin-v2 does not exist"))
	withheld := iter8v1alpha1.Mirror{Route: "HTTPRoute/httpbin", Rule: "0", From: "httpbin-v1:80", To: "httpbin-v2:80", Variant: "v2", Percent: "0",
		State: "Withheld", Reason: "VariantNotAvailable", Message: "no mirror to httpbin-v2:80: Service httpbin-v2 does not exist"}
	s.Expect(mirrorsOf(policy)).To(gomega.Equal([]iter8v1alpha1.Mirror{withheld}))

	deployment, service := s.deploy("httpbin-v2")
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	s.Eventually(s.ready(policy)).Should(gomega.Equal("True Succeeded: 1 object applied for v2 available"))
	s.Expect(mirrorsOf(policy)).To(gomega.Equal([]iter8v1alpha1.Mirror{
		{Route: "HTTPRoute/httpbin", Rule: "0", From: "httpbin-v1:80", To: "httpbin-v2:80", Variant: "v2", Percent: "100", State: "Unconfirmed"},
	}))
	s.Eventually(s.ready(subject)).Should(gomega.Equal("True Observed: all variants are available"))
	s.Expect(subject.Status.Available).To(gomega.Equal("2/2"))
	s.Expect(subject.Status.AvailableVariants).To(gomega.Equal("v1,v2"))

	s.delete(deployment, service)
	s.Eventually(s.route("httpbin")).Should(mirrorTo())
	s.Eventually(s.ready(policy)).Should(gomega.Equal("True Succeeded: no mirror to httpbin-v2:80: Service httpbin-v2 does not exist"))
	s.Expect(mirrorsOf(policy)).To(gomega.Equal([]iter8v1alpha1.Mirror{withheld}))

	s.delete(subject, policy)
	s.Eventually(s.route("httpbin")).Should(gomega.BeNil())
}

// mirrorsOf are the mirrors of a status, but for the time since when they are so, which each has.
func mirrorsOf(policy *iter8v1alpha1.RoutingPolicy) []iter8v1alpha1.Mirror {
	mirrors := append([]iter8v1alpha1.Mirror(nil), policy.Status.Mirrors...)
	for i := range mirrors {
		if mirrors[i].Since.IsZero() {
			mirrors[i].Message += " (since never)"
		}
		mirrors[i].Since = nil
	}
	return mirrors
}

func TestTheRouteGoesWithTheSubject(t *testing.T) {
	s := newScene(t)
	subject, policy := s.tutorial()
	s.delete(subject)
	s.Eventually(s.route("httpbin")).Should(gomega.BeNil())
	s.Eventually(s.ready(policy)).Should(gomega.Equal("False SubjectNotFound: Subject httpbin does not exist; nothing is applied without it"))
	s.Expect(policy.Status.Applied).To(gomega.BeEmpty())

	s.create(s.httpbin())
	s.Eventually(s.route("httpbin")).Should(mirrorTo())
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
}

func TestTheGarbageCollectorTakesTheRouteOfAPolicyThatIsDeletedWhileTheOperatorIsDown(t *testing.T) {
	s := newScene(t)
	_, policy := s.tutorial()
	restart(t, func() {
		s.delete(policy)
		// The collector looks for new kinds, such as those that the chart has just brought, every 30 seconds.
		s.Eventually(s.route("httpbin"), "90s").Should(gomega.BeNil())
	})
}

func TestTheRouteGoesWithASubjectThatIsDeletedWhileTheOperatorIsDown(t *testing.T) {
	s := newScene(t)
	subject, _ := s.tutorial()
	restart(t, func() { s.delete(subject) })
	s.Eventually(s.route("httpbin")).Should(gomega.BeNil())
}
