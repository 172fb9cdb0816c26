package routingpolicy

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/event"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// simple is a Subject with one variant, which is always available.
func simple() *iter8v1alpha1.Subject { return aSubject(iter8v1alpha1.Variant{Name: "v1"}) }

func TestTheRouteFollowsTheVariant(t *testing.T) {
	subject := aSubject(iter8v1alpha1.Variant{Name: "v1"}, iter8v1alpha1.Variant{Name: "v2", Resources: []iter8v1alpha1.ResourceReference{
		{APIVersion: "v1", Kind: "Service", Name: "web-v2"}, {APIVersion: "apps/v1", Kind: "Deployment", Name: "web-v2"}}})
	policy := aPolicy("v2")
	policy.Spec.Chart = &iter8v1alpha1.ChartReference{Name: "plain"}
	policy.Spec.Values = valuesOf(`{"rules": ` + rulesOf(toV2, "") + `}`)
	w := newWorld(t, subject, policy)
	w.clockAt(then.Time)
	for _, name := range []string{"web-v1", "web-v2"} {
		w.Expect(w.cluster.Tracker().Create(services, aService(name), "test")).To(Succeed())
	}

	_, err := w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.written()).To(BeEmpty(), "nothing is known of the variant yet")

	w.subjects.OnAdd(subject, false)
	const gone = "no mirror to web-v2:80: Deployment web-v2 does not exist"
	got := w.settled(t, "True Succeeded: "+gone)
	w.Expect(got.Status.Mirrors).To(HaveExactElements(BeComparableTo(iter8v1alpha1.Mirror{Route: "HTTPRoute/web", Rule: "0", From: "web-v1:80", To: "web-v2:80",
		Variant: "v2", Percent: "0", State: iter8v1alpha1.MirrorWithheld, Reason: "VariantNotAvailable", Message: gone, Since: &then})))
	w.Expect(got.Status.MirrorTargets).To(BeEmpty())
	w.Expect(got.Status.Chart).To(And(HaveField("Name", "plain"), HaveField("Digest", HavePrefix("sha256:"))))
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", "")))
	w.Expect(w.written()).To(Equal([]string{"dry-run web", "status web?", "apply web", "status web"}), "what comes later is checked now, then the inventory")

	w.clockAt(now.Time)
	w.Expect(w.cluster.Tracker().Create(deployments, aDeployment(metav1.ConditionTrue), "test")).To(Succeed())
	got = w.settled(t, "True Succeeded: 1 object applied for v2 available")
	w.Expect(got.Status.Mirrors).To(HaveExactElements(BeComparableTo(iter8v1alpha1.Mirror{Route: "HTTPRoute/web", Rule: "0", From: "web-v1:80", To: "web-v2:80",
		Variant: "v2", Percent: "100", State: iter8v1alpha1.MirrorUnconfirmed, Since: &now})))
	w.Expect(got.Status.MirrorTargets).To(Equal("web-v2:80"))
	w.Expect(got.Status.Variants).To(Equal([]iter8v1alpha1.KnownVariant{{Name: "v1", Available: true}, {Name: "v2", Available: true}}))
	w.Expect(got.Status.Subject).To(Equal(&iter8v1alpha1.ObservedSubject{Name: "web", Namespace: "test", UID: "subject-uid"}))
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, "")))
	w.Expect(w.written()).To(Equal([]string{"apply web", "status web"}))
	w.Expect(w.events).To(Receive(Equal("Normal MirrorsChanged requests are mirrored to web-v2:80")))

	_, err = w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.written()).To(BeEmpty(), "at rest")

	w.Expect(w.cluster.Tracker().Update(deployments, aDeployment(metav1.ConditionFalse), "test")).To(Succeed())
	w.settled(t, "True Succeeded: no mirror to web-v2:80: Deployment web-v2 ")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", "")))
	w.Expect(w.events).To(Receive(Equal("Normal MirrorsChanged requests are no longer mirrored to web-v2:80: Deployment web-v2 has condition Available False: R: M")))
}

func TestWhatIsWrongWithAPolicyIsToldAndNothingIsLost(t *testing.T) {
	chartOf := func(ref iter8v1alpha1.ChartReference) func(*iter8v1alpha1.RoutingPolicy) {
		return func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates, p.Spec.Chart = nil, &ref }
	}
	template := func(text string) func(*iter8v1alpha1.RoutingPolicy) {
		return func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates[0].Template = text }
	}
	values := func(text string) func(*iter8v1alpha1.RoutingPolicy) {
		return func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = &apiextensionsv1.JSON{Raw: []byte(text)} }
	}
	for name, test := range map[string]struct {
		spoil func(*iter8v1alpha1.RoutingPolicy)
		ready string
	}{
		"it is suspended":          {func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend = true }, "True Suspended: spec.suspend is set"},
		"its Subject is elsewhere": {func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.SubjectRef.Namespace = "elsewhere" }, "False CrossNamespaceReference: spec.subjectRef is in namespace elsewhere"},
		"it is triggered by a variant that there isn't": {func(p *iter8v1alpha1.RoutingPolicy) {
			p.Spec.Trigger = &iter8v1alpha1.Trigger{Variants: []string{"v9"}}
		}, "False VariantNotFound: "},
		"its chart's repository isn't allowed": {chartOf(iter8v1alpha1.ChartReference{Repository: "http://example.com", Name: "mirror"}), "False RepositoryNotAllowed: "},
		"its chart is on its way":              {chartOf(iter8v1alpha1.ChartReference{Repository: "https://example.com", Name: "mirror"}), "Unknown Resolving: chart mirror is being fetched from https://example.com"},
		"its chart isn't known":                {chartOf(iter8v1alpha1.ChartReference{Name: "canary"}), "False ChartNotFound: "},
		"its chart isn't of that version":      {chartOf(iter8v1alpha1.ChartReference{Name: "mirror", Version: ">99"}), "False VersionNotFound: "},
		"its chart's version is none":          {chartOf(iter8v1alpha1.ChartReference{Name: "mirror", Version: "x.y"}), "False InvalidVersion: "},
		"its values don't fit the chart": {func(p *iter8v1alpha1.RoutingPolicy) {
			chartOf(iter8v1alpha1.ChartReference{Name: "mirror"})(p)
			values(`{"rules": 1}`)(p)
		}, "False InvalidValues: invalid values: chart mirror: rules: got number, want "},
		"its values set the reserved key":   {values(`{"iter8": {}}`), "False InvalidValues: "},
		"its values can't be read":          {values(`[]`), "False InvalidValues: spec.values: "},
		"its template doesn't parse":        {template("{{"), "False RenderFailed: "},
		"its template renders no manifest":  {template("hello"), "False RenderFailed: "},
		"its template renders a Secret":     {template("{apiVersion: v1, kind: Secret, metadata: {name: a}}"), "False ForbiddenManifest: Secret a is of a kind that policies may not render"},
		"its template renders too much":     {template(aRoute("a", "") + "\n---\n" + aRoute("a", "")), "False ForbiddenManifest: HTTPRoute a is rendered twice"},
		"its template renders an old kind":  {template("{apiVersion: networking.istio.io/v1beta1, kind: VirtualService, metadata: {name: a}}"), "False KindNotServed: the cluster does not serve networking.istio.io/v1beta1 VirtualService; install its CustomResourceDefinition"},
		"its account can't be impersonated": {func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.ServiceAccountName = "router" }, "False ApplyFailed: making a client for ServiceAccount test/router"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simple(), templated("web"))
			before := w.settled(t, "True Succeeded")
			route := w.route("web")
			w.Expect(route).NotTo(BeNil())
			w.written()

			w.change(t, test.spoil)
			after := w.settled(t, test.ready)
			w.Expect(w.written()).To(HaveExactElements("status web"), "the status is written and nothing else")
			w.Expect(after.Status.ObservedGeneration).To(Equal(after.Generation))
			w.Expect(after.Status.Applied).To(Equal(before.Status.Applied))
			w.Expect(after.Status.Variants).To(Equal(before.Status.Variants))
			w.Expect(w.route("web")).To(Equal(route))
			if test.ready[:5] == "False" {
				w.Expect(w.events).To(Receive(HavePrefix("Warning ")))
			}

			w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec = *before.Spec.DeepCopy() })
			w.settled(t, "True Succeeded")
			w.Expect(w.written()).To(HaveExactElements("status web"), "the route is as it was all along")
		})
	}
}

func TestObjectsThatLeaveTheRenderGoAndThoseOfALostSubjectToo(t *testing.T) {
	w := newWorld(t, simple(), templated("one", "two"))
	w.settled(t, "True Succeeded: 2 objects applied for v1 available")
	w.Expect(w.written()).To(Equal([]string{"dry-run one", "dry-run two", "status one?,two?", "apply one", "apply two", "status one,two"}))

	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates = p.Spec.Templates[:1] })
	w.answer("delete", errors.New("not today"))
	policy := w.settled(t, "False PruneFailed: deleting HTTPRoute two: not today")
	w.Expect(policy.Status.Applied).To(HaveLen(2), "it stays listed")
	_, err := w.reconcileOnce(t)
	w.Expect(err).To(MatchError("deleting HTTPRoute two: not today"), "it is retried")
	w.answer("delete", nil)
	w.settled(t, "True Succeeded: 1 object applied")
	w.Expect(w.route("two")).To(BeNil())

	w.Expect(w.client.Delete(t.Context(), simple())).To(Succeed())
	policy = w.settled(t, "False SubjectNotFound: Subject web does not exist; nothing is applied without it")
	w.Expect(w.route("one")).To(BeNil())
	w.Expect(policy.Status.Applied).To(BeEmpty())
	w.Expect(policy.Status.Variants).To(BeEmpty())
}

func TestASubjectInAnotherNamespaceWhereThatIsAllowed(t *testing.T) {
	subject, policy := simple(), templated("web")
	subject.Namespace = "elsewhere"
	policy.Spec.SubjectRef.Namespace = "elsewhere"
	policy.Spec.Templates[0].Template = aRoute("{{ .Values.iter8.subject.namespace }}", "")
	w := newWorld(t, subject, policy)
	w.reconciler.AllowCrossNamespace = true
	w.settled(t, "True Succeeded")
	w.Expect(w.route("elsewhere").GetNamespace()).To(Equal("test"), "the route is in the policy's namespace all the same")
}

func TestDriftIsPutRight(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	w.settled(t, "True Succeeded")
	w.written()

	drifted := w.route("web").DeepCopy()
	drifted.SetGeneration(drifted.GetGeneration() + 1)
	drifted.SetResourceVersion("1000")
	w.Expect(w.cluster.Tracker().Update(httpRoutes, drifted, "test")).To(Succeed())
	w.Eventually(func() []string {
		_, _ = w.reconcileOnce(t)
		return w.written()
	}).Should(ContainElement("apply web"))
	w.Expect(w.cluster.Tracker().Delete(httpRoutes, "test", "web")).To(Succeed())
	w.Eventually(func() []string {
		_, _ = w.reconcileOnce(t)
		return w.written()
	}).Should(ContainElement("apply web"))
}

func TestNothingIsAppliedThatCouldNotBeListed(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	w.answer("status web?", errors.New("no space"))
	w.Eventually(func() error { _, err := w.reconcileOnce(t); return err }).Should(MatchError("recording what is about to be applied: no space"))
	w.settled(t, "False ApplyFailed: recording what is about to be applied: no space")
	w.Expect(w.route("web")).To(BeNil())
	w.answer("status web?", nil)
	w.settled(t, "True Succeeded")
}

func TestHowAFailureIsTriedAgain(t *testing.T) {
	resource := schema.GroupResource{Group: httpRoutes.Group, Resource: httpRoutes.Resource}
	terminating := apierrors.NewForbidden(resource, "web", errors.New("being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	minutes := func(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Minute} }
	for name, test := range map[string]struct {
		answer   error
		interval *metav1.Duration
		retried  bool
		after    time.Duration
	}{
		"with growing delays, where it may pass":             {errors.New("timeout"), nil, true, 0},
		"with growing delays, where rights may come":         {apierrors.NewForbidden(resource, "web", errors.New("no")), nil, true, 0},
		"after the policy's interval, where it is refused":   {apierrors.NewBadRequest("no"), minutes(3), false, 3 * time.Minute},
		"after ten minutes, where it is refused, by default": {apierrors.NewBadRequest("no"), nil, false, 10 * time.Minute},
		"not at all, where the namespace goes":               {terminating, nil, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			policy := templated("web")
			policy.Spec.Interval = test.interval
			w := newWorld(t, simple(), policy)
			w.answer("apply", test.answer)
			w.Eventually(func() []string {
				_, _ = w.reconcileOnce(t)
				return w.written()
			}).Should(ContainElement("apply web"))
			result, err := w.reconcileOnce(t)
			w.Expect(err != nil).To(Equal(test.retried))
			w.Expect(result).To(Equal(ctrl.Result{RequeueAfter: test.after}))
			w.Expect(w.policy(t).Status.Conditions).NotTo(BeEmpty())
		})
	}
}

func TestAStatusThatCanNotBeWritten(t *testing.T) {
	suspended := templated("web")
	suspended.Spec.Suspend = true
	w := newWorld(t, simple(), suspended)
	w.answer("status", errors.New("no"))
	_, err := w.reconcileOnce(t)
	w.Expect(err).To(MatchError("writing the status of RoutingPolicy test/policy: no"))
	w.answer("status", apierrors.NewNotFound(schema.GroupResource{Resource: "routingpolicies"}, "policy"))
	_, err = w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred(), "the policy has gone meanwhile")
	w.Expect(w.events).NotTo(Receive())
}

func TestWhatFailedOfAPolicyThatHasGoneMeanwhileIsNotTriedAgain(t *testing.T) {
	policy := templated("web")
	policy.Status.Applied = []iter8v1alpha1.AppliedObject{{APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Name: "web"}}
	w := newWorld(t, simple(), policy)
	w.subjects.OnAdd(simple(), false)
	w.answer("apply web", errors.New("timeout"))
	w.answer("status web?", apierrors.NewNotFound(schema.GroupResource{Resource: "routingpolicies"}, "policy"))
	w.Eventually(func(g Gomega) {
		result, err := w.reconcileOnce(t)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(result).To(Equal(ctrl.Result{}))
		g.Expect(w.written()).To(ContainElement("apply web"))
	}).Should(Succeed())
}

func TestAPolicyThatGoesIsTheGarbageCollectors(t *testing.T) {
	policy := templated("web")
	policy.Finalizers, policy.DeletionTimestamp = []string{"foregroundDeletion"}, &metav1.Time{Time: then.Time}
	w := newWorld(t, simple(), policy)
	result, err := w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(result).To(Equal(ctrl.Result{}))
	w.Expect(w.written()).To(BeEmpty())
}

func TestAPolicyThatIsGoneIsForgotten(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	w.settled(t, "True Succeeded")
	kind := httpRoutes.GroupVersion().WithKind("HTTPRoute")
	w.Expect(w.reconciler.Routes.State(kind, "test").Synced).To(BeTrue())
	w.Expect(w.client.Delete(t.Context(), templated("web"))).To(Succeed())
	w.written()
	_, err := w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.written()).To(BeEmpty(), "what it owns is the garbage collector's")
	w.Expect(w.reconciler.Routes.State(kind, "test").Synced).To(BeFalse(), "no policy follows routes any more")
}

func TestTheEchoOfAStatusDoesNotWakeThePolicy(t *testing.T) {
	g := NewWithT(t)
	r := &Reconciler{}
	before, after := aPolicy(), aPolicy()
	before.ResourceVersion, after.ResourceVersion = "10", "11"
	before.Status.MirrorTargets, after.Status.MirrorTargets = "", "v2:80"
	r.written.Add(after)
	changed := r.specChanged()
	g.Expect(changed.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})).To(BeFalse())
	g.Expect(r.written.Latest(before)).To(BeIdenticalTo(before), "what was written is dropped once it is shown")
	before.Status.MirrorTargets = "v2:80"
	after.Labels = map[string]string{"team": "web"}
	g.Expect(changed.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})).To(BeTrue(), "templates see the labels")
	after.Labels = nil
	after.Generation++
	g.Expect(changed.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})).To(BeTrue())
	after.Generation--
	g.Expect(changed.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})).To(BeFalse(), "nothing has changed")
	after.Status.MirrorTargets, after.ResourceVersion = "v9:80", "12"
	g.Expect(changed.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})).To(BeTrue(), "another wrote the status")
	ended := r.written.Begin(after)
	g.Expect(changed.Update(event.UpdateEvent{ObjectOld: before, ObjectNew: after})).To(BeFalse(), "it is being written, and shown before the answer is in")
	ended()
	g.Expect(changed.Create(event.CreateEvent{Object: after})).To(BeTrue())
	g.Expect(changed.Delete(event.DeleteEvent{Object: after})).To(BeTrue())
}

func TestAStatusThatAnotherKeepsWritingIsPutRightEverySoOften(t *testing.T) {
	g := NewWithT(t)
	at := now.Time
	var later []time.Duration
	r := &Reconciler{
		now:          func() time.Time { return at },
		enqueueAfter: func(_ ctrl.Request, delay time.Duration) { later = append(later, delay) },
	}
	before, after := aPolicy(), aPolicy()
	after.Status.MirrorTargets = "v9:80"
	written := event.UpdateEvent{ObjectOld: before, ObjectNew: after}
	g.Expect(r.specChanged().Update(written)).To(BeTrue())
	at = at.Add(time.Second)
	g.Expect(r.specChanged().Update(written)).To(BeFalse())
	g.Expect(later).To(Equal([]time.Duration{4 * time.Second}))
	after.Generation++
	g.Expect(r.specChanged().Update(written)).To(BeTrue(), "a change of the spec doesn't wait")
}

func TestPoliciesAreListedByName(t *testing.T) {
	w := newWorld(t, templated("web"))
	w.Expect(w.reconciler.list(t.Context())).To(HaveExactElements(client.ObjectKeyFromObject(aPolicy())))
	w.Expect(w.reconciler.list(t.Context(), client.InNamespace("elsewhere"))).To(BeEmpty())
}
