package routingpolicy

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
)

// followRoutes has the policy notified of the objects that it is to apply and has applied, which are known from then on.
func (r *Reconciler) followRoutes(_ context.Context, s *scope) outcome {
	kinds := r.kinds(s, s.policy.Status.Applied)
	_, keys := apply.Interests(s.manifests, s.policy.Status.Applied)
	r.Routes.Follow(s.name(), kinds, keys)
	if slices.ContainsFunc(kinds, func(kind schema.GroupVersionKind) bool { return r.Routes.State(kind, s.policy.Namespace).Pending() }) {
		return hold
	}
	if s.unlisted = r.unlisted(s, kinds); len(s.unlisted) > 0 {
		_, keys = apply.Interests(s.manifests, s.recorded())
		r.Routes.Follow(s.name(), kinds, keys)
	}
	return advance
}

// unlisted returns the objects of the followed kinds that the policy controls though its inventory lacks them, as after its status was
// emptied or restored from a backup. A status that is as the operator wrote it lacks none.
func (r *Reconciler) unlisted(s *scope, kinds []schema.GroupVersionKind) []iter8v1alpha1.AppliedObject {
	if _, ok := unsealed(s.policy.Status); ok {
		return nil
	}
	recorded := map[apply.Key]bool{}
	for _, entry := range s.policy.Status.Applied {
		recorded[apply.KeyOf(entry)] = true
	}
	var missing []iter8v1alpha1.AppliedObject
	for _, kind := range kinds {
		for _, entry := range r.Routes.Controlled(kind, s.policy.Namespace, s.policy.UID) {
			if !recorded[apply.KeyOf(entry)] && len(recorded) < iter8v1alpha1.MaxApplied {
				recorded[apply.KeyOf(entry)] = true
				missing = append(missing, entry)
			}
		}
	}
	return missing
}

// kinds returns those that are rendered or listed in an inventory, in the versions that are followed.
func (r *Reconciler) kinds(s *scope, inventory []iter8v1alpha1.AppliedObject) []schema.GroupVersionKind {
	kinds, _ := apply.Interests(s.manifests, inventory)
	return r.Routes.Versions(kinds, s.policy.Namespace)
}

// watchedVersions returns the version in which the objects of each of these kinds are looked up, whatever is rendered.
func (r *Reconciler) watchedVersions(s *scope, inventory []iter8v1alpha1.AppliedObject) map[schema.GroupKind]schema.GroupVersionKind {
	return r.Routes.WatchedVersions(s.policy.Namespace, s.manifests, inventory)
}
