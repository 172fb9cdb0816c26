// Package apply brings the cluster's routing objects to what was rendered: a plan, which is pure, and its
// execution, the only place that writes them.
//
//	manifests + inventory + what the cluster holds ──► plan ──► steps ──► record ──► execute ──► new inventory
package apply

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Request is what the cluster is to hold for a policy.
type Request struct {
	Owner Owner
	// Manifests that were rendered, free of duplicates. Without any, all that the inventory lists is deleted.
	Manifests []*unstructured.Unstructured
	// Inventory as it is recorded.
	Inventory []iter8v1alpha1.AppliedObject
	// Account that applies and deletes.
	Account *Account
	// Own is the operator's own account, which reads what is to be adopted, and what others need; nil means Account.
	Own *Account
	// Ungated are the Manifests with every mirror and with rules that aren't split, by which it is told what adopting changes for
	// clients; nil means Manifests.
	Ungated []*unstructured.Unstructured
	// BeforeComparing is called before the apiserver is asked what adopting changes; optional.
	BeforeComparing func()
}

// reader is the account that reads what others have, too.
func (r Request) reader() *Account {
	if r.Own != nil {
		return r.Own
	}
	return r.Account
}

// Apply brings the cluster to a request. What is about to be created stands in the inventory before it is: record is called
// with that inventory before the first write, where it differs from the request's, and nothing is written where record fails.
// The same holds where a right is missing. What is to be adopted is compared first: see compare. Where the inventory is too full for what is new, room is made in place of that: see
// makeRoom. The Cache must know what the cluster holds of the request's Interests: a kind that it takes for not served in any version
// has no objects any more. Nothing of the request is changed.
func (x *Executor) Apply(ctx context.Context, request Request, record func(context.Context, []iter8v1alpha1.AppliedObject) error) Result {
	steps, err := x.plan(request)
	if err != nil {
		return aborted(request, Failure{Reason: iter8v1alpha1.ReasonApplyFailed, Message: err.Error()})
	}
	room, full := makeRoom(request.Inventory, steps)
	if full != "" {
		steps = room
	}
	x.makePeace(ctx, steps)
	if lacking := x.preflight(ctx, request.Account, steps); lacking != nil {
		return aborted(request, *lacking)
	}
	x.compare(ctx, request, steps)
	if planned, differs := plannedInventory(request.Inventory, steps); differs {
		if err := record(ctx, planned); err != nil {
			err = fmt.Errorf("recording what is about to be applied: %w", err)
			return aborted(request, Failure{Reason: iter8v1alpha1.ReasonApplyFailed, Message: err.Error(), Err: err})
		}
	}
	result := x.execute(ctx, request.Account.Client, request.reader().Client, request.Owner, steps)
	result.Steps = steps
	if full != "" {
		failure := Failure{Reason: iter8v1alpha1.ReasonPruneFailed, Message: full, Err: errors.New(full)}
		result.Failures = slices.Insert(result.Failures, 0, failure)
	}
	// A namespace that is being deleted denies what is new in it, whatever rights the account has.
	if !result.Terminating() && slices.ContainsFunc(result.Failures, func(f Failure) bool { return f.Reason == iter8v1alpha1.ReasonForbidden }) {
		request.Account.denied()
	}
	return result
}

// aborted is the Result of a request of which nothing was done.
func aborted(request Request, why Failure) Result {
	return Result{Aborted: &why, Inventory: request.Inventory}
}

// plan returns the steps that bring the cluster to a request. It is an error where it can't be told from what is watched whether an object
// still stands that is to go: a version may turn out not to be served at any time.
func (x *Executor) plan(request Request) ([]Step, error) {
	namespace := request.Owner.Namespace
	watched := x.Cache.WatchedVersions(namespace, request.Manifests, request.Inventory)
	steps, err := plan(request.Owner, request.Manifests, request.Inventory, func(key Key) *Existing {
		return x.Cache.Get(watched[key.GroupKind], types.NamespacedName{Namespace: namespace, Name: key.Name})
	})
	x.refuseKnown(request, steps)
	for i := range steps {
		step := &steps[i]
		step.Watched = watched[step.Key.GroupKind]
		switch {
		case step.Action.leaves() && x.Cache.notServed(step.Watched, namespace):
			step.Action = Release // with its kind; what the cache has of it is old
		case step.Action == Release && step.Existing == nil && x.Cache.State(step.Watched, namespace).Pending():
			return nil, fmt.Errorf("it is not known yet whether %s %s stands", step.Key.Kind, step.Key.Name)
		}
	}
	return steps, err
}

// Interests returns the kinds and objects that are rendered or listed in the inventory, the kinds in all the versions that these
// have, the recorded ones first.
func Interests(manifests []*unstructured.Unstructured, inventory []iter8v1alpha1.AppliedObject) ([]schema.GroupVersionKind, []Key) {
	var kinds []schema.GroupVersionKind
	var keys []Key
	add := func(kind schema.GroupVersionKind, name string) {
		if !slices.Contains(kinds, kind) {
			kinds = append(kinds, kind)
		}
		if key := (Key{GroupKind: kind.GroupKind(), Name: name}); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for _, entry := range inventory {
		add(schema.FromAPIVersionAndKind(entry.APIVersion, entry.Kind), entry.Name)
	}
	for _, m := range manifests {
		add(m.GroupVersionKind(), m.GetName())
	}
	return kinds, keys
}
