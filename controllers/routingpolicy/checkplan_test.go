package routingpolicy

import (
	"context"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// mirroredAndMore has a mirrored world's spec changed so that another filter is asked for, and another route.
func mirroredAndMore(t *testing.T, w *world) {
	t.Helper()
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Values = valuesOf(`{"rules": ` + rulesOf(toV2, toV2) + `, "others": ["more"]}`)
	})
}

// What the apiserver says of one of two objects that are about to be applied.
func TestOfSeveralObjectsNoneIsAppliedWhereOneWouldBeRefused(t *testing.T) {
	const refused = ": nothing is applied, since a dry run of all failed: applying HTTPRoute more: "
	none := []string{"dry-run web", "dry-run more", "status web"}
	both := []string{"dry-run web", "dry-run more", "status web,more?", "apply web", "apply more", "status web,more"}
	for name, test := range map[string]struct {
		answer error
		ready  string
		writes []string
		retry  bool
	}{
		"it is accepted":      {nil, "True Succeeded: 2 objects applied", both, false},
		"it is not valid":     {invalid("no"), "False Rejected" + refused, none, false},
		"a bad request":       {apierrors.NewBadRequest("no"), "False Rejected" + refused + "no", none, false},
		"it is forbidden":     {apierrors.NewForbidden(httpRoutes.GroupResource(), "more", errors.New("no")), "False Forbidden" + refused, none, true},
		"a webhook is unwell": {apierrors.NewInternalError(errors.New("failed calling webhook")), "False ApplyFailed" + refused, none, true},
		"it isn't answered":   {context.DeadlineExceeded, "False ApplyFailed" + refused + "context deadline exceeded", none, true},
		"a webhook doesn't support dry runs": {apierrors.NewBadRequest(`admission webhook "a.example.com" does not support dry run`),
			"True Succeeded: 2 objects applied", both, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			mirroredAndMore(t, w)
			w.answer("dry-run more", test.answer)
			w.settled(t, test.ready)
			w.Expect(w.written()).To(Equal(test.writes))
			if test.writes[2] == "status web" {
				w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "what stands stays")
				w.Expect(w.route("more")).To(BeNil())
			}
			_, err := w.reconcileOnce(t)
			if test.retry {
				w.Expect(err).To(MatchError(ContainSubstring("nothing is applied")))
			} else {
				w.Expect(err).NotTo(HaveOccurred())
			}
		})
	}
}

func TestARefusedPlanKeepsNoMirrorThatMayNotStand(t *testing.T) {
	w := newMirrored(t)
	mirroredAndMore(t, w)
	w.goes(t, "v2")
	w.answer("dry-run more", invalid("no"))
	w.settled(t, "False Rejected: nothing is applied")
	w.Expect(w.written()).To(Equal([]string{"edit web", "dry-run web", "dry-run more", "status web"}), "it doesn't even wait for the answers")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
}

func TestFlipsOfSeveralObjectsAreNotCheckedAgain(t *testing.T) {
	policy := templated("one", "two")
	for i, name := range []string{"one", "two"} {
		policy.Spec.Templates[i].Template = aRoute(name, "{backendRefs: [{name: web-v1, port: 80}], filters: ["+mirrorTo("name: web-v2, port: 80", "")+"]}")
	}
	w := newMirroredBy(t, policy)
	w.settled(t, "True Succeeded: 2 objects applied")
	w.Expect(w.written()).To(Equal([]string{"dry-run one", "dry-run two", "status one?,two?", "apply one", "apply two", "status one,two"}))
	w.goes(t, "v2")
	w.settled(t, "True Succeeded: no mirror to web-v2:80")
	w.comes(t, "v2")
	w.settled(t, "True Succeeded: 2 objects applied")
	flip := []string{"apply one", "apply two", "status one,two"}
	w.Expect(w.written()).To(Equal(append(append([]string{}, flip...), flip...)))
}

func TestAPlanIsCheckedThoughTheRecordedVersionWasDropped(t *testing.T) {
	w := newMirrored(t)
	w.recordedAsDropped(t)
	w.startedAgain(t, threeVariants())
	mirroredAndMore(t, w)
	w.answer("dry-run more", invalid("no"))
	w.settled(t, "False Rejected: nothing is applied, since a dry run of all failed")
	w.Expect(w.written()).NotTo(ContainElement(HavePrefix("apply")))
}
