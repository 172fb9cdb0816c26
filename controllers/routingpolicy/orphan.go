package routingpolicy

import (
	"context"
	"errors"
	"slices"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/ownwrites"
)

// orphan takes the owner references off what stands, and marks it, where deletionPolicy says that it is to stay: also where nothing is applied, as while a
// chart fails, or the policy is being deleted and held by another's finalizer. Where a policy is deleted without what it owns, that stays as well; a rule
// with subsets goes nevertheless, once nothing names them.
func (r *Reconciler) orphan(ctx context.Context, s *scope) {
	if !s.orphans() || s.suspended != "" {
		return
	}
	for _, o := range r.owned(s) {
		mark := o.existing.Mark
		marked := o.existing.Controller == nil && mark != nil && (mark.Deletion == iter8v1alpha1.DeletionOrphan || s.abandons())
		if o.existing.Terminating || marked {
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
		s.unorphaned = true
		s.inputs = "" // for the next reconcile to look at what stands
	}
}

// isLeft reports whether the policy is being deleted, or is gone, though the cache doesn't show it yet: it asks where an owner reference was taken
// off. That may be the garbage collector's doing, which deletes what gets one back.
func (r *Reconciler) isLeft(ctx context.Context, s *scope) bool {
	if !slices.ContainsFunc(r.owned(s), func(o standing) bool { return !o.existing.Claimed() }) {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	live := &iter8v1alpha1.RoutingPolicy{}
	err := r.Reader.Get(ctx, s.name(), live)
	return ownwrites.IsGone(err) || err == nil && (live.UID != s.policy.UID || !live.DeletionTimestamp.IsZero())
}

// abandoned are policies that were deleted without what they own. The garbage collector may be through with one before its objects are marked.
type abandoned struct {
	mu       sync.Mutex
	policies map[types.NamespacedName]*iter8v1alpha1.RoutingPolicy
}

func abandons(policy *iter8v1alpha1.RoutingPolicy) bool {
	return !policy.DeletionTimestamp.IsZero() && slices.Contains(policy.Finalizers, metav1.FinalizerOrphanDependents)
}

// observe keeps what the cache shows of a policy that is deleted without what it owns.
func (a *abandoned) observe(shown *iter8v1alpha1.RoutingPolicy) {
	if !abandons(shown) {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.policies == nil {
		a.policies = map[types.NamespacedName]*iter8v1alpha1.RoutingPolicy{}
	}
	a.policies[types.NamespacedName{Namespace: shown.Namespace, Name: shown.Name}] = shown
}

// get returns a policy that was kept, nil for any other.
func (a *abandoned) get(name types.NamespacedName) *iter8v1alpha1.RoutingPolicy {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.policies[name]
}

func (a *abandoned) forget(name types.NamespacedName) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.policies, name)
}

// leave marks what a policy that is gone has abandoned, so that its mirrors are taken out. Nothing remembers it over a restart.
func (r *Reconciler) leave(ctx context.Context, policy *iter8v1alpha1.RoutingPolicy) (ctrl.Result, error) {
	s := newScope(policy, r.clock())
	if r.followRoutes(ctx, s) == hold {
		return ctrl.Result{}, nil // it comes back once they are known
	}
	r.orphan(ctx, s)
	result, err := s.end()
	if err == nil && s.due.IsZero() {
		r.abandoned.forget(s.name())
		r.unfollow(s.name())
	}
	return result, err
}
