package observe

import (
	"cmp"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/watch"
)

// slots are the kinds that Subjects have watched, of which there may be only so many: each costs the operator a connection and a cache, and
// where the cluster doesn't serve it, a question every few seconds. Subjects that come first keep theirs.
//
//	Subject ─► take ─┬─ watched already, or a slot is free ─► watched
//	                 └─ else ─► waits ─► a slot becomes free ─► take
type slots struct {
	// most is how many kinds there may be; 0 sets no limit. EndpointSlices come with Services, and don't count.
	most int

	mu      sync.Mutex
	holders map[watch.Target]map[types.NamespacedName]struct{}
	// waiting are Subjects that lack a slot, in the order in which they came.
	waiting []*iter8v1alpha1.Subject
}

// take has a Subject hold those of the wanted kinds that are watched already or find a free slot, one after the other, and no others. It
// returns these, and reports whether other kinds are watched than before.
func (s *slots) take(subject types.NamespacedName, wanted []watch.Target) (taken []watch.Target, changed bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for target, holders := range s.holders {
		if slices.Contains(wanted, target) {
			continue
		}
		delete(holders, subject)
		if len(holders) == 0 {
			delete(s.holders, target)
			changed = true
		}
	}
	for _, target := range wanted {
		if s.holders[target] == nil {
			if s.full() && target != endpointSlices {
				continue
			}
			s.holders[target] = map[types.NamespacedName]struct{}{}
			changed = true
		}
		s.holders[target][subject] = struct{}{}
		taken = append(taken, target)
	}
	return taken, changed
}

// full reports whether no slot is free. The mutex must be held.
func (s *slots) full() bool {
	kinds := len(s.holders)
	if _, ok := s.holders[endpointSlices]; ok {
		kinds--
	}
	return s.most > 0 && kinds >= s.most
}

// excludes reports whether a kind isn't watched since no slot is free.
func (s *slots) excludes(target watch.Target) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.holders[target] == nil && target != endpointSlices && s.full()
}

// wait has a Subject wait for a slot, or not any more.
func (s *slots) wait(subject *iter8v1alpha1.Subject, waits bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i := slices.IndexFunc(s.waiting, func(other *iter8v1alpha1.Subject) bool { return keyOf(other) == keyOf(subject) })
	switch {
	case waits && i >= 0:
		s.waiting[i] = subject
	case waits:
		s.waiting = append(s.waiting, subject)
	case i >= 0:
		s.waiting = slices.Delete(s.waiting, i, i+1)
	}
}

// queue returns the Subjects that wait, in their order.
func (s *slots) queue() []*iter8v1alpha1.Subject {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.waiting)
}

func keyOf(subject *iter8v1alpha1.Subject) types.NamespacedName {
	return types.NamespacedName{Namespace: subject.Namespace, Name: subject.Name}
}

// held are the Subjects that are to be followed only once those are that had slots before the operator was started: else these could lose them to
// others. It is nil once they are released.
type held map[types.NamespacedName]*iter8v1alpha1.Subject

// hadSlots reports whether by its status a Subject had all that it asks for watched.
func hadSlots(subject *iter8v1alpha1.Subject) bool {
	ready := meta.FindStatusCondition(subject.Status.Conditions, iter8v1alpha1.ConditionReady)
	return ready != nil && ready.ObservedGeneration == subject.Generation && ready.Reason != iter8v1alpha1.ReasonTooManyKinds
}

// inOrder returns them in the order in which they were created.
func (h held) inOrder() []*iter8v1alpha1.Subject {
	all := make([]*iter8v1alpha1.Subject, 0, len(h))
	for _, subject := range h {
		all = append(all, subject)
	}
	slices.SortFunc(all, func(a, b *iter8v1alpha1.Subject) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name))
	})
	return all
}
