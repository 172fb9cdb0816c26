package apply

import (
	"context"
	"encoding/json"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

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
