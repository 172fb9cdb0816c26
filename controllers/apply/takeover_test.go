package apply

import (
	"encoding/json"
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// converted is a policy that mirrors the ConfigMap routemap.
var converted = Owner{Namespace: "test", Name: "policy", UID: "policy-uid", ConvertedFrom: "routemap"}

// iter8s is a route as Iter8's controller left it.
func iter8s() *unstructured.Unstructured {
	u := route()
	u.SetNamespace("test")
	u.SetUID("their-uid")
	u.SetResourceVersion("41")
	u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "configmap", Name: "routemap", UID: "configmap-uid"}})
	u.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "iter8-controller", Operation: metav1.ManagedFieldsOperationApply, APIVersion: "gateway.networking.k8s.io/v1"}})
	return u
}

func TestWhatIter8AppliedIsTakenOverByThePolicyThatMirrorsItsConfigMap(t *testing.T) {
	yes := true
	for name, test := range map[string]struct {
		owner  Owner
		change func(*unstructured.Unstructured)
		want   Action
	}{
		"Iter8 applied it for that ConfigMap":         {converted, func(*unstructured.Unstructured) {}, TakeOver},
		"Iter8 applied it, and recorded no ConfigMap": {converted, func(u *unstructured.Unstructured) { u.SetOwnerReferences(nil) }, TakeOver},
		"Iter8 applied it, and the ConfigMap controls it": {converted, func(u *unstructured.Unstructured) {
			u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "configmap", Name: "routemap", Controller: &yes}})
		}, TakeOver},
		"taking it over was cut off": {converted, func(u *unstructured.Unstructured) {
			u.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: iter8v1alpha1.FieldManager, Operation: metav1.ManagedFieldsOperationApply}})
		}, TakeOver},
		"Iter8 applied it for another ConfigMap": {converted, func(u *unstructured.Unstructured) {
			u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "configmap", Name: "other"}})
		}, Conflict},
		"somebody else made it": {converted, func(u *unstructured.Unstructured) {
			u.SetManagedFields([]metav1.ManagedFieldsEntry{{Manager: "kubectl"}})
		}, Conflict},
		"another controller has it": {converted, func(u *unstructured.Unstructured) {
			u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "a", Controller: &yes}})
		}, Conflict},
		"the policy mirrors no ConfigMap":                          {owner, func(*unstructured.Unstructured) {}, Conflict},
		"the policy mirrors no ConfigMap, and Iter8 recorded none": {owner, func(u *unstructured.Unstructured) { u.SetOwnerReferences(nil) }, Conflict},
		"the policy mirrors no ConfigMap, and Iter8's has a name that is empty": {owner, func(u *unstructured.Unstructured) {
			u.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "v1", Kind: "configmap"}})
		}, Conflict},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			u := iter8s()
			test.change(u)
			existing := &summarize(u).existing
			steps, err := plan(test.owner, []*unstructured.Unstructured{route()}, nil, holding(existing))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(steps).To(HaveExactElements(HaveField("Action", test.want)))
			_, differs := plannedInventory(nil, steps)
			g.Expect(differs).To(Equal(test.want == TakeOver), "it is listed before it is touched")
		})
	}
}

// takeOver plans and executes for a cluster that holds a route of Iter8's.
func (w *world) takeOver(t *testing.T, u *unstructured.Unstructured) Result {
	t.Helper()
	w.create(u)
	steps, err := plan(converted, []*unstructured.Unstructured{route()}, nil, holding(&summarize(u).existing))
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(steps[0].Action).To(Equal(TakeOver))
	return w.executor.execute(t.Context(), w.client, nil, converted, steps)
}

func TestTheFieldsOfIter8AreTakenOverBeforeAnythingIsApplied(t *testing.T) {
	entry := func(manager string, operation metav1.ManagedFieldsOperationType, version, subresource string) metav1.ManagedFieldsEntry {
		return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, APIVersion: version, Subresource: subresource}
	}
	const apply, update = metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate
	for name, test := range map[string]struct {
		before, after []metav1.ManagedFieldsEntry
	}{
		"Iter8's become ours": {
			[]metav1.ManagedFieldsEntry{entry("kubectl", update, "v1", ""), entry("iter8-controller", apply, "v1", "")},
			[]metav1.ManagedFieldsEntry{entry("kubectl", update, "v1", ""), entry("iter8-operator", apply, "v1", "")}},
		"Iter8's of several versions each": {
			[]metav1.ManagedFieldsEntry{entry("iter8-controller", apply, "v1beta1", ""), entry("iter8-controller", apply, "v1", "")},
			[]metav1.ManagedFieldsEntry{entry("iter8-operator", apply, "v1beta1", ""), entry("iter8-operator", apply, "v1", "")}},
		"Iter8's that it updated in place of applying": {
			[]metav1.ManagedFieldsEntry{entry("iter8-controller", update, "v1", "")},
			[]metav1.ManagedFieldsEntry{entry("iter8-operator", apply, "v1", "")}},
		"Iter8's beside ours": {
			[]metav1.ManagedFieldsEntry{entry("iter8-operator", apply, "v1", ""), entry("iter8-controller", apply, "v1", "")},
			[]metav1.ManagedFieldsEntry{entry("iter8-operator", apply, "v1", "")}},
		"Iter8's that it both applied and updated": {
			[]metav1.ManagedFieldsEntry{entry("iter8-controller", apply, "v1", ""), entry("iter8-controller", update, "v1", "")},
			[]metav1.ManagedFieldsEntry{entry("iter8-operator", apply, "v1", "")}},
		"Iter8's beside what we updated in place of applying": {
			[]metav1.ManagedFieldsEntry{entry("iter8-operator", update, "v1", ""), entry("iter8-controller", apply, "v1", "")},
			[]metav1.ManagedFieldsEntry{entry("iter8-operator", update, "v1", ""), entry("iter8-operator", apply, "v1", "")}},
		"those of a status stay": {
			[]metav1.ManagedFieldsEntry{entry("iter8-controller", update, "v1", "status"), entry("iter8-controller", apply, "v1", "")},
			[]metav1.ManagedFieldsEntry{entry("iter8-controller", update, "v1", "status"), entry("iter8-operator", apply, "v1", "")}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			u := iter8s()
			u.SetManagedFields(test.before)
			result := w.takeOver(t, u)
			w.Expect(result.Failures).To(BeEmpty())
			w.Expect(w.calls()).To(Equal([]string{"patch web", "patch web"}))
			takeover, applied := w.patches()[0], w.patches()[1]
			w.Expect(takeover.GetPatchType()).To(Equal(types.MergePatchType))
			var patch unstructured.Unstructured
			w.Expect(json.Unmarshal(takeover.Patch, &patch.Object)).To(Succeed())
			w.Expect(patch.GetManagedFields()).To(Equal(test.after))
			w.Expect(patch.GetUID()).To(BeEquivalentTo("their-uid"))
			w.Expect(patch.GetResourceVersion()).To(Equal("41"), "what has changed since it was read isn't overwritten")
			w.Expect(patch.Object).To(And(HaveLen(1), HaveKeyWithValue("metadata", HaveLen(3))), "nothing else is changed")
			w.Expect(applied.GetPatchType()).To(Equal(types.ApplyPatchType))
			w.Expect(*applied.PatchOptions.Force).To(BeTrue())
			w.Expect(result.Inventory).To(HaveExactElements(HaveField("UID", types.UID("their-uid"))))
		})
	}
}

func TestWhatCouldNotBeTakenOverIsNotApplied(t *testing.T) {
	for verb, answer := range map[string]error{
		"get": errors.New("connection refused"), "patch": apierrors.NewConflict(httpRoutes.GroupResource(), "web", errors.New("modified")),
	} {
		t.Run(verb, func(t *testing.T) {
			w := newWorld(t)
			w.client.PrependReactor(verb, "*", func(clienttesting.Action) (bool, runtime.Object, error) { return true, nil, answer })
			result := w.takeOver(t, iter8s())
			w.Expect(result.Failures).To(HaveExactElements(And(HaveField("Reason", iter8v1alpha1.ReasonApplyFailed), HaveField("Err", MatchError(answer)))))
			w.Expect(result.Retry()).To(BeTrue())
			w.Expect(result.Inventory).To(HaveExactElements(HaveField("UID", types.UID(""))), "it stays listed")
			for _, patch := range w.patches() {
				w.Expect(patch.GetPatchType()).NotTo(Equal(types.ApplyPatchType))
			}
		})
	}
}
