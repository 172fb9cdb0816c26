package routingpolicy

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// patchStatus notes what a status says of the inventory, and writes it.
func (w *world) patchStatus(ctx context.Context, c client.Client, _ string, object client.Object, patch client.Patch, options ...client.SubResourcePatchOption) error {
	if meanwhile := w.meanwhile; meanwhile != nil {
		w.meanwhile = nil
		meanwhile()
	}
	policy := object.(*iter8v1alpha1.RoutingPolicy)
	var applied []string
	for _, entry := range policy.Status.Applied {
		name := entry.Name
		if entry.UID == "" {
			name += "?"
		}
		applied = append(applied, name)
	}
	if err := w.note("status", strings.Join(applied, ",")); err != nil {
		return err
	}
	if len(applied) > 128 {
		return errors.New("status.applied: Too many: must have at most 128 items")
	}
	return c.Status().Patch(ctx, object, patch, options...)
}

// note notes a write, and gives the cluster's answer to it.
func (w *world) note(verb, what string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.writes = append(w.writes, strings.TrimSpace(verb+" "+what))
	for _, key := range []string{verb, verb + " " + what} {
		if err := w.answers[key]; err != nil {
			return err
		}
	}
	return nil
}

// resourceOf returns the resource of a kind of routing objects.
func resourceOf(kind string) schema.GroupVersionResource {
	switch kind {
	case "VirtualService":
		return virtualServices
	case "DestinationRule":
		return destinationRules
	default:
		return httpRoutes
	}
}

// patch answers the patches of routing objects.
func (w *world) patch(action clienttesting.Action) (bool, runtime.Object, error) {
	patch := action.(clienttesting.PatchActionImpl)
	switch {
	case patch.PatchType == types.JSONPatchType:
		return w.edit(patch)
	case patch.PatchType == types.MergePatchType:
		return w.merge(patch)
	case len(patch.PatchOptions.DryRun) > 0:
		u := &unstructured.Unstructured{}
		if err := w.note("dry-run", patch.Name); err != nil {
			return true, nil, err
		}
		return true, u, utiljson.Unmarshal(patch.Patch, &u.Object)
	default:
		return w.apply(patch)
	}
}

func (w *world) apply(patch clienttesting.PatchActionImpl) (bool, runtime.Object, error) {
	if err := w.note("apply", patch.Name); err != nil {
		return true, nil, err
	}
	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(patch.Patch, &u.Object); err != nil {
		return true, nil, err
	}
	u.SetUID("uid-of-" + types.UID(patch.Name))
	u.SetManagedFields([]metav1.ManagedFieldsEntry{{
		Manager: "iter8-operator", Operation: metav1.ManagedFieldsOperationApply, APIVersion: u.GetAPIVersion(), FieldsType: "FieldsV1",
		FieldsV1: metav1.NewFieldsV1(markFields),
	}})
	return w.store(u)
}

// markFields are the managed fields that make the mark of an object count.
const markFields = `{"f:spec": {}, "f:metadata": {
	"f:labels": {"f:iter8.tools/policy-uid": {}},
	"f:annotations": {"f:iter8.tools/policy": {}, "f:iter8.tools/deletion-policy": {}}}}`

// edit applies a JSON patch, as a whole or not at all.
func (w *world) edit(patch clienttesting.PatchActionImpl) (bool, runtime.Object, error) {
	if err := w.note("edit", patch.Name); err != nil {
		return true, nil, err
	}
	if w.beforeEdit != nil {
		w.beforeEdit()
	}
	stored := w.object(patch.GetResource(), patch.Name)
	if stored == nil {
		return true, nil, apierrors.NewNotFound(httpRoutes.GroupResource(), patch.Name)
	}
	operations, err := jsonpatch.DecodePatch(patch.Patch)
	if err != nil {
		return true, nil, apierrors.NewBadRequest(err.Error())
	}
	before, err := stored.MarshalJSON()
	if err != nil {
		return true, nil, err
	}
	after, err := operations.Apply(before)
	if err != nil {
		return true, nil, apierrors.NewGenericServerResponse(http.StatusUnprocessableEntity, "", schema.GroupResource{}, "", err.Error(), 0, false)
	}
	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(after, &u.Object); err != nil {
		return true, nil, err
	}
	return w.store(u)
}

// merge merges a patch that names the object's uid.
func (w *world) merge(patch clienttesting.PatchActionImpl) (bool, runtime.Object, error) {
	if err := w.note("merge", patch.Name); err != nil {
		return true, nil, err
	}
	before, err := w.object(patch.GetResource(), patch.Name).MarshalJSON()
	if err != nil {
		return true, nil, err
	}
	after, err := jsonpatch.MergePatch(before, patch.Patch)
	if err != nil {
		return true, nil, err
	}
	u := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(after, &u.Object); err != nil {
		return true, nil, err
	}
	return w.store(u)
}

// store keeps what was written in a version of its own, as the webhook leaves it.
func (w *world) store(u *unstructured.Unstructured) (bool, runtime.Object, error) {
	w.mu.Lock()
	w.version++
	version := w.version
	w.mu.Unlock()
	generation := version
	if w.webhook != nil {
		w.webhook(u)
	}
	if stored := w.object(resourceOf(u.GetKind()), u.GetName()); stored != nil {
		if status, ok := stored.Object["status"]; ok {
			u.Object["status"] = status // which is another resource's
		}
		if equality.Semantic.DeepEqual(stored.Object["spec"], u.Object["spec"]) {
			generation = stored.GetGeneration()
		}
	}
	u.SetGeneration(generation)
	u.SetResourceVersion(fmt.Sprint(version))
	tracker, resource := w.cluster.Tracker(), resourceOf(u.GetKind())
	if err := tracker.Create(resource, u, u.GetNamespace()); err == nil {
		return true, u, nil
	}
	return true, u, tracker.Update(resource, u, u.GetNamespace())
}

func (w *world) delete(action clienttesting.Action) (bool, runtime.Object, error) {
	d := action.(clienttesting.DeleteActionImpl)
	if err := w.note("delete", d.Name); err != nil {
		return true, nil, err
	}
	return true, nil, w.cluster.Tracker().Delete(httpRoutes, d.Namespace, d.Name)
}

// answer has the cluster answer a write, such as "apply web", "dry-run web", "edit web" or any "delete", with an error, or well again.
func (w *world) answer(write string, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answers[write] = err
}

// written returns the writes since it was asked last.
func (w *world) written() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	writes := append([]string{}, w.writes...)
	w.writes = nil
	return writes
}
