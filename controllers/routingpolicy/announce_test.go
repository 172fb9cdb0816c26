package routingpolicy

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
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

func TestItIsAnnouncedWhyMirrorsWent(t *testing.T) {
	stands := func(to, percent string) iter8v1alpha1.Mirror {
		return iter8v1alpha1.Mirror{Route: "HTTPRoute/web", To: to, Percent: percent, State: iter8v1alpha1.MirrorActive}
	}
	narrowed := stands("v2:80", "10")
	narrowed.Message = "only 10% of the requests are mirrored to v2:80: the weight of variant v2 is 10 (the Subject's)"
	withheldFor := func(to, why string) iter8v1alpha1.Mirror {
		return iter8v1alpha1.Mirror{Route: "HTTPRoute/web", To: to, Percent: "0", State: iter8v1alpha1.MirrorWithheld, Message: "no mirror to " + to + ": " + why}
	}
	elsewhere := stands("v2:80", "100")
	elsewhere.Route = "HTTPRoute/other"
	type mirrors = []iter8v1alpha1.Mirror
	const noLonger, are = "Normal MirrorsChanged requests are no longer mirrored to ", "Normal MirrorsChanged requests are mirrored to "
	for name, test := range map[string]struct {
		before, after mirrors
		was, is, want string
		ready         metav1.Condition
	}{
		"the only one": {mirrors{stands("v2:80", "100")}, mirrors{withheldFor("v2:80", "Service v2 does not exist")}, "v2:80", "", noLonger + "v2:80: Service v2 does not exist", metav1.Condition{}},
		"several, for two reasons": {mirrors{stands("v2:80", "100"), stands("v3:80", "100"), stands("v4:80", "100")},
			mirrors{withheldFor("v2:80", "spec.withdrawn is set"), withheldFor("v3:80", "spec.withdrawn is set"), withheldFor("v4:80", "Service v4 does not exist")}, "v2:80,v3:80,v4:80", "",
			noLonger + "v2:80,v3:80,v4:80: spec.withdrawn is set; Service v4 does not exist", metav1.Condition{}},
		"one of two": {mirrors{stands("v2:80", "100"), stands("v3:80", "100")}, mirrors{withheldFor("v2:80", "Service v2 does not exist"), stands("v3:80", "100")}, "v2:80,v3:80", "v3:80",
			are + "v3:80; no mirror to v2:80: Service v2 does not exist", metav1.Condition{}},
		"one that is smaller":      {mirrors{stands("v2:80", "100")}, mirrors{narrowed}, "v2:80", "v2:80 (10%)", are + "v2:80 (10%); " + narrowed.Message, metav1.Condition{}},
		"one that is larger":       {mirrors{narrowed}, mirrors{stands("v2:80", "100")}, "v2:80 (10%)", "v2:80", are + "v2:80", metav1.Condition{}},
		"one that comes":           {mirrors{withheldFor("v2:80", "Service v2 does not exist")}, mirrors{stands("v2:80", "100")}, "", "v2:80", are + "v2:80", metav1.Condition{}},
		"one that left the render": {mirrors{stands("v2:80", "100")}, nil, "v2:80", "", noLonger + "v2:80: it is no longer asked for", metav1.Condition{}},
		"one in another rule now":  {mirrors{stands("v2:80", "100"), stands("v3:80", "100")}, mirrors{elsewhere}, "v2:80,v3:80", "v2:80", are + "v2:80; no mirror to v3:80: it is no longer asked for", metav1.Condition{}},
		"one whose Subject went": {mirrors{stands("v2:80", "100")}, nil, "v2:80", "", noLonger + "v2:80: Subject web does not exist",
			metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse, Reason: "SubjectNotFound", Message: "Subject web does not exist"}},
		"more than an Event has room for": {mirrors{stands("v2:80", "100")}, mirrors{withheldFor("v2:80", strings.Repeat("m", 1024))}, "v2:80", "",
			noLonger + "v2:80: " + strings.Repeat("m", 1024-len("requests are no longer mirrored to v2:80: ")-3) + "...", metav1.Condition{}},
	} {
		t.Run(name, func(t *testing.T) {
			recorder := events.NewFakeRecorder(10)
			before, after := aPolicy(), aPolicy()
			before.Status = iter8v1alpha1.RoutingPolicyStatus{ObservedGeneration: 1, Mirrors: test.before, MirrorTargets: test.was}
			after.Status = iter8v1alpha1.RoutingPolicyStatus{ObservedGeneration: 1, Mirrors: test.after, MirrorTargets: test.is}
			if test.ready.Type != "" {
				after.Status.Conditions = []metav1.Condition{test.ready}
			}
			(&Reconciler{Recorder: recorder}).announce(before, after)
			NewWithT(t).Expect(recorder.Events).To(Receive(Equal(test.want)))
		})
	}
}

// related is a recorder that notes the objects that Events relate to.
type related struct{ events []string }

func (r *related) Eventf(_, about runtime.Object, kind, reason, action, note string, args ...any) {
	text := fmt.Sprintf(kind+" "+reason+" "+action+" "+note, args...)
	if o, ok := about.(*unstructured.Unstructured); ok {
		text += fmt.Sprintf(" (%s %s/%s %s)", o.GroupVersionKind().Kind, o.GetNamespace(), o.GetName(), o.GetUID())
	}
	r.events = append(r.events, text)
}

func TestEachDeletionIsAnnounced(t *testing.T) {
	const deleted = "Warning RouteDeleted Delete HTTPRoute "
	w := newWorld(t, simple(), templated("one", "two", "three"))
	w.subjects.OnAdd(simple(), false)
	w.settled(t, "True Succeeded: 3 objects applied")
	recorder := &related{}
	w.reconciler.Recorder = recorder
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates = p.Spec.Templates[:2] })
	w.settled(t, "True Succeeded: 2 objects applied")
	w.Expect(recorder.events).To(Equal([]string{deleted + "three is deleted, since it is no longer rendered (HTTPRoute test/three uid-of-three)"}))

	recorder.events = nil
	w.answer("delete", errors.New("no"))
	w.Expect(w.client.Delete(t.Context(), simple())).To(Succeed())
	w.subjects.OnDelete(simple())
	_, err := w.reconcileOnce(t)
	w.Expect(err).To(HaveOccurred())
	w.Expect(recorder.events).NotTo(ContainElement(HavePrefix(deleted)), "it isn't deleted")
	w.answer("delete", nil)
	w.Eventually(func() []string { _, _ = w.reconcileOnce(t); return recorder.events }).Should(ContainElements(
		deleted+"two is deleted, since Subject web was deleted (HTTPRoute test/two uid-of-two)",
		deleted+"one is deleted, since Subject web was deleted (HTTPRoute test/one uid-of-one)"))
}
