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
}

// Apply brings the cluster to a request. What is about to be created stands in the inventory before it is: record is called
// with that inventory before the first write, where it differs from the request's, and nothing is written where record fails.
// The same holds where a right is missing. Where the inventory is too full for what is new, room is made in place of that: see
// makeRoom. The Cache must know what the cluster holds of the request's Interests. Nothing of the request is changed.
func (x *Executor) Apply(ctx context.Context, request Request, record func(context.Context, []iter8v1alpha1.AppliedObject) error) Result {
	steps, err := plan(request.Owner, request.Manifests, request.Inventory, x.lookup(request))
	if err != nil {
		return aborted(request, Failure{Reason: iter8v1alpha1.ReasonApplyFailed, Message: err.Error()})
	}
	room, full := makeRoom(request.Inventory, steps)
	if full != "" {
		steps = room
	}
	if lacking := x.preflight(ctx, request.Account, steps); lacking != nil {
		return aborted(request, *lacking)
	}
	if planned, differs := plannedInventory(request.Inventory, steps); differs {
		if err := record(ctx, planned); err != nil {
			err = fmt.Errorf("recording what is about to be applied: %w", err)
			return aborted(request, Failure{Reason: iter8v1alpha1.ReasonApplyFailed, Message: err.Error(), Err: err})
		}
	}
	result := x.execute(ctx, request.Account.Client, request.Owner, steps)
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

// lookup returns what finds the objects of a request in the cluster, in the versions that are followed.
func (x *Executor) lookup(request Request) func(Key) *Existing {
	watched := WatchedVersions(request.Manifests, request.Inventory)
	return func(key Key) *Existing {
		return x.Cache.Get(watched[key.GroupKind], types.NamespacedName{Namespace: request.Owner.Namespace, Name: key.Name})
	}
}

// WatchedVersions returns the version in which each kind is watched.
func WatchedVersions(manifests []*unstructured.Unstructured, inventory []iter8v1alpha1.AppliedObject) map[schema.GroupKind]schema.GroupVersionKind {
	kinds, _ := Interests(manifests, inventory)
	versions := make(map[schema.GroupKind]schema.GroupVersionKind, len(kinds))
	for _, kind := range kinds {
		versions[kind.GroupKind()] = kind
	}
	return versions
}

// Interests returns the kinds and objects that are rendered or listed in the inventory, each kind in one version: the one
// that is rendered, where it is.
func Interests(manifests []*unstructured.Unstructured, inventory []iter8v1alpha1.AppliedObject) ([]schema.GroupVersionKind, []Key) {
	var kinds []schema.GroupVersionKind
	var keys []Key
	add := func(kind schema.GroupVersionKind, name string) {
		if !slices.ContainsFunc(kinds, func(k schema.GroupVersionKind) bool { return k.GroupKind() == kind.GroupKind() }) {
			kinds = append(kinds, kind)
		}
		if key := (Key{GroupKind: kind.GroupKind(), Name: name}); !slices.Contains(keys, key) {
			keys = append(keys, key)
		}
	}
	for _, m := range manifests {
		add(m.GroupVersionKind(), m.GetName())
	}
	for _, entry := range inventory {
		add(schema.FromAPIVersionAndKind(entry.APIVersion, entry.Kind), entry.Name)
	}
	return kinds, keys
}
