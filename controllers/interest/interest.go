// Package interest knows who cares about what, in both directions, so that an event leads to those whom it concerns
// without a scan.
package interest

import (
	"maps"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// Index of users, which are Subjects or RoutingPolicies, by the things that they care about. It may be used from
// several goroutines.
type Index[T comparable] struct {
	mu     sync.RWMutex
	users  map[T]map[types.NamespacedName]struct{}
	things map[types.NamespacedName][]T
}

// New makes an empty Index.
func New[T comparable]() *Index[T] {
	return &Index[T]{users: map[T]map[types.NamespacedName]struct{}{}, things: map[types.NamespacedName][]T{}}
}

// Set says what a user cares about from now on, be it nothing, and gives what it cared about before.
func (x *Index[T]) Set(user types.NamespacedName, things []T) (before []T) {
	x.mu.Lock()
	defer x.mu.Unlock()
	before = x.forget(user)
	for _, thing := range things {
		if x.users[thing] == nil {
			x.users[thing] = map[types.NamespacedName]struct{}{}
		}
		x.users[thing][user] = struct{}{}
	}
	x.things[user] = things
	return before
}

// Forget says that there is no such user any more, and gives what it cared about.
func (x *Index[T]) Forget(user types.NamespacedName) (before []T) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.forget(user)
}

func (x *Index[T]) forget(user types.NamespacedName) []T {
	before := x.things[user]
	for _, thing := range before {
		delete(x.users[thing], user)
		if len(x.users[thing]) == 0 {
			delete(x.users, thing)
		}
	}
	delete(x.things, user)
	return before
}

// In gives the users who care about a thing.
func (x *Index[T]) In(thing T) []types.NamespacedName {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Collect(maps.Keys(x.users[thing]))
}

// Any tells whether somebody cares about a thing.
func (x *Index[T]) Any(thing T) bool {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return len(x.users[thing]) > 0
}

// Users gives all users there are, those who care about nothing too.
func (x *Index[T]) Users() []types.NamespacedName {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Collect(maps.Keys(x.things))
}

// Things gives all that somebody cares about.
func (x *Index[T]) Things() []T {
	x.mu.RLock()
	defer x.mu.RUnlock()
	return slices.Collect(maps.Keys(x.users))
}
