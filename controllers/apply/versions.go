package apply

import (
	"errors"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/watch"
)

// Versions returns the kinds, as Interests does, and for each that is known not to be served in any of these versions the next one in
// which the cluster serves it: a CustomResourceDefinition that drops a version goes on serving the objects in the others.
func (c *Cache) Versions(kinds []schema.GroupVersionKind, namespace string) []schema.GroupVersionKind {
	all := slices.Clone(kinds)
	for _, kind := range kinds {
		if c.versions == nil || !c.unserved(all, kind.GroupKind(), namespace) {
			continue
		}
		for _, version := range c.versions(kind.GroupKind()) {
			other := kind.GroupKind().WithVersion(version)
			if !slices.Contains(all, other) {
				all = append(all, other)
			}
			if !c.notServed(other, namespace) {
				break
			}
		}
	}
	return all
}

// WatchedVersions returns the version in which the objects of each kind that is rendered or recorded are looked up: of its Versions the first
// that isn't known not to be served, or the first of all where each is.
func (c *Cache) WatchedVersions(namespace string, manifests []*unstructured.Unstructured, inventory []iter8v1alpha1.AppliedObject) map[schema.GroupKind]schema.GroupVersionKind {
	kinds, _ := Interests(manifests, inventory)
	watched := make(map[schema.GroupKind]schema.GroupVersionKind, len(kinds))
	for _, kind := range c.Versions(kinds, namespace) {
		first, found := watched[kind.GroupKind()]
		if !found || c.notServed(first, namespace) && !c.notServed(kind, namespace) {
			watched[kind.GroupKind()] = kind
		}
	}
	return watched
}

// unserved reports whether a kind is known not to be served in any of its versions among others.
func (c *Cache) unserved(versions []schema.GroupVersionKind, kind schema.GroupKind, namespace string) bool {
	return !slices.ContainsFunc(versions, func(v schema.GroupVersionKind) bool { return v.GroupKind() == kind && !c.notServed(v, namespace) })
}

// notServed reports whether it is known that the cluster doesn't serve a kind in its version.
func (c *Cache) notServed(kind schema.GroupVersionKind, namespace string) bool {
	return errors.Is(c.State(kind, namespace).Err, watch.ErrNotServed)
}
