package routingpolicy

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/render"
)

// withDeployment is a Subject of three variants, of which v2 has a Deployment too. It is the first resource where it may carry
// the weight.
func withDeployment(first bool) *iter8v1alpha1.Subject {
	subject := threeVariants()
	v2, deployment := &subject.Spec.Variants[1], iter8v1alpha1.ResourceReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web-v2"}
	if v2.Resources = append(v2.Resources, deployment); first {
		v2.Resources[0], v2.Resources[1] = v2.Resources[1], v2.Resources[0]
	}
	return subject
}

// startedAgain has a new process begin, which knows what the cluster and the status say.
func (w *world) startedAgain(t *testing.T, subject *iter8v1alpha1.Subject) {
	t.Helper()
	was := w.reconciler
	w.reconciler = &Reconciler{Client: was.Client, Reader: was.Reader, Charts: was.Charts, Capabilities: was.Capabilities, Renders: was.Renders, Gateways: was.Gateways,
		Executor: was.Executor, Accounts: was.Accounts, Recorder: was.Recorder, Kinds: was.Kinds, UnknownGrace: was.UnknownGrace, now: was.now}
	w.restarted(t)
	w.observing(t)
	w.subjects.OnAdd(subject, true)
}

// afterAStart reconciles until it is known what can be known, and returns how the last reconcile ended.
func (w *world) afterAStart(t *testing.T, subject *iter8v1alpha1.Subject) ctrl.Result {
	t.Helper()
	kind := httpRoutes.GroupVersion().WithKind("HTTPRoute")
	var result ctrl.Result
	w.Eventually(func() bool {
		known := !w.reconciler.Observer.Observe(subject).Pending() && w.reconciler.Routes.State(kind, "test").Synced
		var err error
		result, err = w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		return known
	}).Should(BeTrue())
	return result
}

func TestAMirrorStandsForAWhileWhereItsVariantCanNotBeRead(t *testing.T) {
	subject := withDeployment(false)
	w := newWorld(t, subject, mirroring())
	began := time.Now() // by which the watches count
	w.clockAt(began.Add(-time.Hour))
	for _, name := range []string{"web-v1", "web-v2", "web-v3"} {
		w.Expect(w.cluster.Tracker().Create(services, aService(name), "test")).To(Succeed())
	}
	w.Expect(w.cluster.Tracker().Create(deployments, aDeployment(metav1.ConditionTrue), "test")).To(Succeed())
	w.subjects.OnAdd(subject, false)
	w.settled(t, "True Succeeded: 1 object applied for v1 available, v2 available, v3 available")
	w.written()

	const unknown = "False VariantStateUnknown: variant v2 counts as available, as it was last known: Deployment web-v2 can't be read"
	w.clockAt(began.Add(5 * time.Second))
	w.forbid(deployments)
	w.startedAgain(t, subject)
	result := w.afterAStart(t, subject)
	w.Expect(result.RequeueAfter).To(And(BeNumerically(">=", 39*time.Second), BeNumerically("<=", time.Minute)), "the end of the grace is no event")
	w.Expect(w.ready(t)).To(HavePrefix(unknown))
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
	since := w.policy(t).Status.Variants[1].UnknownSince
	w.Expect(since).To(HaveValue(HaveField("Time", BeTemporally("~", began, 5*time.Second))))
	w.Expect(w.written()).To(Equal([]string{"status web"}))

	w.clockAt(began.Add(44 * time.Second))
	w.startedAgain(t, subject)
	left := w.afterAStart(t, subject).RequeueAfter
	w.Expect(result.RequeueAfter-left).To(BeNumerically("~", 39*time.Second, time.Second), "it was unknown all the while")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.Expect(w.written()).To(BeEmpty())

	w.clockAt(began.Add(70 * time.Second))
	w.startedAgain(t, subject)
	w.Expect(w.afterAStart(t, subject)).To(Equal(ctrl.Result{}))
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	w.Expect(w.mirrors(t)).To(HaveExactElements(HavePrefix("web-v2:80 0% Withheld v2 VariantStateUnknown: no mirror to web-v2:80: Deployment web-v2 can't be read"), mirroredToV3))
	w.Expect(w.ready(t)).To(HavePrefix(unknown))
	w.Expect(w.policy(t).Status.Variants[1].UnknownSince).To(HaveValue(BeComparableTo(*since)))

	w.cluster.Lock()
	w.cluster.ReactionChain = w.cluster.ReactionChain[1:]
	w.cluster.Unlock()
	w.startedAgain(t, subject)
	w.settled(t, "True Succeeded: 1 object applied for v1 available, v2 available, v3 available")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.Expect(w.policy(t).Status.Variants[1]).To(Equal(iter8v1alpha1.KnownVariant{Name: "v2", Available: true}))
}

// The annotation that gave the mirror its share can't be read any more.
func TestAMirrorIsNotWidenedWhereItsWeightCanNotBeRead(t *testing.T) {
	subject := withDeployment(true)
	w := newWorld(t, subject, mirroring())
	w.clockAt(now.Time)
	for _, name := range []string{"web-v1", "web-v2", "web-v3"} {
		w.Expect(w.cluster.Tracker().Create(services, aService(name), "test")).To(Succeed())
	}
	deployment := aDeployment(metav1.ConditionTrue)
	deployment.SetAnnotations(map[string]string{iter8v1alpha1.WeightAnnotation: "20"})
	w.Expect(w.cluster.Tracker().Create(deployments, deployment, "test")).To(Succeed())
	w.subjects.OnAdd(subject, false)
	w.settled(t, "True Succeeded")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toPartOfV2, toV3)))
	w.written()

	w.forbid(deployments)
	w.startedAgain(t, subject)
	w.afterAStart(t, subject)
	w.Expect(w.ready(t)).To(HavePrefix("False VariantStateUnknown: variant v2 counts as available"))
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toPartOfV2, toV3)))
	w.Expect(w.mirrors(t)).To(HaveExactElements(HavePrefix("web-v2:80 20% Unconfirmed v2 VariantStateUnknown: only 20% of the requests are mirrored to web-v2:80: "), mirroredToV3))
	w.Expect(w.written()).To(HaveEach("status web"), "nothing but the status")
}

// A person who withdraws has mirrors out whatever else is; one who suspends has nothing changed.
func TestMirrorsThatAreWithdrawn(t *testing.T) {
	set := func(suspend, withdrawn bool) func(*iter8v1alpha1.RoutingPolicy) {
		return func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend, p.Spec.Withdrawn = suspend, withdrawn }
	}
	const because = " Withdrawn: no mirror to "
	out := []string{"web-v2:80 0% Withheld v2" + because + "web-v2:80: spec.withdrawn is set", "web-v3:80 0% Withheld v3" + because + "web-v3:80: spec.withdrawn is set"}
	w := newMirrored(t)
	w.change(t, set(false, true))
	w.settled(t, "True Succeeded: no mirror to web-v2:80: spec.withdrawn is set (and 1 more: see status.mirrors)")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", "")))
	w.Expect(w.mirrors(t)).To(Equal(out))
	w.Expect(w.written()).To(Equal([]string{"apply web", "status web"}))

	w.change(t, set(false, false))
	w.settled(t, "True Succeeded: 1 object applied")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.written()

	w.change(t, set(true, false))
	w.goes(t, "v2")
	w.settled(t, "True Suspended")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "hands off")
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3), "they stand")
	w.Expect(w.written()).To(Equal([]string{"status web"}))

	w.change(t, set(true, true))
	w.settled(t, "True Suspended")
	_, _ = w.reconcileOnce(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", "")))
	w.Expect(w.mirrors(t)).To(Equal(out))
	w.Expect(w.written()).To(Equal([]string{"edit web", "status web"}), "once")

	w.change(t, set(true, false))
	_, _ = w.reconcileOnce(t)
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", "")), "hands off")

	w.change(t, set(false, false))
	w.settled(t, "True Succeeded: no mirror to web-v2:80: Service web-v2 does not exist")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	w.comes(t, "v2")
	w.settled(t, "True Succeeded: 1 object applied")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
}

func TestTheStatusOfASuspendedPolicyIsThatOfWhatStands(t *testing.T) {
	w := newMirrored(t)
	w.goes(t, "v2")
	w.settled(t, "True Succeeded: no mirror to web-v2:80")
	w.Eventually(func() error {
		_, err := w.reconcileOnce(t)
		return err
	}).Should(Succeed())
	w.written()
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend = true })
	w.Expect(w.client.Delete(t.Context(), threeVariants(), client.GracePeriodSeconds(0))).To(Succeed())
	w.settled(t, "True Suspended")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
	const still = "web-v2:80 0% Withheld v2 VariantNotAvailable: when it was last looked at: no mirror to web-v2:80: Service web-v2 does not exist"
	w.Expect(w.mirrors(t)).To(ConsistOf(still, mirroredToV3), "what was withheld when it was suspended, for what it was withheld")
	w.Expect(w.written()).To(Equal([]string{"status web"}))
}

// What isn't known, though no read has failed, counts from when it was first seen, which no status keeps here.
func TestTheGraceEndsThoughTheStatusIsNotWritten(t *testing.T) {
	refused := func(_ *testing.T, w *world) { w.answer("status", invalid("no")) }
	refusedAndBroken := func(t *testing.T, w *world) {
		w.answer("status", invalid("no"))
		w.change(t, brokenTemplate)
	}
	rendering := func(t *testing.T, w *world) {
		w.reconciler.Renders = render.NewMemory(&answering{err: render.ErrPending})
		w.change(t, brokenTemplate)
	}
	// invalidates has v2 be judged by an expression that doesn't compile.
	invalidates := func(t *testing.T, w *world) {
		subject := &iter8v1alpha1.Subject{}
		w.Expect(w.client.Get(t.Context(), nameIn("web"), subject)).To(Succeed())
		was := subject.DeepCopy()
		subject.Spec.Variants[1].Resources[0].ReadyWhen = &iter8v1alpha1.ReadyWhen{CEL: "object.spec.("}
		subject.Generation++
		w.Expect(w.client.Update(t.Context(), subject)).To(Succeed())
		w.subjects.OnUpdate(was, subject)
		w.Eventually(func() bool { return w.reconciler.Observer.Observe(subject).Variants[1].Known() }).Should(BeFalse())
	}
	dropped := func(t *testing.T, w *world) { w.drops(t, "v2") }
	for name, test := range map[string]struct{ unwritten, unknown func(*testing.T, *world) }{
		"its status is refused, and a variant can't be judged":            {refused, invalidates},
		"its status is refused, and a variant is not observed any more":   {refusedAndBroken, dropped},
		"nothing is rendered yet, and a variant is not observed any more": {rendering, dropped},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			test.unwritten(t, w)
			test.unknown(t, w)
			for at := time.Duration(0); at <= 40*time.Second; at += 20 * time.Second {
				w.clockAt(now.Add(at))
				result, _ := w.reconcileOnce(t)
				w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
				w.Expect(result.RequeueAfter).To(And(BeNumerically(">", 0), BeNumerically("<=", time.Minute-at)))
			}
			w.clockAt(now.Add(time.Minute))
			_, _ = w.reconcileOnce(t)
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
		})
	}
}

func TestWhatIsNotKnownIsForgottenWithThePolicy(t *testing.T) {
	g := NewWithT(t)
	var u unknowns
	name, since := nameIn("web"), map[string]time.Time{"v2": now.Time}
	u.set(name, "one", since)
	g.Expect(u.get(name, "one")).To(Equal(since))
	g.Expect(u.get(name, "another")).To(BeEmpty(), "it was made again")
	u.set(name, "one", map[string]time.Time{})
	g.Expect(u.of).To(BeEmpty())
}
