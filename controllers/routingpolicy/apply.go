package routingpolicy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/watch"
)

// defaultInterval is that of the CRD, for policies that were stored without.
const defaultInterval = 10 * time.Minute

// apply brings the cluster to the manifests. Without any, as when the Subject is gone, all that the inventory
// lists goes.
func (r *Reconciler) apply(ctx context.Context, s *scope) outcome {
	const condition = iter8v1alpha1.ConditionApplied
	kinds, keys := interests(s)
	r.Live.Follow(s.name(), kinds, keys)
	for _, kind := range kinds {
		switch state := r.Live.State(kind); {
		case state.Pending():
			return await
		case errors.Is(state.Err, watch.ErrNotServed) && !s.renders(kind):
			// With its kind, all objects in the inventory are gone.
		case !state.Synced && errors.Is(state.Err, watch.ErrNotServed):
			return s.fail(condition, iter8v1alpha1.ReasonKindNotServed, errors.New(apply.NotServed(kind)))
		case !state.Synced:
			return s.fail(condition, iter8v1alpha1.ReasonWatchFailed, fmt.Errorf("%s can't be watched: %w", kind.GroupKind(), state.Err))
		}
	}
	steps, full, err := r.plan(s, kinds)
	if err != nil {
		return s.fail(condition, iter8v1alpha1.ReasonApplyFailed, err)
	}
	account, err := r.Accounts.For(s.policy.Namespace, s.policy.Spec.ServiceAccountName)
	if err != nil {
		return s.fail(condition, iter8v1alpha1.ReasonApplyFailed, err)
	}
	if lack := r.Executor.Preflight(ctx, account, steps); lack != nil {
		return s.fail(condition, lack.Reason, errors.New(lack.Message))
	}
	if announced, differs := apply.Announced(s.policy.Status.Applied, steps); differs {
		status := s.policy.Status
		status.Applied = announced
		switch err := r.patchStatus(ctx, s, status); {
		case apierrors.IsConflict(err):
			s.again = conflictRetry
			return await
		case apierrors.IsNotFound(err):
			return await // the policy is gone
		case err != nil:
			return s.fail(condition, iter8v1alpha1.ReasonApplyFailed, fmt.Errorf("recording what is about to be applied: %w", err))
		}
	}
	result := r.Executor.Execute(ctx, account.Client, s.owner(), steps)
	if result.Terminating() {
		return await
	}
	if full != "" {
		failure := apply.Failure{Reason: iter8v1alpha1.ReasonPruneFailed, Message: full, Err: errors.New(full)}
		result.Failures = slices.Insert(result.Failures, 0, failure)
	}
	s.steps, s.result = steps, &result
	switch {
	case len(result.Failures) > 0:
	case s.withheld != nil:
		s.found[condition] = *s.withheld
		return done
	default:
		return s.succeed(condition, iter8v1alpha1.ReasonSucceeded, count(len(s.manifests), "object")+" applied")
	}
	messages := make([]string, 0, len(result.Failures))
	for _, f := range result.Failures {
		messages = append(messages, f.Message)
		if f.Reason == iter8v1alpha1.ReasonForbidden {
			account.Denied()
		}
	}
	failure := errors.New(strings.Join(messages, "; "))
	if result.Retry() {
		s.retry = failure // also for a kind that isn't served while its watch hasn't noticed
	} else {
		s.again = interval(s.policy) // what refused may be an admission policy, of whose changes there is no event
	}
	return s.fail(condition, result.Reason(), failure)
}

// plan returns the steps to take; where the inventory is too full for these, those that make room, and the message.
func (r *Reconciler) plan(s *scope, kinds []schema.GroupVersionKind) (steps []apply.Step, full string, err error) {
	versions := map[schema.GroupKind]schema.GroupVersionKind{}
	for _, kind := range kinds {
		versions[kind.GroupKind()] = kind
	}
	steps, err = apply.Plan(s.owner(), s.manifests, s.policy.Status.Applied, func(key apply.Key) *apply.Existing {
		return r.Live.Get(versions[key.GroupKind], types.NamespacedName{Namespace: s.policy.Namespace, Name: key.Name})
	})
	if err != nil {
		return nil, "", err
	}
	if room, message := apply.MakeRoom(s.policy.Status.Applied, steps); message != "" {
		return room, message, nil
	}
	return steps, "", nil
}

// interests gives the kinds and objects that a policy renders or has in its inventory, each kind in one
// version: the one that is rendered, where it is.
func interests(s *scope) ([]schema.GroupVersionKind, []apply.Key) {
	var kinds []schema.GroupVersionKind
	var keys []apply.Key
	add := func(kind schema.GroupVersionKind, name string) {
		if !slices.ContainsFunc(kinds, func(k schema.GroupVersionKind) bool { return k.GroupKind() == kind.GroupKind() }) {
			kinds = append(kinds, kind)
		}
		if key := (apply.Key{GroupKind: kind.GroupKind(), Name: name}); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for _, m := range s.manifests {
		add(m.GroupVersionKind(), m.GetName())
	}
	for _, entry := range s.policy.Status.Applied {
		add(schema.FromAPIVersionAndKind(entry.APIVersion, entry.Kind), entry.Name)
	}
	return kinds, keys
}

// interval is how often a policy that is refused is tried again.
func interval(policy *iter8v1alpha1.RoutingPolicy) time.Duration {
	if policy.Spec.Interval == nil {
		return defaultInterval
	}
	return policy.Spec.Interval.Duration
}
