package apply

import (
	"context"
	"encoding/json"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Orphan takes the policy's owner reference off an object, whatever is rendered, and marks it as one that is to stay: one write does both, so
// that it is always the policy's. The edit has no patch. It reads the object, for the references of others.
func (x *Executor) Orphan(ctx context.Context, owner Owner, edit Edit) *Failure {
	var err error
	for _, account := range edit.Accounts {
		// The garbage collector writes the object just then, where the policy was deleted without it.
		err = retry.RetryOnConflict(retry.DefaultRetry, func() error { return x.orphan(ctx, account, owner, edit) })
		if !refused(err) {
			break
		}
	}
	if err == nil || apierrors.IsNotFound(err) && !isNotServed(err) {
		return nil
	}
	return &Failure{Reason: reasonOf(Step{}, err), Err: err,
		Message: fmt.Sprintf("taking the owner reference off %s %s: %s", edit.Kind.Kind, edit.Object.Name, message(err))}
}

func (x *Executor) orphan(ctx context.Context, account *Account, owner Owner, edit Edit) error {
	resource, err := x.resource(edit.Kind)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, editTimeout)
	defer cancel()
	objects := account.Client.Resource(resource).Namespace(edit.Object.Namespace)
	live, err := objects.Get(ctx, edit.Object.Name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	references := live.GetOwnerReferences()
	others := make([]metav1.OwnerReference, 0, len(references))
	for _, ref := range references {
		if ref.UID != owner.UID {
			others = append(others, ref)
		}
	}
	done := len(others) == len(references) && live.GetLabels()[iter8v1alpha1.PolicyUIDLabel] == string(owner.UID) &&
		live.GetAnnotations()[iter8v1alpha1.DeletionPolicyAnnotation] == string(iter8v1alpha1.DeletionOrphan)
	if done || live.GetUID() != edit.UID || live.GetDeletionTimestamp() != nil {
		return nil
	}
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{
		"uid": edit.UID, "resourceVersion": live.GetResourceVersion(), "ownerReferences": others,
		"labels": map[string]string{iter8v1alpha1.PolicyUIDLabel: string(owner.UID)},
		"annotations": map[string]string{
			iter8v1alpha1.PolicyAnnotation: owner.Name, iter8v1alpha1.DeletionPolicyAnnotation: string(iter8v1alpha1.DeletionOrphan),
		},
	}})
	if err != nil {
		return err
	}
	written := x.Cache.beginWrite(nameOf(edit.Kind, edit.Object))
	answer, err := objects.Patch(ctx, edit.Object.Name, types.MergePatchType, patch, metav1.PatchOptions{FieldManager: iter8v1alpha1.FieldManager})
	written(answer, err)
	return err
}
