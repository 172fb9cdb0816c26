package apply

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/watch"
)

func TestHowAnObjectIsApplied(t *testing.T) {
	handedOver := &Existing{UID: "their-uid", Generation: 4, Adopt: true}
	for name, test := range map[string]struct {
		inventory []iter8v1alpha1.AppliedObject
		existing  *Existing
		action    Action
		force     bool
		uid       types.UID
	}{
		"a new one pushes no other manager's fields aside": {nil, nil, Create, false, ""},
		"one that is made again is new too":                {[]iter8v1alpha1.AppliedObject{entryOf("web")}, nil, Create, false, ""},
		"ours is the one that the plan was made for":       {[]iter8v1alpha1.AppliedObject{entryOf("web")}, ours("web"), Update, true, "old-uid-of-web"},
		"one that is adopted is the one that was meant":    {nil, handedOver, Adopt, true, "their-uid"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			steps := w.plan(routesNamed("web"), test.inventory, map[string]*Existing{"web": test.existing})
			w.Expect(steps[0].Action).To(Equal(test.action))
			manifest := steps[0].Manifest.DeepCopy()
			result := w.execute(t, steps)

			w.Expect(w.calls()).To(Equal([]string{"patch web"}))
			patch := w.patches()[0]
			w.Expect(patch.GetResource()).To(Equal(httpRoutes))
			w.Expect(patch.GetNamespace()).To(Equal("test"))
			w.Expect(patch.GetPatchType()).To(Equal(types.ApplyPatchType))
			w.Expect(patch.PatchOptions).To(Equal(metav1.PatchOptions{
				FieldManager: "iter8-operator", Force: &test.force, FieldValidation: metav1.FieldValidationStrict,
			}))
			manifest.SetUID(test.uid)
			if test.uid == "" {
				unstructured.RemoveNestedField(manifest.Object, "metadata", "uid")
			}
			w.Expect(patch.Patch).To(MatchJSON(marshal(t, manifest)), "all of the manifest and nothing else")

			digest, err := digestOf(withOwner(owner, routeNamed("web")))
			w.Expect(err).NotTo(HaveOccurred())
			want := iter8v1alpha1.AppliedObject{
				APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Name: "web", UID: test.uid, Generation: 7, Digest: digest,
				// of [{"app":"web","app.kubernetes.io/managed-by":"iter8-operator"},{"note":"kept"}]
				Metadata: "sha256:09345cce2162de1fb462a3ab19ed34b1997a6f695e9ac700778637024773f9df",
			}
			if test.uid == "" {
				want.UID = "uid-of-web"
			}
			if test.action == Adopt {
				want.Adopted = true
				want.Digest, err = digestOf(withMark(owner, routeNamed("web"), "Orphan"))
				w.Expect(err).NotTo(HaveOccurred())
				// of [{"app":"web","app.kubernetes.io/managed-by":"iter8-operator","iter8.tools/policy-uid":"policy-uid"},
				//     {"iter8.tools/deletion-policy":"Orphan","iter8.tools/policy":"policy","note":"kept"}]
				want.Metadata = "sha256:4cf240faa45d5a2c48657102af82e7283100940b275caa30b1d336806285bb32"
			}
			w.Expect(result).To(Equal(Result{
				Inventory: []iter8v1alpha1.AppliedObject{want}, Applied: map[Key]bool{routeKey: true},
			}), "what the cluster answered is recorded")
		})
	}
}

func marshal(t *testing.T, m *unstructured.Unstructured) []byte {
	t.Helper()
	data, err := json.Marshal(m.Object)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return data
}

func TestWhatIsAppliedIsKeptFromThenOn(t *testing.T) {
	w := newWorld(t)
	result := w.execute(t, w.plan(routesNamed("web"), nil, nil))
	lookup := func(key Key) *Existing {
		return w.cache.Get(routeKind, types.NamespacedName{Namespace: "test", Name: key.Name})
	}
	steps, err := plan(owner, routesNamed("web"), result.Inventory, lookup)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(steps).To(HaveExactElements(HaveField("Action", Keep)), "although no watch has shown it yet")
	again := w.execute(t, steps)
	w.Expect(w.calls()).To(HaveLen(1), "nothing is called for what is kept")
	w.Expect(again).To(Equal(result))
}

func TestStepsThatCallNothing(t *testing.T) {
	terminating := ours("web")
	terminating.Terminating = true
	for name, test := range map[string]struct {
		manifests []*unstructured.Unstructured
		inventory []iter8v1alpha1.AppliedObject
		existing  *Existing
		action    Action
		listed    bool
		failed    bool
	}{
		"another's object is left alone": {
			routesNamed("web"), nil, &Existing{UID: "u", Controller: controlledBy("other")}, Conflict, false, true},
		"an object that another took over is not listed any more": {
			routesNamed("web"), []iter8v1alpha1.AppliedObject{entryOf("web")}, &Existing{UID: "u", Controller: controlledBy("other")}, Conflict, false, true},
		"one on its way out stays listed": {
			routesNamed("web"), []iter8v1alpha1.AppliedObject{entryOf("web")}, terminating, Wait, true, true},
		"one that is gone is not listed any more": {
			nil, []iter8v1alpha1.AppliedObject{entryOf("web")}, nil, Release, false, false},
		"another's that left the render is not listed any more": {
			nil, []iter8v1alpha1.AppliedObject{entryOf("web")}, &Existing{UID: "u", Controller: controlledBy("other")}, Release, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			steps := w.plan(test.manifests, test.inventory, map[string]*Existing{"web": test.existing})
			w.Expect(steps[0].Action).To(Equal(test.action))
			result := w.execute(t, steps)
			w.Expect(w.calls()).To(BeEmpty())
			w.Expect(result.Applied).To(BeEmpty())
			if test.listed {
				w.Expect(result.Inventory).To(Equal(test.inventory))
			} else {
				w.Expect(result.Inventory).To(BeEmpty())
			}
			if test.failed {
				w.Expect(result.Failures).NotTo(BeEmpty())
			} else {
				w.Expect(result.Failures).To(BeEmpty())
			}
			w.Expect(result.Retry()).To(BeFalse(), "an event tells of its end")
			if test.action == Wait {
				w.Expect(result.Reason()).To(Equal("Terminating"))
			}
		})
	}
}

func TestWhatAConflictIsSaidToBe(t *testing.T) {
	const start, end = "HTTPRoute web exists and does not belong to this policy (", "), so it is left alone; "
	const handOver = `rename or delete it, or hand it over with the annotation iter8.tools/adopt: "true"`
	for name, test := range map[string]struct {
		existing Existing
		message  string
	}{
		"a controller":   {Existing{Controller: &metav1.OwnerReference{Kind: "Deployment", Name: "a"}}, start + "Deployment a controls it" + end + "rename or delete one of the two"},
		"field managers": {Existing{Managers: "helm, kubectl"}, start + "its fields are managed by helm, kubectl" + end + handOver},
		"no controller":  {Existing{}, start + "no controller owns it" + end + handOver},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			result := w.execute(t, w.plan(routesNamed("web"), nil, map[string]*Existing{"web": &test.existing}))
			w.Expect(result.Failures).To(Equal([]Failure{{Reason: iter8v1alpha1.ReasonOwnershipConflict, Message: test.message}}))
		})
	}
}

func TestWhatAnEarlierPolicyOfTheNameLeftIsWaitedFor(t *testing.T) {
	for name, test := range map[string]struct {
		controller metav1.OwnerReference
		reason     string
	}{
		"one of that name":            {metav1.OwnerReference{APIVersion: "iter8.tools/v1alpha1", Kind: "RoutingPolicy", Name: owner.Name, UID: "earlier"}, iter8v1alpha1.ReasonTerminating},
		"another policy":              {metav1.OwnerReference{APIVersion: "iter8.tools/v1alpha1", Kind: "RoutingPolicy", Name: "another", UID: "other"}, iter8v1alpha1.ReasonOwnershipConflict},
		"another API's of that name":  {metav1.OwnerReference{APIVersion: "example.com/v1", Kind: "RoutingPolicy", Name: owner.Name, UID: "other"}, iter8v1alpha1.ReasonOwnershipConflict},
		"something else of that name": {metav1.OwnerReference{APIVersion: "iter8.tools/v1alpha1", Kind: "Subject", Name: owner.Name, UID: "other"}, iter8v1alpha1.ReasonOwnershipConflict},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			result := w.execute(t, w.plan(routesNamed("web"), nil, map[string]*Existing{"web": {Controller: &test.controller}}))
			w.Expect(result.Failures).To(HaveExactElements(HaveField("Reason", test.reason)))
			w.Expect(w.calls()).To(BeEmpty(), "it is left alone")
		})
	}
}

// A kind that isn't served any more is said so, and holds up nothing else.
func TestWhatIsKeptOfAKindThatHasGone(t *testing.T) {
	w := newWorld(t)
	gone := httpRoutes.GroupVersion().WithKind("UDPRoute")
	kept := Step{Action: Keep, Key: Key{GroupKind: gone.GroupKind(), Name: "udp"}, Existing: &Existing{},
		Entry: iter8v1alpha1.AppliedObject{APIVersion: gone.GroupVersion().String(), Kind: gone.Kind, Name: "udp"}}
	w.cache.Follow(policy, []schema.GroupVersionKind{gone}, nil)
	w.Eventually(func() error { return w.cache.State(gone, "test").Err }).Should(MatchError(watch.ErrNotServed))
	leaving := w.plan(nil, []iter8v1alpha1.AppliedObject{entryOf("old")}, map[string]*Existing{"old": ours("old")})
	result := w.execute(t, append([]Step{kept}, leaving...))
	w.Expect(result.Failures).To(HaveExactElements(And(HaveField("Reason", iter8v1alpha1.ReasonKindNotServed),
		HaveField("Message", "the cluster does not serve gateway.networking.k8s.io/v1 UDPRoute; install its CustomResourceDefinition"))))
	w.Expect(result.Inventory).To(HaveExactElements(HaveField("Name", "udp")))
	w.Expect(w.calls()).To(Equal([]string{"delete old"}))
}

func TestStepsAreTakenInTheirOrderAndDeletesLast(t *testing.T) {
	w := newWorld(t)
	inventory := []iter8v1alpha1.AppliedObject{entryOf("old-2"), entryOf("b"), entryOf("old-1")}
	cluster := map[string]*Existing{"old-1": ours("old-1"), "old-2": ours("old-2"), "b": ours("b")}
	result := w.execute(t, w.plan(routesNamed("c", "a", "b"), inventory, cluster))
	w.Expect(w.calls()).To(Equal([]string{"patch c", "patch a", "patch b", "delete old-1", "delete old-2"}))
	w.Expect(result.Failures).To(BeEmpty())
	w.Expect(result.Inventory).To(HaveExactElements(HaveField("Name", "c"), HaveField("Name", "a"), HaveField("Name", "b")))
	w.Expect(result.Applied).To(Equal(map[Key]bool{keyOf("a"): true, keyOf("b"): true, keyOf("c"): true}))
	for _, action := range w.client.Actions() {
		if d, ok := action.(clienttesting.DeleteActionImpl); ok {
			w.Expect(d.GetNamespace()).To(Equal("test"))
			w.Expect(d.GetResource()).To(Equal(httpRoutes))
			w.Expect(*d.DeleteOptions.Preconditions.UID).To(Equal(entryOf(d.Name).UID), "nothing but what was meant is deleted")
		}
	}
}

func TestNothingIsDeletedBeforeAllThatIsRenderedStands(t *testing.T) {
	terminating := ours("b")
	terminating.Terminating = true
	for name, test := range map[string]struct {
		existing *Existing
		answer   error
		calls    []string
	}{
		"an object is refused":       {ours("b"), apierrors.NewBadRequest("no"), []string{"patch a", "patch b", "patch c"}},
		"an object is another's":     {&Existing{UID: "u", Controller: controlledBy("other")}, nil, []string{"patch a", "patch c"}},
		"an object is on its way":    {terminating, nil, []string{"patch a", "patch c"}},
		"the apiserver is unwell":    {ours("b"), apierrors.NewInternalError(errors.New("oh")), []string{"patch a", "patch b", "patch c"}},
		"an object can't be reached": {ours("b"), errors.New("connection refused"), []string{"patch a", "patch b", "patch c"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.refuse("b", test.answer)
			inventory := []iter8v1alpha1.AppliedObject{entryOf("b"), entryOf("old")}
			result := w.execute(t, w.plan(routesNamed("a", "b", "c"), inventory, map[string]*Existing{"b": test.existing, "old": ours("old")}))
			w.Expect(w.calls()).To(Equal(test.calls), "the others are applied all the same")
			w.Expect(result.Failures).To(HaveLen(1))
			w.Expect(result.Inventory).To(ContainElement(entryOf("old")), "what isn't deleted stays listed")
			w.Expect(result.Applied).To(Equal(map[Key]bool{keyOf("a"): true, keyOf("c"): true}))
		})
	}
}

func TestWhyAnObjectCouldNotBeApplied(t *testing.T) {
	resource := httpRoutes.GroupResource()
	unknownField := &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusInternalServerError, Reason: metav1.StatusReasonInternalError,
		Message: `failed to create typed patch object: .spec.rulez: field not declared in schema`}}
	for name, test := range map[string]struct {
		existing *Existing
		kind     string
		answer   error
		reason   string
		retry    bool
		message  string
	}{
		"the account may not": {nil, "", apierrors.NewForbidden(resource, "web", errors.New("not you")), iter8v1alpha1.ReasonForbidden, true,
			`applying HTTPRoute web: httproutes.gateway.networking.k8s.io "web" is forbidden: not you`},
		"it is invalid": {nil, "", apierrors.NewInvalid(routeKey.GroupKind, "web", nil), iter8v1alpha1.ReasonRejected, false,
			`applying HTTPRoute web: HTTPRoute.gateway.networking.k8s.io "web" is invalid`},
		"it makes no sense":                {nil, "", apierrors.NewBadRequest("strict decoding error"), iter8v1alpha1.ReasonRejected, false, "applying HTTPRoute web: strict decoding error"},
		"it is too large":                  {nil, "", apierrors.NewRequestEntityTooLargeError("limit is 3145728"), iter8v1alpha1.ReasonRejected, false, "limit is 3145728"},
		"it has a field that nobody knows": {nil, "", unknownField, iter8v1alpha1.ReasonUnsupportedByCluster, false, ".spec.rulez: field not declared in schema: correct the field, or install a CustomResourceDefinition of gateway.networking.k8s.io/v1 that has it"},
		"somebody made it first": {nil, "", apierrors.NewApplyConflict([]metav1.StatusCause{{Type: metav1.CauseTypeFieldManagerConflict, Message: "conflict with kubectl"}}, "conflict with kubectl"),
			iter8v1alpha1.ReasonOwnershipConflict, false, "conflict with kubectl"},
		"a quota is used up": {nil, "", apierrors.NewForbidden(resource, "web", errors.New("exceeded quota: routes, requested: count/httproutes.gateway.networking.k8s.io=1, used: count/httproutes.gateway.networking.k8s.io=5, limited: count/httproutes.gateway.networking.k8s.io=5")),
			iter8v1alpha1.ReasonApplyFailed, true, "exceeded quota: routes"},
		"a quota isn't counted yet": {nil, "", apierrors.NewForbidden(resource, "web", errors.New("status unknown for quota: routes, resources: count/httproutes.gateway.networking.k8s.io")),
			iter8v1alpha1.ReasonApplyFailed, true, "status unknown for quota: routes"},
		"a quota is being changed": {nil, "", apierrors.NewConflict(resource, "web", errors.New("try again")), iter8v1alpha1.ReasonApplyFailed, true, "try again"},
		"a value is of the wrong type": {nil, "", apierrors.NewInternalError(errors.New("failed to create typed patch object (test/web): .spec.port: expected numeric (int or float), got string")),
			iter8v1alpha1.ReasonRejected, false, ".spec.port: expected numeric"},
		"it was replaced since the plan": {ours("web"), "", apierrors.NewConflict(resource, "web", errors.New("uid mismatch")), iter8v1alpha1.ReasonApplyFailed, true, "uid mismatch"},
		"its kind has gone":              {nil, "UDPRoute", nil, iter8v1alpha1.ReasonKindNotServed, false, "the cluster does not serve gateway.networking.k8s.io/v1 UDPRoute; install its CustomResourceDefinition"},
		"its kind has gone just now": {nil, "", apierrors.NewGenericServerResponse(http.StatusNotFound, "patch", resource, "web", "404 page not found", 0, true),
			iter8v1alpha1.ReasonKindNotServed, true, "the cluster does not serve gateway.networking.k8s.io/v1 HTTPRoute; install its CustomResourceDefinition"},
		"its namespace has gone":      {nil, "", apierrors.NewNotFound(corev1.Resource("namespaces"), "test"), iter8v1alpha1.ReasonApplyFailed, true, `applying HTTPRoute web: namespaces "test" not found`},
		"the apiserver has no time":   {nil, "", apierrors.NewServerTimeout(resource, "patch", 1), iter8v1alpha1.ReasonApplyFailed, true, "applying HTTPRoute web: The patch operation"},
		"the apiserver is unwell":     {ours("web"), "", apierrors.NewInternalError(errors.New("etcd")), iter8v1alpha1.ReasonApplyFailed, true, "Internal error occurred: etcd"},
		"there are too many requests": {nil, "", apierrors.NewTooManyRequests("later", 1), iter8v1alpha1.ReasonApplyFailed, true, "later"},
		"a webhook is unwell, and words it like a refusal": {ours("web"), "", &apierrors.StatusError{ErrStatus: metav1.Status{
			Status: metav1.StatusFailure, Code: http.StatusServiceUnavailable, Reason: metav1.StatusReasonForbidden, Message: "restarting"}},
			iter8v1alpha1.ReasonApplyFailed, true, "applying HTTPRoute web: restarting"},
		"it can't be reached": {ours("web"), "", errors.New("connection refused"), iter8v1alpha1.ReasonApplyFailed, true, "applying HTTPRoute web: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.refuse("web", test.answer)
			manifests := routesNamed("web")
			if test.kind != "" {
				manifests[0].SetKind(test.kind)
			}
			var inventory []iter8v1alpha1.AppliedObject
			if test.existing != nil {
				inventory = []iter8v1alpha1.AppliedObject{entryOf("web")}
			}
			steps := w.plan(manifests, inventory, map[string]*Existing{"web": test.existing})
			result := w.execute(t, steps)
			w.Expect(result.Failures).To(HaveExactElements(And(
				HaveField("Reason", test.reason), HaveField("Message", ContainSubstring(test.message)), HaveField("Err", HaveOccurred()))))
			if test.answer != nil {
				w.Expect(result.Failures[0].Err).To(MatchError(test.answer))
			}
			w.Expect(result.Retry()).To(Equal(test.retry))
			w.Expect(result.Terminating()).To(BeFalse())
			w.Expect(result.Applied).To(BeEmpty())
			w.Expect(result.Inventory).To(Equal([]iter8v1alpha1.AppliedObject{steps[0].Entry}), "it may have been applied all the same, so it stays listed as it was")
			w.Expect(w.cache.Get(routeKind, types.NamespacedName{Namespace: "test", Name: "web"})).To(BeNil())
		})
	}
}

func TestAKindThatIsKnownNotToBeServedIsNotTriedAndHoldsNoOther(t *testing.T) {
	w := newWorld(t)
	w.client.PrependReactor("list", "grpcroutes", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewNotFound(httpRoutes.GroupVersion().WithResource("grpcroutes").GroupResource(), "")
	})
	manifests := routesNamed("calls", "web")
	manifests[0].SetKind("GRPCRoute")
	kind := manifests[0].GroupVersionKind()
	w.cache.Follow(policy, []schema.GroupVersionKind{kind}, []Key{{GroupKind: kind.GroupKind(), Name: "calls"}})
	w.Eventually(func() error { return w.cache.State(kind, "test").Err }).Should(MatchError(watch.ErrNotServed))

	result := w.execute(t, w.plan(manifests, nil, nil))
	w.Expect(w.calls()).To(Equal([]string{"patch web"}))
	w.Expect(result.Failures).To(HaveExactElements(And(HaveField("Reason", iter8v1alpha1.ReasonKindNotServed),
		HaveField("Message", "the cluster does not serve gateway.networking.k8s.io/v1 GRPCRoute; install its CustomResourceDefinition"))))
	w.Expect(result.Retry()).To(BeFalse(), "its watch tells when it is served")
}

func TestAMessageSaysWhatTheClusterSaidAndNothingThatChanges(t *testing.T) {
	for name, test := range map[string]struct {
		answer error
		want   string
	}{
		"an answer inside another error": {fmt.Errorf("request 8f3a: %w", apierrors.NewBadRequest("no hosts")), "no hosts"},
		"an answer without a message":    {fmt.Errorf("cut off: %w", &apierrors.StatusError{}), "cut off: "},
		"no answer":                      {errors.New("connection refused"), "connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(message(test.answer)).To(Equal(test.want))
		})
	}
}

func TestWhatComesOfADelete(t *testing.T) {
	resource := httpRoutes.GroupResource()
	notServed := apierrors.NewGenericServerResponse(http.StatusNotFound, "delete", schema.GroupResource{}, "", "404 page not found", 0, true)
	for name, test := range map[string]struct {
		answer  error
		message string
	}{
		"it is deleted":         {nil, ""},
		"it has gone meanwhile": {apierrors.NewNotFound(resource, "old"), ""},
		"it is another by now": {apierrors.NewConflict(resource, "old", errors.New(
			"the UID in the precondition (a) does not match the UID in record (b). The object might have been deleted and then recreated")), ""},
		"it became another just then": {apierrors.NewConflict(resource, "old", errors.New(
			"Precondition failed: UID in precondition: a, UID in object meta: b")), ""},
		"a webhook holds it": {apierrors.NewConflict(resource, "old", errors.New("not while the gateway drains")),
			`deleting HTTPRoute old: Operation cannot be fulfilled on httproutes.gateway.networking.k8s.io "old": not while the gateway drains`},
		"its version has gone meanwhile": {notServed, "deleting HTTPRoute old: the server could not find the requested resource"},
		"the account may not":            {apierrors.NewForbidden(resource, "old", errors.New("not you")), `deleting HTTPRoute old: httproutes.gateway.networking.k8s.io "old" is forbidden: not you`},
		"it can't be reached":            {errors.New("connection refused"), "deleting HTTPRoute old: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.refuse("old", test.answer)
			inventory := []iter8v1alpha1.AppliedObject{entryOf("old")}
			result := w.execute(t, w.plan(nil, inventory, map[string]*Existing{"old": ours("old")}))
			w.Expect(w.calls()).To(Equal([]string{"delete old"}))
			w.Expect(result.Applied).To(BeEmpty())
			if test.message == "" {
				w.Expect(result.Failures).To(BeEmpty())
				w.Expect(result.Inventory).To(BeEmpty())
				return
			}
			w.Expect(result.Failures).To(Equal([]Failure{{Reason: iter8v1alpha1.ReasonPruneFailed, Message: test.message, Err: test.answer}}))
			w.Expect(result.Retry()).To(BeTrue())
			w.Expect(result.Inventory).To(Equal(inventory), "it stays listed")
		})
	}
}

func TestANamespaceOnItsWayOutIsRecognised(t *testing.T) {
	w := newWorld(t)
	terminating := apierrors.NewForbidden(httpRoutes.GroupResource(), "web", errors.New("being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	w.refuse("web", terminating)
	result := w.execute(t, w.plan(routesNamed("web"), nil, nil))
	w.Expect(result.Terminating()).To(BeTrue())
	w.Expect(Result{}.Terminating()).To(BeFalse())
}
