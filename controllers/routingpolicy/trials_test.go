package routingpolicy

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	ctrl "sigs.k8s.io/controller-runtime"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

const refusedV2 = "web-v2:80 0% Withheld v2 MirrorRefused: no mirror to web-v2:80: HTTPRoute web: Gateway test/edge says Accepted False: UnsupportedValue: no mirrors here"

// newOnTrial is a world whose route was accepted by its Gateway without the mirror to v2, which has come since.
func newOnTrial(t *testing.T) *world {
	t.Helper()
	policy := mirroring()
	policy.Spec.Values = valuesOf(`{"parentRefs": [{"name": "edge"}], "rules": ` + rulesOf(toV2, toV3) + `}`)
	w := newMirroredBy(t, policy)
	w.goes(t, "v2")
	w.settled(t, "True Succeeded")
	w.gatewaySays(t, "True")
	w.reconcile(t)
	w.Expect(w.mirrors(t)).To(HaveExactElements(goneV2, "web-v3:80 100% Active v3"))
	w.comes(t, "v2")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
	w.written()
	return w
}

// gatewaySays has the route's Gateway report on it as it is, and returns once that is seen.
func (w *world) gatewaySays(t *testing.T, status string) {
	t.Helper()
	w.gatewaySaysOf(t, "web", status)
}

func (w *world) gatewaySaysOf(t *testing.T, name, status string) {
	t.Helper()
	route := w.route(name)
	reason, message := "Accepted", ""
	if status == "False" {
		reason, message = "UnsupportedValue", "no mirrors here"
	}
	condition := func(kind, status, reason, message string) any {
		return map[string]any{"type": kind, "status": status, "reason": reason, "message": message,
			"observedGeneration": route.GetGeneration(), "lastTransitionTime": "2026-01-01T00:00:00Z"}
	}
	w.Expect(unstructured.SetNestedSlice(route.Object, []any{map[string]any{
		"parentRef": map[string]any{"name": "edge"}, "controllerName": "example.com/gateway",
		"conditions": []any{condition("Accepted", status, reason, message), condition("ResolvedRefs", "True", "ResolvedRefs", "")},
	}}, "status", "parents")).To(Succeed())
	w.Expect(w.cluster.Tracker().Update(httpRoutes, route, "test")).To(Succeed())
	w.Eventually(func() string {
		return string(w.reconciler.Routes.Get(httpRoutes.GroupVersion().WithKind("HTTPRoute"), nameIn(name)).Acceptance.Status)
	}).Should(Equal(status))
}

// reconcile reconciles until nothing is written, and returns how long it is until it is to be again.
func (w *world) reconcile(t *testing.T) time.Duration {
	t.Helper()
	var result ctrl.Result
	w.Eventually(func() []string {
		result, _ = w.reconcileOnce(t)
		return w.written()
	}).MustPassRepeatedly(2).Should(BeEmpty())
	return result.RequeueAfter
}

func TestAMirrorThatTheGatewayRefusesIsTakenBack(t *testing.T) {
	w := newOnTrial(t)
	w.gatewaySays(t, "False")
	_, _ = w.reconcileOnce(t)
	w.Expect(w.written()).To(Equal([]string{"apply web", "status web"}), "at once")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	w.Expect(w.mirrors(t)).To(HaveExactElements(refusedV2, mirroredToV3))
	w.Expect(w.ready(t)).To(HavePrefix("False MirrorRefused: no mirror to web-v2:80: HTTPRoute web: Gateway test/edge says Accepted False: UnsupportedValue"))

	w.gatewaySays(t, "True")
	w.Expect(w.reconcile(t)).To(Equal(15*time.Second), "it is tried again")
	w.Expect(w.mirrors(t)).To(HaveExactElements(refusedV2, "web-v3:80 100% Active v3"))
	w.Expect(w.policy(t).Status.Mirrors[0].Refusal).To(HaveValue(And(HaveField("Confirmed", true), HaveField("Times", int32(1)))))

	w.gatewaySays(t, "False")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)), "what it refuses later is another thing")
	w.gatewaySays(t, "True")
	w.reconcile(t)

	for i, wait := range []time.Duration{15 * time.Second, 30 * time.Second, time.Minute} {
		at := w.reconciler.clock().Add(wait)
		w.clockAt(at.Add(-time.Second))
		w.reconcile(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)), "not before its time")
		w.clockAt(at)
		w.reconcile(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "tried again")
		w.gatewaySays(t, "False")
		w.reconcile(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)), "refused again")
		w.gatewaySays(t, "True")
		w.reconcile(t)
		w.Expect(w.policy(t).Status.Mirrors[0].Refusal).To(HaveValue(HaveField("Times", int32(i+2))))
	}
}

func TestARefusedMirrorIsTriedAnewWithOtherInputs(t *testing.T) {
	w := newOnTrial(t)
	w.gatewaySays(t, "False")
	w.reconcile(t)
	w.gatewaySays(t, "True")
	w.reconcile(t)
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Values = valuesOf(`{"parentRefs": [{"name": "edge"}], "rules": ` + rulesOf(toPartOfV2, toV3) + `}`)
	})
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toPartOfV2, toV3)))
	w.gatewaySays(t, "True")
	w.reconcile(t)
	w.Expect(w.mirrors(t)).To(HaveExactElements("web-v2:80 20% Active v2", "web-v3:80 100% Active v3"))
	w.Expect(w.policy(t).Status.Mirrors[0]).To(And(HaveField("Refusal", BeNil()), HaveField("OnTrial", false)))
	w.Expect(w.ready(t)).To(HavePrefix("True Succeeded"))
}

func TestAMirrorIsNotBlamedForWhatItIsNot(t *testing.T) {
	t.Run("the route is refused without it as well", func(t *testing.T) {
		w := newOnTrial(t)
		w.gatewaySays(t, "False")
		w.reconcile(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
		w.gatewaySays(t, "False")
		w.reconcile(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "it comes back")
		w.gatewaySays(t, "False")
		w.reconcile(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "and stays")
		w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
		w.Expect(w.ready(t)).To(HavePrefix("False UnsupportedValue"), "the gateway says it")
	})
	t.Run("the gateway has accepted it, and refuses later", func(t *testing.T) {
		w := newOnTrial(t)
		w.gatewaySays(t, "True")
		w.reconcile(t)
		w.Expect(w.mirrors(t)).To(HaveExactElements("web-v2:80 100% Active v2", "web-v3:80 100% Active v3"))
		w.gatewaySays(t, "False")
		w.reconcile(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	})
	t.Run("the route has never been accepted without it", func(t *testing.T) {
		policy := mirroring()
		policy.Spec.Values = valuesOf(`{"parentRefs": [{"name": "edge"}], "rules": ` + rulesOf(toV2, toV3) + `}`)
		w := newMirroredBy(t, policy)
		w.settled(t, "True Succeeded")
		w.gatewaySays(t, "False")
		w.reconcile(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	})
	t.Run("the gateway says nothing of the route without it", func(t *testing.T) {
		w := newOnTrial(t)
		w.gatewaySays(t, "False")
		w.Expect(w.reconcile(t)).To(Equal(15 * time.Second))
		w.clockAt(now.Add(15 * time.Second))
		w.reconcile(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "it is tried again")
	})
}

func TestAMirrorThatIsRefusedBeforeTheStatusTellsOfItIsTakenBack(t *testing.T) {
	w := newOnTrial(t)
	w.goes(t, "v2")
	w.reconcile(t)
	w.gatewaySays(t, "True")
	w.reconcile(t)
	w.comes(t, "v2")
	w.answer("status web", errors.New("it crashed"))
	_, _ = w.reconcileOnce(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.gatewaySays(t, "False")
	w.answer("status web", nil)
	result, _ := w.reconcileOnce(t)
	w.Expect(result.RequeueAfter).To(BeNumerically("<=", time.Second))
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
}

func TestARefusalOutlastsItsVariant(t *testing.T) {
	w := newOnTrial(t)
	w.gatewaySays(t, "False")
	w.reconcile(t)
	w.gatewaySays(t, "True")
	w.reconcile(t)
	w.goes(t, "v2")
	w.reconcile(t)
	w.Expect(w.mirrors(t)).To(HaveExactElements(goneV2, "web-v3:80 100% Active v3"), "that is why it is out")
	w.comes(t, "v2")
	w.reconcile(t)
	w.Expect(w.mirrors(t)).To(HaveExactElements(refusedV2, "web-v3:80 100% Active v3"))
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
}

// What can't be taken out is refused once, however often that is looked at.
func TestARefusedMirrorThatHasToStayIsOneRefusal(t *testing.T) {
	w := newOnTrial(t)
	w.change(t, suspend)
	w.suspended(t)
	w.gatewaySays(t, "False")
	w.reconcile(t)
	for i := range 5 {
		w.clockAt(now.Add(time.Duration(i+1) * 5 * time.Second))
		result, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(result.RequeueAfter).To(SatisfyAny(BeZero(), BeNumerically(">", time.Second)))
	}
	w.Expect(w.written()).To(BeEmpty())
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.Expect(w.policy(t).Status.Mirrors[0].Refusal).To(HaveValue(HaveField("Times", int32(1))))
}

// A slow gateway is none that takes everything.
func TestARefusedMirrorIsOnTrialWhenItIsTriedAgain(t *testing.T) {
	w := newOnTrial(t)
	w.gatewaySays(t, "False")
	w.reconcile(t)
	w.clockAt(now.Add(15 * time.Second))
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "it is tried again, though the gateway has said nothing yet")
	w.gatewaySays(t, "False")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)), "refused again")
	w.Expect(w.policy(t).Status.Mirrors[0].Refusal).To(HaveValue(HaveField("Times", int32(2))))
}

// A variant may flip more quickly than a gateway answers.
func TestAMirrorThatComesBackBeforeTheGatewayAnsweredIsOnTrial(t *testing.T) {
	w := newOnTrial(t)
	w.goes(t, "v2")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	w.comes(t, "v2")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.gatewaySays(t, "False")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)), "refused")
}

// The status has one mirror where its rule is split in three, each of which has another match.
func TestAMirrorOfARuleThatIsSplitIsTakenBack(t *testing.T) {
	const replaced = `{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}`
	policy := mirroring()
	policy.Spec.Values = valuesOf(`{"parentRefs": [{"name": "edge"}], "mirrorUnsafeMethods": false, "rules": ` + rulesOf("", replaced+", "+toV3) + `}`)
	w := newMirroredBy(t, policy)
	w.goes(t, "v3")
	w.settled(t, "True Succeeded")
	w.gatewaySays(t, "True")
	w.reconcile(t)
	w.comes(t, "v3")
	w.reconcile(t)
	w.Expect(w.rules("web")).To(ContainSubstring("requestMirror"))
	w.gatewaySays(t, "False")
	w.reconcile(t)
	w.Expect(w.rules("web")).NotTo(ContainSubstring("requestMirror"))
	w.Expect(w.ready(t)).To(HavePrefix("False MirrorRefused"))
	w.gatewaySays(t, "True")
	w.reconcile(t)
	w.Expect(w.policy(t).Status.Mirrors).To(HaveExactElements(HaveField("Refusal", HaveValue(HaveField("Confirmed", true)))))
}

// What is said of one route of a policy is no word on another.
func TestAMirrorIsJudgedByItsOwnRoute(t *testing.T) {
	const parents = `parentRefs: [{name: edge}], rules: `
	inTemplates := func(routes map[string]string) *iter8v1alpha1.RoutingPolicy {
		policy := aPolicy()
		for _, name := range []string{"other", "web"} {
			policy.Spec.Templates = append(policy.Spec.Templates, iter8v1alpha1.InlineTemplate{Name: name, Template: "{apiVersion: gateway.networking.k8s.io/v1, " +
				"kind: HTTPRoute, metadata: {name: " + name + "}, spec: {" + parents + routes[name] + "}}"})
		}
		return policy
	}
	toV1 := rulesOf("", "")
	for name, test := range map[string]struct {
		saysOfOther string
	}{
		"the other one was refused for another cause": {"False"},
		"of the other one nothing is said":            {""},
		"the other one is accepted":                   {"True"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirroredBy(t, inTemplates(map[string]string{"web": rulesOf(toV2, toV3), "other": toV1}))
			w.goes(t, "v2")
			w.settled(t, "True Succeeded")
			w.gatewaySays(t, "True")
			if test.saysOfOther != "" {
				w.gatewaySaysOf(t, "other", test.saysOfOther)
			}
			w.reconcile(t)
			w.comes(t, "v2")
			w.reconcile(t)
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
			w.gatewaySays(t, "False")
			w.reconcile(t)
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
			w.gatewaySays(t, "True")
			w.reconcile(t)
			w.Expect(w.mirrors(t)).To(HaveExactElements(refusedV2, "web-v3:80 100% Active v3"))
		})
	}
	t.Run("it was refused for another cause, and the other one is accepted", func(t *testing.T) {
		w := newMirroredBy(t, inTemplates(map[string]string{"web": rulesOf(toV2, toV3), "other": toV1}))
		w.goes(t, "v2")
		w.settled(t, "True Succeeded")
		w.gatewaySays(t, "False")
		w.gatewaySaysOf(t, "other", "True")
		w.reconcile(t)
		w.comes(t, "v2")
		w.reconcile(t)
		w.gatewaySays(t, "False")
		w.reconcile(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "it was refused without it as well")
	})
	t.Run("a write of the spec before it, on which the gateway hasn't reported yet", func(t *testing.T) {
		w := newOnTrial(t)
		w.goes(t, "v2")
		w.reconcile(t)
		w.gatewaySays(t, "True")
		w.reconcile(t)
		w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
			p.Spec.Values = valuesOf(`{"parentRefs": [{"name": "edge"}], "rules": ` + rulesOf(toPartOfV2, toV3) + `, "others": ["other"]}`)
		})
		w.reconcile(t)
		w.comes(t, "v2")
		w.reconcile(t)
		w.gatewaySays(t, "False")
		w.reconcile(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	})
}

// A gateway that takes a mirror may refuse another share of it, or another way to write it.
func TestAMirrorThatChangesInPlaceIsOnTrial(t *testing.T) {
	const asFraction = `{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web-v2", "port": 80}, "fraction": {"numerator": 1, "denominator": 5}}}`
	asks := func(filter string) func(*iter8v1alpha1.RoutingPolicy) {
		return func(p *iter8v1alpha1.RoutingPolicy) {
			p.Spec.Values = valuesOf(`{"parentRefs": [{"name": "edge"}], "rules": ` + rulesOf(filter, toV3) + `}`)
		}
	}
	accepted := func(t *testing.T, filter string) *world {
		t.Helper()
		policy := mirroring()
		asks(filter)(policy)
		w := newMirroredBy(t, policy)
		w.settled(t, "True Succeeded")
		w.gatewaySays(t, "True")
		w.reconcile(t)
		w.Expect(w.policy(t).Status.Mirrors).To(HaveEach(HaveField("State", iter8v1alpha1.MirrorActive)))
		return w
	}
	for name, test := range map[string]struct{ from, to string }{
		"it is widened":                    {toPartOfV2, toV2},
		"it is narrowed":                   {toV2, toPartOfV2},
		"the same share is written anew":   {toPartOfV2, asFraction},
		"the share is written differently": {asFraction, toPartOfV2},
	} {
		t.Run(name, func(t *testing.T) {
			w := accepted(t, test.from)
			w.change(t, asks(test.to))
			w.reconcile(t)
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf(test.to, toV3)))
			w.gatewaySays(t, "False")
			w.reconcile(t)
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
			w.gatewaySays(t, "True")
			w.reconcile(t)
			w.Expect(w.mirrors(t)).To(HaveExactElements(refusedV2, "web-v3:80 100% Active v3"), "the other one stands as it did")
		})
	}
	t.Run("the operator died before the status told of it", func(t *testing.T) {
		w := accepted(t, toPartOfV2)
		w.change(t, asks(toV2))
		w.answer("status web", errors.New("it crashed"))
		_, _ = w.reconcileOnce(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
		w.gatewaySays(t, "False")
		w.answer("status web", nil)
		w.reconcile(t)
		w.reconcile(t)
		w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	})
	t.Run("the other mirror stays as it is, and isn't blamed", func(t *testing.T) {
		w := accepted(t, toPartOfV2)
		w.change(t, asks(toV2))
		w.reconcile(t)
		w.Expect(w.policy(t).Status.Mirrors).To(HaveExactElements(HaveField("OnTrial", true), HaveField("OnTrial", false)))
	})
}
