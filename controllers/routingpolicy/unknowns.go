package routingpolicy

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// unknowns keeps in the process since when something isn't known of a policy, as the status does for the next one: a status that isn't
// written must not lengthen the time for which mirrors stand.
type unknowns struct {
	mu sync.Mutex
	of map[types.NamespacedName]unknownsOf
}

// unknownsOf are those of one policy, by what isn't known.
type unknownsOf struct {
	policy types.UID
	since  map[string]time.Time
}

// get returns what isn't known of a policy since when; it must not be changed.
func (u *unknowns) get(name types.NamespacedName, policy types.UID) map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	if of := u.of[name]; of.policy == policy {
		return of.since
	}
	return nil
}

func (u *unknowns) set(name types.NamespacedName, policy types.UID, since map[string]time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(since) == 0 {
		delete(u.of, name)
		return
	}
	if u.of == nil {
		u.of = map[types.NamespacedName]unknownsOf{}
	}
	u.of[name] = unknownsOf{policy, since}
}

// unknownAtLeastSince returns since when something isn't known by what this process has seen, no later than it is said to be.
func (s *scope) unknownAtLeastSince(what string, since time.Time) time.Time {
	if seen, ok := s.seenUnknown[what]; ok && seen.Before(since) {
		return seen
	}
	return since
}

// variantKey and the method of targetKey say what isn't known.
func (s *scope) variantKey(name string) string { return string(s.subject.UID) + " " + name }

func (k targetKey) String() string { return k.route + " " + k.to }
