package routingpolicy

import (
	"errors"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

const toPartOfV2 = `{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web-v2", "port": 80}, "percent": 20}}`

// eachRule returns a webhook that changes the rules of a route, each by its position.
func eachRule(change func(position int, rule map[string]any)) func(*unstructured.Unstructured) {
	return func(u *unstructured.Unstructured) {
		rules := u.Object["spec"].(map[string]any)["rules"].([]any)
		for i := range rules {
			change(i, rules[i].(map[string]any))
		}
	}
}

// strips takes out the filters of the first rule.
func strips() func(*unstructured.Unstructured) {
	return eachRule(func(position int, rule map[string]any) {
		if position == 0 {
			delete(rule, "filters")
		}
	})
}

// widens has the mirrors that ask for a part of the requests get half of them.
func widens() func(*unstructured.Unstructured) {
	return eachRule(func(_ int, rule map[string]any) {
		filters, _ := rule["filters"].([]any)
		for _, filter := range filters {
			if mirror, _ := filter.(map[string]any)["requestMirror"].(map[string]any); mirror["percent"] != nil {
				mirror["percent"] = int64(50)
			}
		}
	})
}

func TestAMirrorThatOthersAlter(t *testing.T) {
	const altered = "web-v2:80 0% Withheld v2 Altered: no mirror to web-v2:80: an admission policy or webhook changed it"
	for name, test := range map[string]struct {
		webhook func(*unstructured.Unstructured)
		// asked is the mirror that the policy asks for, and first what the first reconcile writes, after its inventory.
		asked string
		first []string
	}{
		"it is taken out": {strips(), toV2, []string{"apply web"}},
		"it is widened":   {widens(), toPartOfV2, []string{"apply web", "edit web"}},
	} {
		t.Run(name, func(t *testing.T) {
			policy := mirroring()
			policy.Spec.Values = valuesOf(`{"rules": ` + rulesOf(test.asked, toV3) + `}`)
			w := newMirroredBy(t, policy)
			w.webhook = test.webhook
			w.settled(t, "False Altered: no mirror to web-v2:80: an admission policy or webhook changed it")
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
			w.Expect(w.mirrors(t)).To(HaveExactElements(altered, mirroredToV3))
			w.Expect(w.written()).To(Equal(append(append([]string{"status web?"}, test.first...), "status web")))

			_, err := w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.written()).To(Equal([]string{"apply web", "status web"}), "what is asked for now is without it")
			result, err := w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.written()).To(BeEmpty(), "at rest")
			w.Expect(result.RequeueAfter).To(Equal(10*time.Minute+time.Second), "an admission policy may have changed, which is no event")
			w.Expect(w.mirrors(t)).To(HaveExactElements(altered, mirroredToV3))

			w.clockAt(now.Add(9 * time.Minute))
			_, _ = w.reconcileOnce(t)
			w.Expect(w.written()).To(BeEmpty(), "not before the interval is over")

			w.clockAt(now.Add(10*time.Minute + time.Second))
			_, _ = w.reconcileOnce(t)
			w.Expect(w.written()).To(Equal(append(test.first, "status web")), "tried again")
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
			w.Expect(w.policy(t).Status.Mirrors[0].Since).To(HaveValue(HaveField("Time", BeTemporally("==", now.Add(10*time.Minute+time.Second)))), "and altered anew")

			w.webhook = nil
			w.change(t, func(*iter8v1alpha1.RoutingPolicy) {}) // a new generation
			w.settled(t, "True Succeeded")
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf(test.asked, toV3)))
		})
	}
}

// What the API fills in is no alteration, nor what a webhook adds that isn't a mirror.
func TestWhatTheAPIServerFillsInAltersNoMirror(t *testing.T) {
	w := newMirroredBy(t, mirroring())
	w.webhook = eachRule(func(_ int, rule map[string]any) {
		if rule["matches"] == nil {
			rule["matches"] = []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": "/"}}}
		}
		rule["timeouts"] = map[string]any{"request": "5s"}
		for _, backend := range rule["backendRefs"].([]any) {
			backend.(map[string]any)["weight"] = int64(1)
		}
		for _, filter := range rule["filters"].([]any) {
			backend := filter.(map[string]any)["requestMirror"].(map[string]any)["backendRef"].(map[string]any)
			backend["group"], backend["kind"] = "", "Service"
		}
	})
	w.settled(t, "True Succeeded: 1 object applied")
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
	w.Expect(w.written()).To(Equal([]string{"status web?", "apply web", "status web"}))
	_, _ = w.reconcileOnce(t)
	w.Expect(w.written()).To(BeEmpty(), "at rest")
}

// A rule that replaces its prefix takes exactly one match, so that one mirror of the values stands in three rules.
func TestAMirrorThatStandsInSeveralRulesIsOne(t *testing.T) {
	const replaced = `{"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/"}}}`
	policy := mirroring()
	policy.Spec.Values = valuesOf(`{"mirrorUnsafeMethods": false, "rules": ` + rulesOf("", replaced+", "+toV3) + `}`)
	w := newMirroredBy(t, policy)
	w.settled(t, "True Succeeded: 1 object applied")
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV3))
	w.Expect(w.policy(t).Status.Mirrors[0].Match).To(Equal("GET, PathPrefix /api or HEAD, PathPrefix /api or OPTIONS, PathPrefix /api"))
	w.Expect(w.written()).To(Equal([]string{"status web?", "apply web", "status web"}))
	_, _ = w.reconcileOnce(t)
	w.Expect(w.written()).To(BeEmpty(), "at rest")
}

// What the policy's route is edited to is what stands, also where the cache shows that too late.
func TestARouteThatChangedMeanwhileIsReadAgain(t *testing.T) {
	w := newMirrored(t)
	w.goes(t, "v2")
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = valuesOf(`{"rules": 1}`) })
	tries := 0
	w.beforeEdit = func() {
		tries++
		if tries == 1 { // the order of the rules is another now
			changed := w.route("web").DeepCopy()
			rules := changed.Object["spec"].(map[string]any)["rules"].([]any)
			rules[0], rules[1] = rules[1], rules[0]
			w.Expect(w.cluster.Tracker().Update(httpRoutes, changed, "test")).To(Succeed())
		}
	}
	_, _ = w.reconcileOnce(t)
	w.Expect(w.written()).To(Equal([]string{"edit web", "edit web", "status web"}))
	w.Expect(jsonOf(w.WithT, []byte(`{"rules": `+w.rules("web")+`}`), "rules")).NotTo(ContainSubstring("web-v2"))
	w.Expect(w.rules("web")).To(ContainSubstring("web-v3"))
}

// What can't be taken out is told and tried again, and the status says that it stands.
func TestAMirrorThatCanNotBeTakenOut(t *testing.T) {
	for name, test := range map[string]struct {
		answer error
		reason string
	}{
		"the apiserver fails":            {apierrors.NewServiceUnavailable("starting"), "ApplyFailed"},
		"the operator isn't allowed to":  {apierrors.NewForbidden(httpRoutes.GroupResource(), "web", errors.New("not you")), "Forbidden"},
		"the route is never what it was": {apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", "test failed", 0, false), "ApplyFailed"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			w.goes(t, "v2")
			w.answer("edit web", test.answer)
			w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = valuesOf(`{"rules": 1}`) })
			_, err := w.reconcileOnce(t)
			w.Expect(err).To(MatchError(HavePrefix("taking mirrors out of HTTPRoute web: ")), "it is tried again")
			w.Expect(w.ready(t)).To(HavePrefix("False InvalidValues"))
			w.Expect(w.policy(t).Status.Conditions).To(ContainElement(And(HaveField("Type", "Applied"), HaveField("Reason", test.reason), HaveField("Message", HavePrefix("taking mirrors out of HTTPRoute web: ")))))
			w.Expect(w.policy(t).Status.Conditions).To(ContainElement(HaveField("Type", "Reconciling")))
			w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3), "they stand")
			w.Expect(w.policy(t).Status.MirrorTargets).To(Equal("web-v2:80,web-v3:80"))
			w.answer("edit web", nil)
			_, err = w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
		})
	}
}

// After a start without the right to list routes, these are read one by one.
func TestAMirrorGoesWithItsVariantWhereRoutesCanNotBeWatched(t *testing.T) {
	w := newMirrored(t)
	w.forbid(httpRoutes)
	w.startedAgain(t, threeVariants())
	w.settled(t, "False WatchFailed")
	_, _ = w.reconcileOnce(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3), "they stand")
	w.goes(t, "v2")
	w.written()
	_, _ = w.reconcileOnce(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	w.Expect(w.mirrors(t)).To(HaveExactElements(goneV2, mirroredToV3))
	w.Expect(w.written()).To(Equal([]string{"edit web", "status web"}))

	_, _ = w.reconcileOnce(t)
	w.Expect(w.mirrors(t)).To(HaveExactElements(goneV2, mirroredToV3), "the same again")
	w.Expect(w.written()).To(BeEmpty())
}

// What can't even be read stands as it was last known.
func TestWhatCanNotBeReadOfARouteIsNotMadeUp(t *testing.T) {
	w := newMirrored(t)
	w.forbid(httpRoutes)
	w.cluster.PrependReactor("get", "httproutes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(httpRoutes.GroupResource(), "web", errors.New("not you"))
	})
	w.startedAgain(t, threeVariants())
	w.settled(t, "False WatchFailed")
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
	w.goes(t, "v2")
	_, _ = w.reconcileOnce(t)
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
}

// Of two mirrors that no request tells apart, what stands is that which may.
func TestAMirrorThatIsWithheldBesideOneOfItsKind(t *testing.T) {
	zero := strings.Replace(toV2, `"requestMirror": {`, `"requestMirror": {"percent": 0, `, 1)
	policy := mirroring()
	policy.Spec.Values = valuesOf(`{"rules": ` + rulesOf(zero+", "+toV2, toV3) + `}`)
	w := newMirroredBy(t, policy)
	w.settled(t, "True Succeeded: no mirror to web-v2:80: the mirror's own share is 0")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.Expect(w.mirrors(t)).To(HaveExactElements("web-v2:80 0% Withheld v2 ZeroPercent: no mirror to web-v2:80: the mirror's own share is 0", mirroredToV2, mirroredToV3))
	w.written()
	for intervals := range 3 {
		w.clockAt(now.Add(time.Duration(intervals) * 11 * time.Minute))
		result, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(result.RequeueAfter).To(BeZero(), "nothing is tried again")
		w.Expect(w.written()).To(BeEmpty(), "at rest")
	}
}

// The read of a route that can't be watched fails once, as its variant has gone.
func TestARouteThatCouldNotBeReadIsReadAgain(t *testing.T) {
	w := newMirrored(t)
	w.forbid(httpRoutes)
	w.startedAgain(t, threeVariants())
	w.settled(t, "False WatchFailed")
	w.goes(t, "v2")
	var failed atomic.Bool
	w.cluster.PrependReactor("get", "httproutes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return failed.CompareAndSwap(false, true), nil, apierrors.NewInternalError(errors.New("etcdserver: leader changed"))
	})
	_, err := w.reconcileOnce(t)
	w.Expect(err).To(MatchError(HavePrefix("reading HTTPRoute web: ")), "for the reconcile to be repeated")
	_, err = w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
}

// A webhook puts a mirror into the first rule of whatever is written.
func TestAMirrorThatOthersPutBack(t *testing.T) {
	puts := eachRule(func(position int, rule map[string]any) {
		if position == 0 {
			backend := map[string]any{"name": "web-v2", "port": int64(80)}
			rule["filters"] = []any{map[string]any{"type": "RequestMirror", "requestMirror": map[string]any{"backendRef": backend}}}
		}
	})
	const (
		message = "more is mirrored to web-v2:80 than may be: an admission policy or webhook changed it"
		altered = "web-v2:80 100% Unconfirmed v2 Altered: " + message
	)
	for name, test := range map[string]struct {
		spoil func(*iter8v1alpha1.RoutingPolicy)
		ready string
		// mirrors are those of the status, first and second what the first two reconciles write, and later what each does after an interval.
		mirrors              []string
		first, second, later []string
	}{
		"it was applied": {func(*iter8v1alpha1.RoutingPolicy) {}, "False Altered: " + message, []string{altered, mirroredToV3},
			[]string{"apply web", "edit web", "status web"}, []string{"status web"}, []string{"edit web", "status web"}},
		"its template doesn't parse": {brokenTemplate, "False RenderFailed", []string{altered, mirroredToV3},
			[]string{"edit web", "status web"}, nil, []string{"edit web", "status web"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			w.change(t, test.spoil)
			w.webhook = puts
			w.goes(t, "v2")
			_, _ = w.reconcileOnce(t)
			w.Expect(w.written()).To(Equal(test.first))
			w.Expect(w.ready(t)).To(HavePrefix(test.ready))
			w.Expect(w.mirrors(t)).To(Equal(test.mirrors))
			w.Expect(w.policy(t).Status.MirrorTargets).To(Equal("web-v2:80,web-v3:80"), "it stands")

			_, _ = w.reconcileOnce(t)
			w.Expect(w.written()).To(HaveExactElements(test.second))
			result, err := w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.written()).To(BeEmpty(), "at rest")
			w.Expect(result.RequeueAfter).To(Equal(2 * time.Second))
			w.Expect(w.ready(t)).To(HavePrefix(test.ready))
			w.Expect(w.mirrors(t)).To(Equal(test.mirrors))

			at := now.Time
			for _, wait := range []time.Duration{2 * time.Second, 4 * time.Second} {
				w.clockAt(at.Add(wait - 1))
				w.reconcile(t)
				at = at.Add(wait)
				w.clockAt(at)
				_, _ = w.reconcileOnce(t)
				w.Expect(w.written()).To(Equal(test.later), "tried again")
				w.Expect(w.mirrors(t)).To(Equal(test.mirrors))
			}

			w.webhook = nil
			w.clockAt(at.Add(7 * time.Second))
			w.reconcile(t)
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "it isn't time")
			w.clockAt(at.Add(8 * time.Second))
			w.Eventually(func() string { // after the pause that edits of an object make which others undo
				_, _ = w.reconcileOnce(t)
				return w.rules("web")
			}).Should(MatchJSON(rulesOf("", toV3)))
		})
	}
}

func TestWhatOthersPutBackIsTakenOutEverLessOften(t *testing.T) {
	g := NewWithT(t)
	r := &Reconciler{}
	s := scopeOf(mirroring())
	m := iter8v1alpha1.Mirror{Route: "HTTPRoute/web", To: "web-v2:80", State: iter8v1alpha1.MirrorUnconfirmed, Reason: iter8v1alpha1.ReasonAltered, Since: &now}
	g.Expect(r.untilPutOut(s, m)).To(Equal(2*time.Second), "by a process that knows of no try")
	s.edited["HTTPRoute/web"], s.mirrors = true, []iter8v1alpha1.Mirror{m}
	for _, seconds := range []int{2, 4, 8, 16, 32, 64, 128, 256, 512, 600, 600} {
		r.countPutBacks(s)
		g.Expect(r.untilPutOut(s, m)).To(Equal(time.Duration(seconds) * time.Second))
	}
	s.edited = map[string]bool{}
	r.countPutBacks(s)
	g.Expect(r.untilPutOut(s, m)).To(Equal(10*time.Minute), "nothing was tried")
	s.mirrors = nil
	r.countPutBacks(s)
	g.Expect(r.untilPutOut(s, m)).To(Equal(2*time.Second), "it was over meanwhile")
}
