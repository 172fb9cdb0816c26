package crash

import (
	"context"
	"testing"

	. "github.com/onsi/gomega"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// What was created, but not yet recorded with its uid, has to go all the same when it isn't rendered any more; what was
// changed has to be changed back; and what was deleted has to come again.
func TestASuccessorMakesUpForASpecThatWasChangedBackMeanwhile(t *testing.T) {
	t.Parallel()
	sc := scenarios["the spec has changed"]
	ready := sc.prepare(t, sc.takes)
	var crashed []*trial
	for i, s := range ready {
		r := &trial{scene: s, killer: newKiller(unheard, i+1)}
		r.Expect(sc.play(r)).To(BeTrue())
		patch(s, s.policy("app"), func(p *iter8v1alpha1.RoutingPolicy) { setTemplates(p, first...) })
		crashed = append(crashed, r)
	}
	start(t, ready, nil, alone)
	for _, r := range crashed {
		r.Eventually(r.arrived("app", afterFirst)).Should(Succeed(), "%s", r)
		r.expectStaying(sc.stay)
	}
}

// An Event is written after the status that it tells of, and only where that has changed. An operator that dies in
// between takes the Event with it: the status says what stands, and an Event is told at most once.
func TestAnEventIsLostWithTheOperatorThatDiesBetweenStatusAndEvent(t *testing.T) {
	t.Parallel()
	sc := scenarios["the spec has changed"]
	s := sc.prepare(t, 1)[0]
	sc.change(s)
	k := newKiller(unheard, 2)
	victim := s.start(func(ctx context.Context, r env.Request) env.Verdict {
		if r.Resource != "routingpolicies" { // whose first write is of the inventory, the second of all the rest
			return env.Verdict{}
		}
		return k.hook(ctx, r)
	}, alone)
	k.arm(victim.Operator)
	s.Eventually(k.dead).Should(BeClosed())
	victim.kill()
	s.Expect(s.arrived("app", sc.end)()).To(Succeed())
	s.Expect(s.notes()).To(BeEmpty())

	successor := s.start(nil, alone)
	// It is at work when it has put something right. Events about what came before would have gone first.
	s.Expect(k8s.Delete(s.Context(), &gatewayv1.HTTPRoute{ObjectMeta: s.meta("kept")})).To(Succeed())
	s.Eventually(successor.writes).Should(Equal([]string{
		"patch httproutes " + s.namespace + "/kept",
		"patch routingpolicies/status " + s.namespace + "/app",
	}))
	s.Eventually(s.arrived("app", sc.end)).Should(Succeed())
	s.Consistently(func() int { return len(successor.writes()) }, "500ms").Should(Equal(2))
	s.Expect(s.notes()).To(BeEmpty())
}
