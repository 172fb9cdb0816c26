package routingpolicy

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/events"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestWhatIsAnnounced(t *testing.T) {
	ready := func(status metav1.ConditionStatus, reason, message string) func(*iter8v1alpha1.RoutingPolicyStatus) {
		return func(s *iter8v1alpha1.RoutingPolicyStatus) {
			s.Conditions = []metav1.Condition{{Type: iter8v1alpha1.ConditionReady, Status: status, Reason: reason, Message: message}}
		}
	}
	failed := func(reason, message string) func(*iter8v1alpha1.RoutingPolicyStatus) {
		return ready(metav1.ConditionFalse, reason, message)
	}
	well := ready(metav1.ConditionTrue, "Succeeded", "all is well")
	targets := func(to string) func(*iter8v1alpha1.RoutingPolicyStatus) {
		return func(s *iter8v1alpha1.RoutingPolicyStatus) { well(s); s.MirrorTargets = to }
	}
	rendered := func(name, version string) func(*iter8v1alpha1.RoutingPolicyStatus) {
		return func(s *iter8v1alpha1.RoutingPolicyStatus) {
			well(s)
			s.Chart = &iter8v1alpha1.ResolvedChart{Name: name, Version: version, Digest: "sha256:" + version}
		}
	}
	fresh := func(s *iter8v1alpha1.RoutingPolicyStatus) { s.ObservedGeneration, s.Conditions = -1, nil }
	for name, test := range map[string]struct {
		before, after func(*iter8v1alpha1.RoutingPolicyStatus)
		want          []string
	}{
		"nothing, where nothing changed":                 {well, well, nil},
		"that something failed":                          {well, failed("ApplyFailed", "timeout"), []string{"Warning ApplyFailed timeout"}},
		"that something failed at once":                  {fresh, failed("ApplyFailed", "timeout"), []string{"Warning ApplyFailed timeout"}},
		"that something failed for another reason":       {failed("Rejected", "no"), failed("ApplyFailed", "timeout"), []string{"Warning ApplyFailed timeout"}},
		"not again that the same failed, in other words": {failed("ApplyFailed", "timeout"), failed("ApplyFailed", "refused"), nil},
		"not what is unknown":                            {well, ready(metav1.ConditionUnknown, "Suspended", "suspended"), nil},
		"not that all is well again":                     {failed("ApplyFailed", "timeout"), well, nil},
		"not that a Subject isn't there":                 {well, failed("SubjectNotFound", "no Subject"), nil},
		"a reason and a message in so many bytes": {well, failed(strings.Repeat("R", 129), strings.Repeat("m", 1025)),
			[]string{"Warning " + strings.Repeat("R", 125) + "... " + strings.Repeat("m", 1021) + "..."}},
		"a reason and a message that just fit": {well, failed(strings.Repeat("R", 128), strings.Repeat("m", 1024)),
			[]string{"Warning " + strings.Repeat("R", 128) + " " + strings.Repeat("m", 1024)}},
		"that requests are mirrored":        {targets(""), targets("v2:80"), []string{"Normal MirrorsChanged requests are mirrored to v2:80"}},
		"where to they are mirrored":        {targets("v2:80"), targets("v3:80"), []string{"Normal MirrorsChanged requests are mirrored to v3:80"}},
		"that they aren't any more":         {targets("v2:80"), targets(""), []string{"Normal MirrorsChanged requests are no longer mirrored to v2:80"}},
		"not what a policy begins with":     {fresh, targets("v2:80"), nil},
		"that the chart is another":         {rendered("mirror", "1"), rendered("mirror", "2"), []string{"Normal ChartChanged chart mirror was version 1 (sha256:1), and is version 2 (sha256:2) now"}},
		"not that it is the same":           {rendered("mirror", "1"), rendered("mirror", "1"), nil},
		"not that the policy names another": {rendered("mirror", "1"), rendered("canary", "2"), nil},
		"not the first chart":               {well, rendered("mirror", "1"), nil},
		"not that there is none any more":   {rendered("mirror", "1"), well, nil},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(10)
			before, after := aPolicy(), aPolicy()
			before.Status.ObservedGeneration, after.Status.ObservedGeneration = 2, 3
			test.before(&before.Status)
			test.after(&after.Status)
			(&Reconciler{Recorder: recorder}).announce(before, after)
			close(recorder.Events)
			var got []string
			for e := range recorder.Events {
				got = append(got, e)
			}
			NewWithT(t).Expect(got).To(Equal(test.want))
		})
	}
}
