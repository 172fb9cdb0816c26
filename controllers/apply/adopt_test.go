package apply

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// adoption is a world with a route web that was handed over.
type adoption struct {
	*world
	t *testing.T
	// answer is what the apiserver would make of it, or says to a dry run; without either that is what it was sent.
	answer  *unstructured.Unstructured
	refusal error
	// dryRuns and reads are those so far, and changed is the answer to what is really applied to the route.
	dryRuns []*unstructured.Unstructured
	reads   int
	changed error
}

func routeWith(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}, spec: {" + spec + "}}"))
	g := NewWithT(t)
	g.Expect(err).NotTo(HaveOccurred())
	u := &unstructured.Unstructured{}
	g.Expect(utiljson.Unmarshal(data, &u.Object)).To(Succeed())
	return u
}

func handedOver(t *testing.T, spec string) *unstructured.Unstructured {
	t.Helper()
	u := routeWith(t, spec)
	u.SetNamespace("test")
	u.SetUID("their-uid")
	u.SetGeneration(4)
	u.SetResourceVersion("44")
	u.SetAnnotations(map[string]string{iter8v1alpha1.AdoptAnnotation: "true"})
	return u
}

func newAdoption(t *testing.T, live string) *adoption {
	t.Helper()
	a := &adoption{world: newWorld(t), t: t}
	a.client.PrependReactor("patch", "httproutes", func(action clienttesting.Action) (bool, runtime.Object, error) {
		patch := action.(clienttesting.PatchActionImpl)
		if len(patch.PatchOptions.DryRun) == 0 {
			return patch.Name == "web" && a.changed != nil, nil, a.changed
		}
		sent := &unstructured.Unstructured{}
		a.Expect(utiljson.Unmarshal(patch.Patch, &sent.Object)).To(Succeed())
		a.Expect(patch.PatchOptions.Force).To(HaveValue(BeTrue()))
		a.dryRuns = append(a.dryRuns, sent)
		switch {
		case a.refusal != nil:
			return true, nil, a.refusal
		case a.answer != nil:
			return true, a.answer, nil
		}
		return true, sent, nil
	})
	a.client.PrependReactor("get", "httproutes", func(clienttesting.Action) (bool, runtime.Object, error) {
		a.reads++
		return false, nil, nil
	})
	a.create(handedOver(t, live))
	return a
}

// adopting applies routes, and returns what came of it with the first recorded inventories.
func (a *adoption) adopting(rendered ...*unstructured.Unstructured) (Result, [][]string) {
	a.t.Helper()
	record := &log{}
	result := a.apply(a.t, a.request(rendered, nil), record)
	return result, record.recorded
}

const (
	toV1   = "rules: [{backendRefs: [{name: v1, port: 80}]}]"
	toV1V2 = "rules: [{backendRefs: [{name: v1, port: 80}], filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}}}]}]"
	toV1V3 = "rules: [{backendRefs: [{name: v1, port: 80}], filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v3, port: 80}, percent: 5}}]}]"
	toV9   = "rules: [{backendRefs: [{name: v9, port: 80}]}]"
)

func TestWhatWasHandedOverIsAdoptedOnlyWhereThatChangesNothingForClients(t *testing.T) {
	for name, test := range map[string]struct {
		live, rendered string
		// answer is what the apiserver makes of it; "" for what it is sent.
		answer string
		// changes are those for which it is refused; "" where it is adopted.
		changes string
	}{
		"it is the same": {toV1, toV1, "", ""},
		"it is the same but for a mirror that comes":    {toV1, toV1V2, "", ""},
		"it is the same but for a mirror that it has":   {toV1V3, toV1, "", ""},
		"it is the same but for mirrors to others":      {toV1V3, toV1V2, "", ""},
		"the apiserver fills in what it has":            {toV1 + ", parentRefs: [{name: a, kind: Gateway}]", toV1 + ", parentRefs: [{name: a}]", toV1 + ", parentRefs: [{name: a, kind: Gateway}]", ""},
		"what others have beside it stays":              {toV1 + ", hostnames: [a]", toV1, toV1 + ", hostnames: [a]", ""},
		"what is empty is as good as absent":            {toV1, toV1 + ", hostnames: []", "", ""},
		"what was empty is filled":                      {toV1 + ", hostnames: []", toV1 + ", hostnames: [a]", "", "spec.hostnames"},
		"clients would get to another backend":          {toV1, toV9, "", "spec.rules[0].backendRefs[0].name"},
		"there would be another host":                   {toV1 + ", hostnames: [a]", toV1 + ", hostnames: [a, b]", "", "spec.hostnames"},
		"something would be added":                      {toV1, toV1 + ", hostnames: [a]", "", "spec.hostnames"},
		"something would be gone":                       {toV1 + ", hostnames: [a]", toV1, "", "spec.hostnames"},
		"a mirror would be instead of what isn't one":   {"rules: [{backendRefs: [{name: v1, port: 80}], filters: [{type: URLRewrite}]}]", toV1V2, "", "spec.rules[0].filters"},
		"several fields, by their names":                {toV1 + ", b: 1, a: 1", toV9 + ", b: 2, c: 2", "", "spec.a, spec.b, spec.c, spec.rules[0].backendRefs[0].name"},
		"more fields than a message has to list":        {"a: 1", "b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1, l: 1", "", "spec.a, spec.b, spec.c, spec.d, spec.e, spec.f, spec.g, spec.h, spec.i, spec.j, and 2 more"},
		"a webhook would make something else of it":     {toV1, toV1, toV9, "spec.rules[0].backendRefs[0].name"},
		"an added mirror beside a webhook's own filter": {toV1, toV1V2, "rules: [{backendRefs: [{name: v1, port: 80}], filters: [{type: URLRewrite}]}]", "spec.rules[0].filters"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAdoption(t, test.live)
			if test.answer != "" {
				a.answer = routeWith(t, test.answer)
			}
			result, recorded := a.adopting(routeWith(t, test.rendered), routeNamed("other"))
			a.Expect(a.dryRuns).To(HaveExactElements(And(
				HaveField("GetUID()", types.UID("their-uid")), HaveField("GetResourceVersion()", "44"))))
			a.Expect(a.dryRuns[0].Object["spec"]).NotTo(HaveKeyWithValue("rules", ContainElement(HaveKeyWithValue("filters", Not(BeEmpty())))), "no mirror is asked about")
			if test.changes == "" {
				a.Expect(result.Failures).To(BeEmpty())
				a.Expect(result.Applied).To(HaveKeyWithValue(routeKey, true))
				a.Expect(recorded).To(Equal([][]string{{"web", "other"}}))
				sent := &unstructured.Unstructured{}
				a.Expect(utiljson.Unmarshal(a.patches()[1].Patch, &sent.Object)).To(Succeed())
				a.Expect(sent.Object["spec"]).To(Equal(routeWith(t, test.rendered).Object["spec"]), "with its mirrors")
				a.Expect(sent.GetResourceVersion()).To(Equal("44"), "the very object that was compared")
				return
			}
			a.Expect(result.Failures).To(HaveExactElements(Failure{Reason: "AdoptionDiffers", Message: "HTTPRoute web is handed over and isn't adopted, since that would change " +
				test.changes + "; change the object or what is rendered until they say the same, mirrors apart"}))
			a.Expect(result.Retry()).To(BeFalse(), "an event tells of its end")
			a.Expect(recorded).To(Equal([][]string{{"other"}}), "it isn't the policy's")
			a.Expect(listed(result.Inventory)).To(Equal([]string{"other"}))
			a.Expect(a.calls()).To(Equal([]string{"patch web", "patch other"}), "a dry run, and the other object goes on")
			a.Expect(result.Applied).To(Equal(map[Key]bool{keyOf("other"): true}))
		})
	}
}

// leave has the route be what an earlier policy of the name has left to be deleted.
func (a *adoption) leave(spec string) {
	a.t.Helper()
	left := handedOver(a.t, spec)
	left.SetGeneration(5)
	left.SetResourceVersion("55")
	left.SetLabels(map[string]string{"iter8.tools/policy-uid": "earlier"})
	left.SetAnnotations(map[string]string{"iter8.tools/policy": "policy", "iter8.tools/deletion-policy": "Delete"})
	left.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "iter8-operator", Operation: metav1.ManagedFieldsOperationApply, FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(`{"f:spec":{},"f:metadata":{"f:labels":{"f:iter8.tools/policy-uid":{}},"f:annotations":{"f:iter8.tools/policy":{},"f:iter8.tools/deletion-policy":{}}}}`)}})
	a.update(left)
}

func TestWhatAnEarlierPolicyOfTheNameHasLeftIsTakenOverAsItIs(t *testing.T) {
	a := newAdoption(t, toV1)
	a.leave(toV1)
	result, recorded := a.adopting(routeWith(t, toV1))
	a.Expect(result.Failures).To(BeEmpty())
	a.Expect(recorded).To(Equal([][]string{{"web"}}))
	a.Expect(result.Inventory).To(HaveExactElements(HaveField("Adopted", false)), "it goes with the policy")
	sent := &unstructured.Unstructured{}
	a.Expect(utiljson.Unmarshal(a.patches()[1].Patch, &sent.Object)).To(Succeed())
	a.Expect(sent.GetResourceVersion()).To(Equal("55"), "unless it was deleted or written meanwhile")
}

func TestWhatAnEarlierPolicyOfTheNameHasLeftIsWaitedForWhereItIsAnother(t *testing.T) {
	a := newAdoption(t, toV1)
	a.leave(toV1)
	for range 2 {
		result, _ := a.adopting(routeWith(t, toV9))
		a.Expect(result.Failures).To(HaveExactElements(Failure{Reason: "Terminating", Message: "HTTPRoute web belongs to an earlier policy of this name, and differs from what is " +
			"rendered now; it is deleted once no VirtualService names its subsets, and applied again once it is gone; where one goes on naming them, " +
			"change the rule until it is what is rendered: it is taken over then"}))
		a.Expect(result.Inventory).To(BeEmpty())
	}
	a.Expect(a.dryRuns).To(HaveLen(1), "what is known isn't asked again")
}

// What the apiserver says instead of an answer.
func TestWhatCanNotBeComparedIsNotAdopted(t *testing.T) {
	forbidden := apierrors.NewForbidden(httpRoutes.GroupResource(), "web", errors.New("no"))
	for name, test := range map[string]struct {
		spoil           func(*adoption)
		reason, message string
		retry           bool
	}{
		"it can't be read": {func(a *adoption) {
			a.client.PrependReactor("get", "httproutes", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewServiceUnavailable("starting")
			})
		}, "ApplyFailed", "reading what is to be adopted: HTTPRoute web: starting", true},
		"it is gone": {func(a *adoption) {
			a.client.PrependReactor("get", "httproutes", func(clienttesting.Action) (bool, runtime.Object, error) {
				return true, nil, apierrors.NewNotFound(httpRoutes.GroupResource(), "web")
			})
		}, "ApplyFailed", `reading what is to be adopted: HTTPRoute web: httproutes.gateway.networking.k8s.io "web" not found`, true},
		"another has taken its place": {func(a *adoption) {
			a.client.PrependReactor("get", "httproutes", func(clienttesting.Action) (bool, runtime.Object, error) {
				u := handedOver(a.t, toV1)
				u.SetUID("new-uid")
				return true, u, nil
			})
		}, "ApplyFailed", "reading what is to be adopted: HTTPRoute web: another object has taken its place", true},
		"the account may not write it": {func(a *adoption) { a.refusal = forbidden },
			"Forbidden", `a dry run of adopting HTTPRoute web: httproutes.gateway.networking.k8s.io "web" is forbidden: no`, true},
		"it changes meanwhile": {func(a *adoption) {
			a.refusal = apierrors.NewConflict(httpRoutes.GroupResource(), "web", errors.New("modified"))
		}, "ApplyFailed", `a dry run of adopting HTTPRoute web: Operation cannot be fulfilled on httproutes.gateway.networking.k8s.io "web": modified`, true},
		"what is rendered is not valid": {func(a *adoption) { a.refusal = apierrors.NewBadRequest("no") },
			"Rejected", "a dry run of adopting HTTPRoute web: no", false},
		"a webhook doesn't support dry runs": {func(a *adoption) {
			a.refusal = apierrors.NewBadRequest(`admission webhook "a.example.com" does not support dry run`)
		}, "AdoptionDiffers", `HTTPRoute web is handed over and isn't adopted, since what that would change can't be shown: admission webhook "a.example.com" does not support dry run; ` +
			"change the object or what is rendered until they say the same, mirrors apart", false},
		"it changes after it was compared": {func(a *adoption) {
			a.changed = apierrors.NewConflict(httpRoutes.GroupResource(), "web", errors.New("modified"))
		}, "ApplyFailed", `applying HTTPRoute web: Operation cannot be fulfilled on httproutes.gateway.networking.k8s.io "web": modified`, true},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAdoption(t, toV1)
			test.spoil(a)
			result, _ := a.adopting(routeWith(t, toV1))
			a.Expect(result.Failures).To(HaveExactElements(And(HaveField("Reason", test.reason), HaveField("Message", test.message))))
			a.Expect(result.Retry()).To(Equal(test.retry))
			a.Expect(result.Applied).To(BeEmpty())
		})
	}
}

func TestWhatWasRefusedIsComparedAgainOnlyOnceSomethingIsAnother(t *testing.T) {
	a := newAdoption(t, toV1)
	rendered := routeWith(t, toV9)
	asked := 0
	comparing := func(manifest *unstructured.Unstructured, ungated ...*unstructured.Unstructured) (Result, int) {
		t.Helper()
		before, dryRuns := a.reads, len(a.dryRuns)
		request := a.request([]*unstructured.Unstructured{manifest}, nil)
		request.Ungated, request.BeforeComparing = ungated, func() { asked++ }
		result := a.apply(t, request, &log{})
		a.Expect(len(a.dryRuns) - dryRuns).To(Equal(a.reads - before))
		return result, a.reads - before
	}
	first, reads := comparing(rendered)
	a.Expect(reads).To(Equal(1))
	a.Expect(asked).To(Equal(1))
	again, reads := comparing(rendered)
	a.Expect(reads).To(BeZero(), "nothing has changed")
	a.Expect(again.Failures).To(Equal(first.Failures))
	_, reads = comparing(routeWith(t, "rules: [{backendRefs: [{name: v9, port: 80}], filters: [{type: RequestMirror}]}]"))
	a.Expect(reads).To(BeZero(), "a mirror has come")
	_, reads = comparing(routeWith(t, toV1V2), rendered)
	a.Expect(reads).To(BeZero(), "what is rendered without mirrors counts, and not how it is split")
	a.Expect(asked).To(Equal(1), "what was known holds nothing up")

	edited := handedOver(t, toV1+", hostnames: [a]")
	edited.SetGeneration(5)
	a.update(edited)
	a.Eventually(func() int { _, reads := comparing(rendered); return reads }).Should(Equal(1), "the object was edited")

	_, reads = comparing(routeWith(t, toV9+", hostnames: [a]"))
	a.Expect(reads).To(Equal(1), "another spec")
	result, reads := comparing(routeWith(t, toV1+", hostnames: [a]"))
	a.Expect(reads).To(Equal(1))
	a.Expect(result.Failures).To(BeEmpty(), "they are the same now")
	a.Expect(a.executor.comparisons.byPolicy).To(BeEmpty())
}

func TestWhatWasComparedIsForgottenWithItsPolicy(t *testing.T) {
	a := newAdoption(t, toV1)
	a.adopting(routeWith(t, toV9))
	a.Expect(a.executor.comparisons.byPolicy).To(HaveLen(1))
	a.executor.Forget(types.NamespacedName{Namespace: converted.Namespace, Name: converted.Name})
	a.Expect(a.executor.comparisons.byPolicy).To(BeEmpty())
}

func TestTheOperatorReadsWhatIsToBeAdoptedAndTheAccountAsksWhatThatChanges(t *testing.T) {
	a, own := newAdoption(t, toV1), newAdoption(t, toV1)
	request := a.request([]*unstructured.Unstructured{routeWith(t, toV1)}, nil)
	request.Own = &Account{Client: own.client}
	a.Expect(a.apply(t, request, &log{}).Failures).To(BeEmpty())
	a.Expect([]int{a.reads, len(a.dryRuns), own.reads, len(own.dryRuns)}).To(Equal([]int{0, 1, 1, 0}))
}
