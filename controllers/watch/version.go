package watch

import "k8s.io/apimachinery/pkg/util/resourceversion"

// Overtakes reports whether what is kept of an object is of a moment at which the cluster had a resource version, or of a later one, so
// that an object of that version which isn't kept is gone. A list can show that where no event does: of what came and went while a watch was
// interrupted there is none.
func (s *Set[T]) Overtakes(name Name, version string) bool {
	stores, _ := s.read(name.Target, name.Object.Namespace)
	for _, store := range stores {
		order, err := resourceversion.CompareResourceVersion(store.LastStoreSyncResourceVersion(), version)
		if err != nil || order < 0 {
			return false
		}
	}
	return len(stores) > 0
}
