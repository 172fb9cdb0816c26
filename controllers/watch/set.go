// Package watch keeps informers for kinds that are only known while the operator runs: one for each kind that is
// followed, started with the first follower and stopped with the last.
//
//	Follow(follower, targets, names) ──► informer of each target ──► Transform ──► store ──► Get, Members
//	                                              │                                  │
//	                                              └── read, refused, read again ─────┴── Changed ──► Notify(follower)
package watch

import (
	"context"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/tools/cache"
)

// Target is what one informer watches.
type Target struct {
	schema.GroupVersionKind
	// Full asks Transform to keep the whole object, where a follower needs more than what is kept by default.
	Full bool
	// ClusterScoped is for a kind whose objects have no namespace, which is refused otherwise.
	ClusterScoped bool
}

// Name is an object that is followed, whether it exists or not.
type Name struct {
	Target
	Object types.NamespacedName
}

// Object is what Transform keeps of an object, a pointer: something with the metadata that it is stored by.
type Object interface {
	comparable
	metav1.ObjectMetaAccessor
}

// Options of a Set.
type Options[T Object] struct {
	Client dynamic.Interface
	Mapper meta.RESTMapper
	// Namespaces to look at; none means all.
	Namespaces []string
	// LabelSelectors narrow what is watched to the objects that one of them selects; none means all objects.
	LabelSelectors []string
	// Transform returns what is kept of an object. It must not keep the object itself unless Target.Full asks so.
	Transform func(Target, *unstructured.Unstructured) T
	// MemberOf returns the object that another is a part of, as an EndpointSlice is of a Service: it is notified of
	// under that name too, and listed by Members. It returns the zero name for what is no such part. Optional.
	MemberOf func(T) types.NamespacedName
	// Changed reports whether a change matters to the followers of an object; before is nil for a new object,
	// after for one that went. The store has changed by then. Optional: without it every change matters.
	Changed func(target Target, before, after T) bool
	// Notify is called with each follower of an object that changed, and of a target whose state did. It must not
	// block. Optional.
	Notify func(follower types.NamespacedName)
}

// Set is the informers in use. Its methods may be called from several goroutines.
type Set[T Object] struct {
	ctx     context.Context //nolint:containedctx // the life of the informers, which start one by one
	options Options[T]
	outages *outages

	mu      sync.RWMutex
	watches map[Target]*kindWatch
	// followers are those of each object, and following is what each follower follows.
	followers map[Name]map[types.NamespacedName]struct{}
	following map[types.NamespacedName]followed
}

// followed is what one follower follows.
type followed struct {
	targets []Target
	names   []Name
}

// New returns a Set whose informers stop with the context.
func New[T Object](ctx context.Context, options Options[T]) *Set[T] {
	if len(options.Namespaces) == 0 {
		options.Namespaces = []string{metav1.NamespaceAll}
	}
	if options.Notify == nil {
		options.Notify = func(types.NamespacedName) {}
	}
	if len(options.LabelSelectors) == 0 {
		options.LabelSelectors = []string{""}
	}
	return &Set[T]{
		ctx:       ctx,
		options:   options,
		outages:   unreadable,
		watches:   map[Target]*kindWatch{},
		followers: map[Name]map[types.NamespacedName]struct{}{},
		following: map[types.NamespacedName]followed{},
	}
}

// Follow sets what a follower is notified of from now on: changes of the state of the targets, which are watched for as
// long, and changes of the named objects, whose targets must be among them. Without targets it follows nothing any more.
func (s *Set[T]) Follow(follower types.NamespacedName, targets []Target, names []Name) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.following[follower]
	for _, name := range names {
		if s.followers[name] == nil {
			s.followers[name] = map[types.NamespacedName]struct{}{}
		}
		s.followers[name][follower] = struct{}{}
	}
	for _, name := range before.names {
		if slices.Contains(names, name) {
			continue
		}
		delete(s.followers[name], follower)
		if len(s.followers[name]) == 0 {
			delete(s.followers, name)
		}
	}
	for _, target := range targets {
		w := s.watches[target]
		if w == nil {
			w = s.start(target)
			s.watches[target] = w
		}
		w.followers[follower] = struct{}{}
	}
	for _, target := range before.targets {
		if slices.Contains(targets, target) {
			continue
		}
		w := s.watches[target]
		delete(w.followers, follower)
		if len(w.followers) == 0 {
			s.end(w)
			delete(s.watches, target)
		}
	}
	if len(targets) == 0 {
		delete(s.following, follower)
	} else {
		s.following[follower] = followed{targets, names}
	}
}

// Followed reports whether an object has a follower.
func (s *Set[T]) Followed(name Name) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.followers[name]) > 0
}

// Targets returns what is watched now.
func (s *Set[T]) Targets() []Target {
	s.mu.RLock()
	defer s.mu.RUnlock()
	targets := make([]Target, 0, len(s.watches))
	for target := range s.watches {
		targets = append(targets, target)
	}
	return targets
}

// Get returns what is kept of an object, nil if there is none, and how far that can be relied on. A target that has no
// follower is pending, in a namespace that is watched.
func (s *Set[T]) Get(name Name) (T, State) {
	var none T
	stores, state := s.read(name.Target, name.Object.Namespace)
	for _, store := range stores {
		if object, ok, err := store.GetByKey(cache.NamespacedNameAsObjectName(name.Object).String()); err == nil && ok {
			return object.(T), state
		}
	}
	return none, state
}

// Members returns what is kept of the objects that MemberOf says are part of another one, in the latter's namespace.
func (s *Set[T]) Members(target Target, of types.NamespacedName) ([]T, State) {
	stores, state := s.read(target, of.Namespace)
	var members []T
	for _, store := range stores {
		objects, err := store.ByIndex(memberIndex, of.String())
		if err != nil {
			return nil, State{Err: err}
		}
		for _, o := range objects {
			members = append(members, o.(T))
		}
	}
	return members, state
}

// List returns what is kept of all objects of a target, and how far that can be relied on in all namespaces that are watched together.
func (s *Set[T]) List(target Target) ([]T, State) {
	var all []T
	state := State{Synced: true}
	for _, namespace := range s.namespaces(target) {
		stores, of := s.read(target, namespace)
		state = state.And(of)
		for _, store := range stores {
			for _, o := range store.List() {
				all = append(all, o.(T))
			}
		}
	}
	return all, state
}

// State returns how far what is known of a target in a namespace can be relied on.
func (s *Set[T]) State(target Target, namespace string) State {
	_, state := s.read(target, namespace)
	return state
}

// read returns the stores that may hold objects of a namespace, and how far they can be relied on.
func (s *Set[T]) read(target Target, namespace string) ([]cache.Indexer, State) {
	if !target.ClusterScoped && !slices.Contains(s.options.Namespaces, metav1.NamespaceAll) && !slices.Contains(s.options.Namespaces, namespace) {
		return nil, State{Err: ErrNotWatched}
	}
	s.mu.RLock()
	w := s.watches[target]
	s.mu.RUnlock()
	if w == nil {
		return nil, State{}
	}
	return w.read(namespace)
}

// Notify notifies the followers of an object.
func (s *Set[T]) Notify(name Name) {
	s.mu.RLock()
	followers := make([]types.NamespacedName, 0, len(s.followers[name]))
	for follower := range s.followers[name] {
		followers = append(followers, follower)
	}
	s.mu.RUnlock()
	for _, follower := range followers {
		s.options.Notify(follower)
	}
}

// notifyState notifies the followers of a target, whose state has changed.
func (s *Set[T]) notifyState(target Target) {
	s.mu.RLock()
	var followers []types.NamespacedName
	if w := s.watches[target]; w != nil {
		for follower := range w.followers {
			followers = append(followers, follower)
		}
	}
	s.mu.RUnlock()
	for _, follower := range followers {
		s.options.Notify(follower)
	}
}
