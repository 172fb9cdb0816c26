package routingpolicy

import (
	"context"
	"errors"

	apierrors "k8s.io/apimachinery/pkg/api/errors"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
)

// orphan takes the owner references off what stands, and marks it, where deletionPolicy says that it is to stay: also where nothing is applied, as while a
// chart fails, or the policy is being deleted and held by another's finalizer.
func (r *Reconciler) orphan(ctx context.Context, s *scope) {
	if !s.orphans() || s.suspended != "" {
		return
	}
	for _, o := range r.standing(s) {
		mark := o.existing.Mark
		if o.existing.Terminating || o.existing.Controller == nil && mark != nil && mark.Deletion == iter8v1alpha1.DeletionOrphan {
			continue
		}
		failure := r.Executor.Orphan(ctx, s.owner(), apply.Edit{Kind: o.kind, Object: o.name, UID: o.existing.UID, Accounts: r.accounts(s)})
		if failure == nil {
			continue
		}
		reason := iter8v1alpha1.ReasonApplyFailed
		if apierrors.IsForbidden(failure.Err) {
			reason = iter8v1alpha1.ReasonForbidden
		}
		s.fail(iter8v1alpha1.ConditionApplied, reason, errors.New(failure.Message))
		s.inputs = "" // for the next reconcile to look at what stands
	}
}
