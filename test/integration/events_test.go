package integration

import (
	"slices"
	"testing"

	"github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// announcements polls all Events about a policy, oldest first, each as "type reason: note".
func (s *scene) announcements(policy *iter8v1alpha1.RoutingPolicy) func() ([]string, error) {
	return func() ([]string, error) {
		var list eventsv1.EventList
		err := k8s.List(s.Context(), &list, client.InNamespace(s.namespace))
		slices.SortFunc(list.Items, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
		notes := []string{}
		for _, e := range list.Items {
			if e.Regarding.UID == policy.UID {
				s.Expect(e.Regarding).To(gomega.And(gomega.HaveField("APIVersion", "iter8.tools/v1alpha1"), gomega.HaveField("Kind", "RoutingPolicy"),
					gomega.HaveField("Namespace", s.namespace), gomega.HaveField("Name", policy.Name)))
				s.Expect(e).To(gomega.And(gomega.HaveField("ReportingController", "iter8-operator"), gomega.HaveField("Action", gomega.Not(gomega.BeEmpty()))))
				notes = append(notes, e.Type+" "+e.Reason+": "+e.Note)
			}
		}
		return notes, err
	}
}

func TestEventsTellOfWhatChangesForTrafficAndOfWhatFails(t *testing.T) {
	s := newScene(t)
	subject, policy := s.tutorial()
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
	s.Expect(s.announcements(policy)()).To(gomega.BeEmpty(), "what a policy begins with is no change")

	deployment, service := s.deploy("httpbin-v2")
	want := []string{"Normal MirrorsChanged: requests are mirrored to httpbin-v2:80"}
	s.Eventually(s.announcements(policy)).Should(gomega.Equal(want))

	good := policy.Spec.Values
	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = values(map[string]any{"iter8": "mine"}) })
	want = append(want, `Warning InvalidValues: invalid values: the key "iter8" is reserved for the state of the variants; remove it from spec.values`)
	s.Eventually(s.announcements(policy)).Should(gomega.Equal(want))
	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = good })
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))

	s.delete(service)
	want = append(want, "Normal MirrorsChanged: requests are no longer mirrored to httpbin-v2:80: Service httpbin-v2 does not exist")
	s.Eventually(s.announcements(policy)).Should(gomega.Equal(want))

	s.delete(deployment)
	s.deploy("httpbin-v2")
	want = append(want, "Normal MirrorsChanged: requests are mirrored to httpbin-v2:80")
	s.Eventually(s.announcements(policy)).Should(gomega.Equal(want))
	s.delete(subject)
	want = append(want, "Warning RouteDeleted: HTTPRoute httpbin is deleted, since Subject httpbin was deleted",
		"Normal MirrorsChanged: requests are no longer mirrored to httpbin-v2:80: Subject httpbin does not exist; nothing is applied without it")
	s.Eventually(s.announcements(policy)).Should(gomega.Equal(want))
	s.Consistently(s.announcements(policy), "1s").Should(gomega.Equal(want), "that a Subject was deleted is no failure")
	s.Expect(s.kubectl("events", "--for", "routingpolicy/httpbin-route")).To(gomega.MatchRegexp(
		`Warning +InvalidValues +RoutingPolicy/httpbin-route +invalid values: the key "iter8" is reserved`))
}
