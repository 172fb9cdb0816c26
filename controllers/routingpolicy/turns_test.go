package routingpolicy

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// newBothOnTrial is a world whose route was accepted without mirrors, and has got both of them since.
func newBothOnTrial(t *testing.T) *world {
	t.Helper()
	policy := mirroring()
	policy.Spec.Values = valuesOf(`{"parentRefs": [{"name": "edge"}], "rules": ` + rulesOf(toV2, toV3) + `}`)
	w := newMirroredBy(t, policy)
	w.goes(t, "v2")
	w.goes(t, "v3")
	w.settled(t, "True Succeeded")
	w.gatewaySays(t, "True")
	w.reconcile(t)
	w.comes(t, "v2")
	w.comes(t, "v3")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	return w
}

// judges has the route's Gateway say of what stands whether it takes it: it doesn't where a mirror to v2 is in it.
func (w *world) judges(t *testing.T) {
	t.Helper()
	if w.policy(t).Status.Mirrors[0].State == iter8v1alpha1.MirrorWithheld {
		w.gatewaySays(t, "True")
	} else {
		w.gatewaySays(t, "False")
	}
	w.reconcile(t)
}

func TestMirrorsThatAreRefusedTogetherAreTriedOneByOne(t *testing.T) {
	w := newBothOnTrial(t)
	w.judges(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", "")), "both may be it")
	w.Expect(w.policy(t).Status.Mirrors).To(HaveEach(HaveField("Message",
		HaveSuffix("no mirrors here (refused together with 1 other mirror of the route; each is tried again by itself)"))))
	w.judges(t)

	w.clockAt(now.Add(15 * time.Second))
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, "")), "one is tried")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, "")), "the other one waits for the gateway")
	w.judges(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", "")), "it is refused by itself; the other one waits until the gateway has looked")
	w.judges(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)), "then the other one is tried")
	w.judges(t)
	w.Expect(w.mirrors(t)).To(HaveExactElements(refusedV2, "web-v3:80 100% Active v3"))
}

func TestARefusedMirrorDoesNotWaitForOneThatNothingIsSaidOf(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile func(*testing.T, *world)
		after     time.Duration
		want      string
	}{
		"its variant is gone: it doesn't come":        {func(t *testing.T, w *world) { t.Helper(); w.goes(t, "v2") }, 30 * time.Second, rulesOf("", toV3)},
		"the gateway says nothing of it, for a while": {func(*testing.T, *world) {}, 30 * time.Minute, rulesOf(toV2, "")},
		"the gateway says nothing of it, for an hour": {func(*testing.T, *world) {}, time.Hour, rulesOf(toV2, toV3)},
	} {
		t.Run(name, func(t *testing.T) {
			w := newBothOnTrial(t)
			w.judges(t)
			w.judges(t)
			test.meanwhile(t, w)
			w.clockAt(now.Add(15 * time.Second))
			w.reconcile(t)
			w.clockAt(now.Add(15*time.Second + test.after))
			w.reconcile(t)
			w.Expect(w.rules("web")).To(MatchJSON(test.want))
		})
	}
}

// What is refused while a mirror is on trial is no word on one that was taken out before.
func TestAMirrorThatComesWhileTheGatewayStillIsToSpeakIsOnTrial(t *testing.T) {
	w := newOnTrial(t)
	w.goes(t, "v3")
	w.reconcile(t)
	w.gatewaySays(t, "False")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", "")))
	w.comes(t, "v3")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	w.gatewaySays(t, "False")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", "")), "it may be either of them")
	w.gatewaySays(t, "False")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "it was neither")
}
