package routingpolicy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/ownwrites"
	"iter8.tools/operator/controllers/watch"
)

// defaultInterval is that of the CRD, for policies that were stored without.
const defaultInterval = 10 * time.Minute

// apply brings the cluster to the manifests. Without any, as when the Subject is gone, all that the inventory
// lists goes.
func (r *Reconciler) apply(ctx context.Context, s *scope) outcome {
	const condition = iter8v1alpha1.ConditionApplied
	for _, kind := range r.kinds(s, s.recorded()) {
		switch state := r.Routes.State(kind, s.policy.Namespace); {
		case state.Pending(): // it was refused a moment ago
			return hold
		case errors.Is(state.Err, watch.ErrNotServed) && !s.renders(kind):
			// The objects in the inventory are looked up in another version, or are gone with their kind: see servedOtherwise.
		case !state.Synced && errors.Is(state.Err, watch.ErrNotServed):
			return s.fail(condition, iter8v1alpha1.ReasonKindNotServed, errors.New(apply.NotServed(kind)))
		case !state.Synced:
			return s.fail(condition, iter8v1alpha1.ReasonWatchFailed, fmt.Errorf("%s can't be watched: %w", kind.GroupKind(), state.Err))
		}
	}
	if err := r.servedOtherwise(s); err != nil {
		s.err, s.faulty = err, true // no watch tells when it can be known
		return s.fail(condition, iter8v1alpha1.ReasonWatchFailed, err)
	}
	if r.isLeft(ctx, s) {
		s.retryAfter(conflictRetry) // unless the cache shows it before
		return hold
	}
	account, err := r.Accounts.For(s.policy.Namespace, s.policy.Spec.ServiceAccountName)
	if err != nil {
		return s.fail(condition, iter8v1alpha1.ReasonApplyFailed, err)
	}
	result := r.Executor.Apply(ctx, apply.Request{
		Owner: s.owner(), Manifests: s.toApply(), Inventory: s.recorded(), Account: account,
		Own: r.Accounts.Own(), Ungated: s.manifests,
		BeforeComparing: func() { r.withdraw(ctx, s) }, // what may not stand doesn't wait for the answers
	}, func(ctx context.Context, inventory []iter8v1alpha1.AppliedObject) error {
		status := s.policy.Status
		status.Applied = inventory
		if s.subject != nil && status.Subject == nil {
			status.Subject = s.observed() // with which what is about to be applied goes
		}
		fit(&status, status.Mirrors) // the shorter list is of the same mirrors
		return r.patchStatus(ctx, s, status)
	})
	r.announceDeleted(s, result.Deleted)
	ended := s.recordResult(result)
	if len(result.Failures) == 0 && result.Aborted == nil && !s.subjectGone {
		s.inputs = r.inputsDigest(s) + "+" + r.gatewaysDigest(s, s.manifests)
		r.lookups.keep(s.name(), nil) // the routes that stand name these Services now
	}
	if s.inputs != "" && s.untilRules { // which stand as they are rendered now
		s.inputs = ""
		s.retryAfter(conflictRetry)
	}
	if unread := r.unread(r.kinds(s, result.Inventory), s.policy.Namespace); unread != nil && s.reports[condition].status == metav1.ConditionTrue {
		// What was to be done is done, but nothing tells whether it still stands.
		return s.fail(condition, iter8v1alpha1.ReasonWatchFailed, unread)
	}
	return ended
}

// servedOtherwise returns an error where an object that leaves the inventory is of a kind whose known versions aren't served, and the
// cluster serves it in another version, or may do so. Nothing is forgotten that may stand: what no watch shows is gone only with its kind,
// of which the cluster is asked then.
func (r *Reconciler) servedOtherwise(s *scope) error {
	watched := r.watchedVersions(s, s.recorded())
	asked := map[schema.GroupKind]bool{}
	for _, entry := range s.recorded() {
		key := apply.KeyOf(entry)
		state := r.Routes.State(watched[key.GroupKind], s.policy.Namespace)
		if asked[key.GroupKind] || s.rendersObject(key) || !errors.Is(state.Err, watch.ErrNotServed) {
			continue
		}
		asked[key.GroupKind] = true
		versions, err := r.Capabilities.Ask(key.GroupKind)
		switch {
		case err != nil:
			return fmt.Errorf("asking in which versions %s is served: %w", key.GroupKind, err)
		case len(versions) > 0:
			return fmt.Errorf("%s %s can't be looked up: %s is not watched yet in a version that is served (%s)",
				entry.Kind, entry.Name, key.GroupKind, strings.Join(versions, ", "))
		}
	}
	return nil
}

// toApply returns the manifests as they were gated.
func (s *scope) toApply() []*unstructured.Unstructured {
	if s.gated == nil {
		return nil
	}
	return s.gated.Manifests
}

// unread returns why some of the kinds, which were read before, can't be read any more; nil where they all can.
func (r *Reconciler) unread(kinds []schema.GroupVersionKind, namespace string) error {
	for _, kind := range kinds {
		if state := r.Routes.State(kind, namespace); state.Err != nil && !errors.Is(state.Err, watch.ErrNotServed) {
			return fmt.Errorf("%s can't be watched any more: %w", kind.GroupKind(), state.Err)
		}
	}
	return nil
}

// recordResult makes the condition Applied of what came of a request.
func (s *scope) recordResult(result apply.Result) outcome {
	const condition = iter8v1alpha1.ConditionApplied
	if aborted := result.Aborted; aborted != nil {
		switch {
		case apierrors.IsConflict(aborted.Err): // the inventory's: nothing else has been written
			s.retryAfter(conflictRetry)
			return hold
		case ownwrites.IsGone(aborted.Err):
			return hold
		}
		return s.fail(condition, aborted.Reason, errors.New(aborted.Message))
	}
	s.result = &result
	if result.Terminating() { // which ends with the policy
		return s.fail(condition, iter8v1alpha1.ReasonNamespaceTerminating,
			fmt.Errorf("namespace %s is being deleted, and takes no new objects", s.policy.Namespace))
	}
	if len(result.Failures) == 0 {
		return s.reportApplied(len(s.manifests))
	}
	messages := make([]string, 0, len(result.Failures))
	for _, f := range result.Failures {
		if !f.Until.IsZero() {
			s.retryAfter(f.Until.Sub(s.now))
		}
		s.faulty = s.faulty || isPassing(f)
		messages = append(messages, f.Message)
	}
	failure := errors.New(strings.Join(messages, "; "))
	if result.Retry() {
		s.err = failure // also for a kind that isn't served while its watch hasn't noticed
	} else {
		s.retryAfter(interval(s.policy)) // what refused may be an admission policy, of whose changes there is no event
	}
	return s.fail(condition, result.Reason(), failure)
}

// contend finds the objects that others change back as often as they are put right, and has the status say so until that is over.
func (r *Reconciler) contend(s *scope) {
	var fights []string
	for _, entry := range s.inventory() {
		about, over := r.Executor.Contended(entry.UID, s.now)
		if !over.IsZero() {
			fights = append(fights, about.String())
			s.retryAfter(over.Sub(s.now))
		}
	}
	s.contended = strings.Join(fights, "; ")
}

// interval is how often a policy that is refused is tried again.
func interval(policy *iter8v1alpha1.RoutingPolicy) time.Duration {
	if policy.Spec.Interval == nil {
		return defaultInterval
	}
	return policy.Spec.Interval.Duration
}
