package sweep

import (
	"errors"
	"net/http"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	ruleText    = `{kind: DestinationRule, metadata: {name: rule}, spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}]}}`
	serviceText = `{kind: VirtualService, metadata: {name: web}, spec: {http: [{route: [{destination: {host: reviews, subset: v1}}]}]}}`
)

func TestWhichRulesGo(t *testing.T) {
	for name, test := range map[string]struct {
		live, cached []client.Object
		rule         func(*unstructured.Unstructured)
		beside       []string
		// markedBeside are rules that policy "other" marked.
		markedBeside []string
		stays        bool
	}{
		"its policy is gone, and nothing names it":                       {},
		"its policy exists":                                              {live: []client.Object{policy("web", "uid")}, cached: []client.Object{policy("web", "uid")}, stays: true},
		"its policy exists, and the cache doesn't show it yet":           {live: []client.Object{policy("web", "uid")}, stays: true},
		"its policy was made again":                                      {live: []client.Object{policy("web", "new")}, cached: []client.Object{policy("web", "new")}},
		"its policy was made again, and the cache shows the old one yet": {live: []client.Object{policy("web", "new")}, cached: []client.Object{policy("web", "uid")}, stays: true},
		"another policy exists":                                          {live: []client.Object{policy("other", "uid")}, cached: []client.Object{policy("other", "uid")}},
		"a VirtualService names it":                                      {beside: []string{serviceText}, stays: true},
		"a VirtualService of another namespace does":                     {beside: []string{`{kind: VirtualService, metadata: {name: web, namespace: far}, spec: {tcp: [{route: [{destination: {host: reviews.test, subset: v1}}]}]}}`}, stays: true},
		"a VirtualService mirrors to it":                                 {beside: []string{`{kind: VirtualService, metadata: {name: web}, spec: {http: [{route: [{destination: {host: x}}], mirror: {host: reviews, subset: v1}}]}}`}, stays: true},
		"what can't be read of one may name it":                          {beside: []string{`{kind: VirtualService, metadata: {name: web}}`}, stays: true},
		"a VirtualService names another subset":                          {beside: []string{`{kind: VirtualService, metadata: {name: web}, spec: {http: [{route: [{destination: {host: reviews, subset: v2}}]}]}}`}},
		"a VirtualService names that of another host":                    {beside: []string{`{kind: VirtualService, metadata: {name: web}, spec: {http: [{route: [{destination: {host: ratings, subset: v1}}]}]}}`}},
		"another rule defines it with other labels":                      {beside: []string{serviceText, `{kind: DestinationRule, metadata: {name: new}, spec: {host: reviews, subsets: [{name: v1, labels: {version: v2}}]}}`}},
		"another rule defines it for some Pods":                          {beside: []string{serviceText, `{kind: DestinationRule, metadata: {name: new}, spec: {host: reviews, workloadSelector: {matchLabels: {app: x}}, subsets: [{name: v1}]}}`}, stays: true},
		"another rule defines it for some namespace":                     {beside: []string{serviceText, `{kind: DestinationRule, metadata: {name: new}, spec: {host: reviews, exportTo: [far], subsets: [{name: v1}]}}`}, stays: true},
		"another rule defines it for all namespaces":                     {beside: []string{serviceText, `{kind: DestinationRule, metadata: {name: new}, spec: {host: reviews, exportTo: ["*"], subsets: [{name: v1}]}}`}},
		"a rule of another namespace defines it":                         {beside: []string{serviceText, `{kind: DestinationRule, metadata: {name: new, namespace: far}, spec: {host: reviews.test, subsets: [{name: v1}]}}`}, stays: true},
		"a rule that is to go too defines it":                            {beside: []string{serviceText}, markedBeside: []string{`{kind: DestinationRule, metadata: {name: new}, spec: {host: reviews, subsets: [{name: v1}]}}`}, stays: true},
		"another policy's rule defines it": {
			beside: []string{serviceText}, markedBeside: []string{`{kind: DestinationRule, metadata: {name: new}, spec: {host: reviews, subsets: [{name: v1}]}}`},
			live: []client.Object{policy("other", "other-uid")}, cached: []client.Object{policy("other", "other-uid")},
		},
		"it was handed over": {rule: func(u *unstructured.Unstructured) {
			u.SetAnnotations(map[string]string{"iter8.tools/policy": "web", "iter8.tools/deletion-policy": "Delete", "iter8.tools/adopt": "true"})
		}, stays: true},
		"its mark was copied by another": {rule: func(u *unstructured.Unstructured) { u.SetManagedFields(nil) }, stays: true},
		"an owner controls it": {rule: func(u *unstructured.Unstructured) {
			yes := true
			u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "ConfigMap", Name: "x", UID: "x", Controller: &yes}})
		}, stays: true},
		"it is being deleted": {rule: func(u *unstructured.Unstructured) {
			now := metav1.Now()
			u.SetDeletionTimestamp(&now)
		}, stays: true},
		"it is to be orphaned": {rule: func(u *unstructured.Unstructured) {
			u.SetAnnotations(map[string]string{"iter8.tools/policy": "web", "iter8.tools/deletion-policy": "Orphan"})
		}, stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			rule := marked(t, object(t, ruleText), "web", "uid")
			if test.rule != nil {
				test.rule(rule)
			}
			objects := []*unstructured.Unstructured{rule}
			for _, text := range test.beside {
				objects = append(objects, object(t, text))
			}
			for _, text := range test.markedBeside {
				objects = append(objects, marked(t, object(t, text), "other", "other-uid"))
			}
			w := newWorld(t, test.live, test.cached, objects...)
			w.sweep(t)
			if test.stays {
				w.Expect(w.deleted()).NotTo(ContainElement("rule"))
			} else {
				w.Expect(w.deleted()).To(ContainElement("rule"))
			}
		})
	}
}

func TestARuleGoesOnceTheVirtualServiceThatNamesItIsGone(t *testing.T) {
	w := newWorld(t, nil, nil, marked(t, object(t, ruleText), "web", "uid"), object(t, serviceText))
	w.sweep(t)
	w.Expect(w.deleted()).To(BeEmpty())
	w.Expect(w.reconciler.users.Targets()).To(HaveLen(2))

	w.Expect(w.cluster.Tracker().Delete(services, "test", "web")).To(Succeed())
	w.Eventually(func() []Object {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.enqueued
	}).Should(ContainElement(theRule), "its end is an event")
	w.drain(t)
	w.Expect(w.deleted()).To(Equal([]string{"rule"}))
	w.Eventually(func() int { w.drain(t); return len(w.reconciler.users.Targets()) }).Should(BeZero(), "nothing is watched any longer than that takes")
}

func TestAVirtualServiceCountsWherePoliciesMayNotRenderAny(t *testing.T) {
	w := newWorld(t, nil, nil, marked(t, object(t, ruleText), "web", "uid"), object(t, serviceText))
	w.serves, w.servesBeside = []schema.GroupVersionKind{rules.GroupVersion().WithKind("DestinationRule")}, []string{"v1"}
	w.sweep(t)
	w.Expect(w.deleted()).To(BeEmpty())

	w.askErr = errors.New("no answer")
	again, err := w.reconciler.Reconcile(t.Context(), everything)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(again.RequeueAfter).NotTo(BeZero())
}

func TestARuleIsDeletedAsTheOneThatWasLookedAt(t *testing.T) {
	w := newWorld(t, nil, nil, marked(t, object(t, ruleText), "web", "uid"))
	w.sweep(t)
	for _, action := range w.cluster.Actions() {
		if d, ok := action.(clienttesting.DeleteActionImpl); ok {
			w.Expect(d.DeleteOptions.Preconditions.UID).To(HaveValue(BeEquivalentTo("uid-of-rule")))
			w.Expect(d.DeleteOptions.Preconditions.ResourceVersion).To(HaveValue(Equal("7")))
			return
		}
	}
	t.Fatal("nothing was deleted")
}

func TestWhatCannotBeKnownKeepsARule(t *testing.T) {
	t.Run("whether its policy exists", func(t *testing.T) {
		w := newWorld(t, nil, nil, marked(t, object(t, ruleText), "web", "uid"))
		w.readErr = errors.New("the apiserver is not available")
		_, err := w.reconciler.Reconcile(t.Context(), everything)
		w.Expect(err).NotTo(HaveOccurred())
		w.Eventually(func() error {
			_, err := w.reconciler.Reconcile(t.Context(), theRule)
			return err
		}).Should(MatchError(ContainSubstring("reading RoutingPolicy web: the apiserver is not available")))
		w.Expect(w.deleted()).To(BeEmpty())
	})
	t.Run("whether there are policies at all", func(t *testing.T) {
		w := newWorld(t, nil, nil, marked(t, object(t, ruleText), "web", "uid"))
		w.readErr = apierrors.NewGenericServerResponse(http.StatusNotFound, "get", schema.GroupResource{Resource: "routingpolicies"}, "", "404 page not found", 0, true)
		w.sweep(t)
		w.Expect(w.deleted()).To(BeEmpty())

		again, err := w.reconciler.Reconcile(t.Context(), theRule)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(again.RequeueAfter).NotTo(BeZero(), "their kind may be made again")
		w.readErr = nil
		_, err = w.reconciler.Reconcile(t.Context(), theRule)
		w.Expect(err).NotTo(HaveOccurred())
		w.drain(t)
		w.Expect(w.deleted()).To(Equal([]string{"rule"}))
	})
	t.Run("what names it", func(t *testing.T) {
		w := newWorld(t, nil, nil, marked(t, object(t, ruleText), "web", "uid"))
		w.cluster.PrependReactor("list", "virtualservices", func(clienttesting.Action) (bool, runtime.Object, error) {
			return true, nil, apierrors.NewForbidden(services.GroupResource(), "", errors.New("no"))
		})
		_, err := w.reconciler.Reconcile(t.Context(), everything)
		w.Expect(err).NotTo(HaveOccurred())
		w.Consistently(func() []string {
			_, err := w.reconciler.Reconcile(t.Context(), theRule)
			w.Expect(err).NotTo(HaveOccurred())
			return w.deleted()
		}).Should(BeEmpty())
	})
}

func TestANamespaceThatMayNotBeReadAnyMoreKeepsNoRuleOfAnother(t *testing.T) {
	for name, test := range map[string]struct {
		unreadable string
		answer     error
		named      string
		stays      bool
	}{
		"its rights went with it":                       {unreadable: "far", answer: apierrors.NewForbidden(services.GroupResource(), "", errors.New("no"))},
		"it fails for a while":                          {unreadable: "far", answer: apierrors.NewInternalError(errors.New("no")), stays: true},
		"it is the rule's own":                          {unreadable: "test", answer: apierrors.NewForbidden(services.GroupResource(), "", errors.New("no")), stays: true},
		"one that can be read names a subset of a rule": {unreadable: "far", answer: apierrors.NewForbidden(services.GroupResource(), "", errors.New("no")), named: "near", stays: true},
	} {
		t.Run(name, func(t *testing.T) {
			objects := []*unstructured.Unstructured{marked(t, object(t, ruleText), "web", "uid")}
			if test.named != "" {
				objects = append(objects, object(t, `{kind: VirtualService, metadata: {name: web, namespace: `+test.named+`}, spec: {tcp: [{route: [{destination: {host: reviews.test, subset: v1}}]}]}}`))
			}
			w := newWorld(t, nil, nil, objects...)
			w.watchOnly(t, "test", "far", "near")
			w.cluster.PrependReactor("list", "virtualservices", func(action clienttesting.Action) (bool, runtime.Object, error) {
				return action.GetNamespace() == test.unreadable, nil, test.answer
			})
			_, err := w.reconciler.Reconcile(t.Context(), everything)
			w.Expect(err).NotTo(HaveOccurred())
			look := func() []string {
				_, err := w.reconciler.Reconcile(t.Context(), theRule)
				w.Expect(err).NotTo(HaveOccurred())
				return w.deleted()
			}
			if test.stays {
				w.Consistently(look).Should(BeEmpty())
			} else {
				w.Eventually(look).Should(Equal([]string{"rule"}))
			}
		})
	}
}

func TestWithoutVirtualServicesNothingNamesARule(t *testing.T) {
	w := newWorld(t, nil, nil, marked(t, object(t, ruleText), "web", "uid"))
	w.serves = []schema.GroupVersionKind{rules.GroupVersion().WithKind("DestinationRule")}
	w.sweep(t)
	w.Expect(w.deleted()).To(Equal([]string{"rule"}))
}

func TestWhatComesOfADeletion(t *testing.T) {
	for name, test := range map[string]struct {
		answer  error
		again   time.Duration
		problem string
	}{
		"it is gone already":           {answer: apierrors.NewNotFound(rules.GroupResource(), "rule")},
		"it was written meanwhile":     {answer: apierrors.NewConflict(rules.GroupResource(), "rule", errors.New("Precondition failed")), again: time.Second},
		"the operator lacks the right": {answer: apierrors.NewForbidden(rules.GroupResource(), "rule", errors.New("no")), again: 2 * time.Second},
		"the apiserver fails":          {answer: errors.New("no answer"), problem: "no answer"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			w := newWorld(t, nil, nil)
			result, err := w.reconciler.wrote(t.Context(), theRule, test.answer)
			g.Expect(result.RequeueAfter).To(Equal(test.again))
			if test.problem == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ContainSubstring(test.problem)))
		})
	}
}

func TestWhatIsRefusedIsTriedAgainEverLessOften(t *testing.T) {
	w := newWorld(t, nil, nil)
	refused := func() (after []time.Duration) {
		t.Helper()
		for range 11 {
			result, err := w.reconciler.wrote(t.Context(), theRule, apierrors.NewForbidden(rules.GroupResource(), "rule", errors.New("no")))
			w.Expect(err).NotTo(HaveOccurred())
			after = append(after, result.RequeueAfter)
		}
		return after
	}
	const s, m = time.Second, time.Minute
	want := []time.Duration{2 * s, 4 * s, 8 * s, 16 * s, 32 * s, 64 * s, 128 * s, 256 * s, 512 * s, 10 * m, 10 * m}
	w.Expect(refused()).To(Equal(want))
	_, err := w.reconciler.wrote(t.Context(), theRule, nil)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(refused()).To(Equal(want), "another refusal, of an object of the same name")
	w.Expect(w.reconciler.refusals).To(HaveLen(1))
}

func TestWhatIsToStayLosesItsMirrorsOnce(t *testing.T) {
	const mirroring = `{kind: VirtualService, metadata: {name: web}, spec: {http: [{route: [{destination: {host: reviews}}], mirror: {host: reviews-v2}, timeout: 5s}]}}`
	theService := Object{schema.GroupKind{Group: "networking.istio.io", Kind: "VirtualService"}, theRule.NamespacedName}
	theService.Name = "web"
	for name, test := range map[string]struct {
		policies []client.Object
		adopt    bool
		stays    bool
	}{
		"its policy is gone":                     {},
		"its policy is gone, and it was adopted": {adopt: true},
		"its policy exists":                      {policies: []client.Object{policy("web", "uid")}, stays: true},
		"another policy took the name meanwhile": {policies: []client.Object{policy("web", "new")}},
	} {
		t.Run(name, func(t *testing.T) {
			service := marked(t, object(t, mirroring), "web", "uid")
			annotations := map[string]string{"iter8.tools/policy": "web", "iter8.tools/deletion-policy": "Orphan", "theirs": "x"}
			if test.adopt {
				annotations["iter8.tools/adopt"] = "true"
			}
			service.SetAnnotations(annotations)
			w := newWorld(t, test.policies, test.policies, service)
			w.sweep(t)
			_, err := w.reconciler.Reconcile(t.Context(), theService)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.deleted()).To(BeEmpty())
			live := func() *unstructured.Unstructured {
				o, err := w.cluster.Resource(services).Namespace("test").Get(t.Context(), "web", metav1.GetOptions{})
				w.Expect(err).NotTo(HaveOccurred())
				return o
			}
			if test.stays {
				w.Expect(live().Object["spec"]).To(HaveKeyWithValue("http", ContainElement(HaveKey("mirror"))))
				return
			}
			w.Expect(live().Object["spec"]).To(Equal(map[string]any{"http": []any{map[string]any{
				"route": []any{map[string]any{"destination": map[string]any{"host": "reviews"}}}, "timeout": "5s",
			}}}))
			w.Expect(live().GetAnnotations()).To(And(HaveKeyWithValue("theirs", "x"), HaveKeyWithValue("iter8.tools/policy", "web"), Not(HaveKey("iter8.tools/deletion-policy"))))
			w.Expect(live().GetLabels()).To(Equal(map[string]string{"iter8.tools/policy-uid": "uid"}))
		})
	}
}

func TestObjectsOnWhichAWebhookHangsKeepNoRule(t *testing.T) {
	objects := []*unstructured.Unstructured{marked(t, object(t, ruleText), "web", "uid")}
	names := []string{"a", "b", "c", "d", "e"}
	for _, name := range names {
		service := marked(t, object(t, `{kind: VirtualService, metadata: {name: `+name+`}, spec: {http: [{route: [{destination: {host: x}}], mirror: {host: y}}]}}`), "web", "uid")
		service.SetAnnotations(map[string]string{"iter8.tools/policy": "web", "iter8.tools/deletion-policy": "Orphan"})
		objects = append(objects, service)
	}
	w := newWorld(t, nil, nil, objects...)
	hanging, answer := make(chan string, len(names)), make(chan struct{})
	w.cluster.PrependReactor("patch", "virtualservices", func(action clienttesting.Action) (bool, runtime.Object, error) {
		hanging <- action.(clienttesting.PatchActionImpl).Name
		<-answer
		return false, nil, nil
	})
	_, err := w.reconciler.Reconcile(t.Context(), everything)
	w.Expect(err).NotTo(HaveOccurred())
	w.Eventually(w.synced).Should(BeTrue())
	results := make(chan ctrl.Result, len(names))
	for _, name := range names {
		o := Object{schema.GroupKind{Group: "networking.istio.io", Kind: "VirtualService"}, types.NamespacedName{Namespace: "test", Name: name}}
		go func() {
			result, _ := w.reconciler.Reconcile(t.Context(), o)
			results <- result
		}()
	}
	for range 2 {
		w.Eventually(results).Should(Receive(Equal(ctrl.Result{RequeueAfter: time.Second})), "three of four may hang")
	}
	w.Eventually(hanging).ShouldNot(BeEmpty())
	w.Consistently(results).ShouldNot(Receive())
	close(answer)
	for range 3 {
		w.Eventually(results).Should(Receive(Equal(ctrl.Result{})))
	}
}

func TestWhatWasWrittenMeanwhileIsNotOrphanedAsItWas(t *testing.T) {
	service := marked(t, object(t, serviceText), "web", "uid")
	service.SetAnnotations(map[string]string{"iter8.tools/policy": "web", "iter8.tools/deletion-policy": "Orphan"})
	w := newWorld(t, nil, nil, service)
	w.Expect(w.reconciler.follow()).To(Succeed())
	again, err := w.reconciler.orphan(t.Context(), Object{schema.GroupKind{Group: "networking.istio.io", Kind: "VirtualService"}, client.ObjectKeyFromObject(service)},
		&markedObject{ObjectMeta: metav1.ObjectMeta{UID: "uid-of-web", ResourceVersion: "6"}})
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(again.RequeueAfter).NotTo(BeZero())
	for _, action := range w.cluster.Actions() {
		w.Expect(action.GetVerb()).NotTo(Equal("patch"))
	}
}
