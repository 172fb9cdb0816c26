package apply

import (
	"context"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/util/csaupgrade"
	ctrl "sigs.k8s.io/controller-runtime"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// takeFields makes the fields that Iter8's controller owns ours, and changes nothing else: what is applied next
// then replaces them all, those that aren't rendered any more and Iter8's owner reference included, in one
// write, so that the route is never without its rules. It reads the object once, for its managed fields.
func takeFields(ctx context.Context, client dynamic.ResourceInterface, step Step) error {
	live, err := client.Get(ctx, step.Key.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	fields := live.GetManagedFields()
	ours := map[string]bool{}
	for _, entry := range fields {
		if entry.Manager == iter8v1alpha1.FieldManager && entry.Operation == metav1.ManagedFieldsOperationApply {
			ours[entry.APIVersion] = true
		}
	}
	claimed := make([]metav1.ManagedFieldsEntry, 0, len(fields))
	for _, entry := range fields {
		if entry.Manager == iter8v1alpha1.LegacyFieldManager && entry.Subresource == "" {
			if ours[entry.APIVersion] {
				continue // there can be one entry only, and what we applied before is ours already
			}
			entry.Manager = iter8v1alpha1.FieldManager
			entry.Operation = metav1.ManagedFieldsOperationApply
			ours[entry.APIVersion] = true
		}
		claimed = append(claimed, entry)
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid":             step.Existing.UID,
		"resourceVersion": live.GetResourceVersion(),
		"managedFields":   claimed,
	}})
	if err != nil {
		return err
	}
	_, err = client.Patch(ctx, step.Key.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: iter8v1alpha1.FieldManager})
	return err
}

// isEdit recognizes what an Edit owns.
func isEdit(entry metav1.ManagedFieldsEntry) bool {
	return entry.Manager == iter8v1alpha1.FieldManager && entry.Operation == metav1.ManagedFieldsOperationUpdate && entry.Subresource == ""
}

// reclaimFields makes the fields that an Edit owns those of what is applied: else a field that isn't rendered any more would stay. It takes the
// right to get the object, without which they stay shared.
func reclaimFields(ctx context.Context, client dynamic.ResourceInterface, step Step) {
	live, err := client.Get(ctx, step.Key.Name, metav1.GetOptions{})
	if err != nil || live.GetUID() != step.Existing.UID {
		return
	}
	patch, err := csaupgrade.UpgradeManagedFieldsPatch(live, sets.New(iter8v1alpha1.FieldManager), iter8v1alpha1.FieldManager)
	if err != nil || patch == nil {
		return
	}
	if _, err := client.Patch(ctx, step.Key.Name, types.JSONPatchType, patch, metav1.PatchOptions{FieldManager: iter8v1alpha1.FieldManager}); err != nil {
		ctrl.LoggerFrom(ctx).V(1).Info("Fields of an edit stay shared", "kind", step.Key.Kind, "name", step.Key.Name, "error", err.Error())
	}
}
