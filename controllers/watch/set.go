// Package watch keeps informers for kinds that are only known while the operator runs: one for each kind
// that somebody requires, started with the first to require it and stopped with the last.
//
//	Require(user, kinds) ──► informer of each kind ──► Transform ──► store ──► Get, ByIndex
//	                                  │                                └─────► OnChange
//	                                  └── synced, failed, recovered ─────────► OnState
package watch

import (
	"context"
	"sync"
	"time"

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
	// Full asks Transform to keep the whole object, where somebody needs more than what is kept by default.
	Full bool
}

// State tells how far the content of a store can be relied on.
type State struct {
	// Synced is true once every object that was there at the start has been seen.
	Synced bool
	// Err is why the kind can't be listed or watched just now; what was seen before stays in the store.
	Err error
}

// Pending says that the first list isn't through and nothing has failed so far: the answer comes by itself.
func (s State) Pending() bool { return !s.Synced && s.Err == nil }

// Object is what Transform keeps of an object: something with the metadata that it is stored by.
type Object interface{ metav1.ObjectMetaAccessor }

// Options of a Set.
type Options struct {
	Client dynamic.Interface
	Mapper meta.RESTMapper
	// Namespaces to look at; none means all.
	Namespaces []string
	// ClusterScoped is for kinds whose objects have no namespace, which are refused otherwise.
	ClusterScoped bool
	// LabelSelectors narrow what is watched to the objects that one of them selects; none means all objects.
	LabelSelectors []string
	// Transform gives what is kept of an object. It must not keep the object itself unless Target.Full asks so.
	Transform func(Target, *unstructured.Unstructured) Object
	// Index gives the keys under which ByIndex finds an object. Optional.
	Index func(Object) []string
	// OnChange is called after the store has changed; before is nil for a new object, after for one that went.
	OnChange func(target Target, before, after Object)
	// OnState is called after the state of a target has changed.
	OnState func(Target)
}

const (
	indexName    = "set"
	firstRetry   = 500 * time.Millisecond
	slowestRetry = 10 * time.Second
)

// Set is the informers in use. Its methods may be called from several goroutines.
type Set struct {
	ctx     context.Context //nolint:containedctx // the life of the informers, which start one by one
	options Options

	mu       sync.RWMutex
	watches  map[Target]*kindWatch
	required map[types.NamespacedName][]Target
}

// New makes a Set whose informers stop with the context.
func New(ctx context.Context, options Options) *Set {
	if len(options.Namespaces) == 0 {
		options.Namespaces = []string{metav1.NamespaceAll}
	}
	if len(options.LabelSelectors) == 0 {
		options.LabelSelectors = []string{""}
	}
	return &Set{
		ctx:      ctx,
		options:  options,
		watches:  map[Target]*kindWatch{},
		required: map[types.NamespacedName][]Target{},
	}
}

// Require says which targets a user needs from now on; none releases all that it needed before.
func (s *Set) Require(user types.NamespacedName, targets ...Target) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := s.required[user]
	for _, target := range targets {
		w := s.watches[target]
		if w == nil {
			w = s.start(target)
			s.watches[target] = w
		}
		w.users[user] = struct{}{}
	}
	if len(targets) == 0 {
		delete(s.required, user)
	} else {
		s.required[user] = targets
	}
	for _, target := range before {
		if contains(targets, target) {
			continue
		}
		w := s.watches[target]
		delete(w.users, user)
		if len(w.users) == 0 {
			w.stop()
			delete(s.watches, target)
		}
	}
}

// Targets gives what is watched now.
func (s *Set) Targets() []Target {
	s.mu.RLock()
	defer s.mu.RUnlock()
	targets := make([]Target, 0, len(s.watches))
	for target := range s.watches {
		targets = append(targets, target)
	}
	return targets
}

// Users gives who requires a target.
func (s *Set) Users(target Target) []types.NamespacedName {
	s.mu.RLock()
	defer s.mu.RUnlock()
	w := s.watches[target]
	if w == nil {
		return nil
	}
	users := make([]types.NamespacedName, 0, len(w.users))
	for user := range w.users {
		users = append(users, user)
	}
	return users
}

// Get gives what is kept of an object, nil when there is none, and how far that can be relied on. A target
// that nobody requires is pending.
func (s *Set) Get(target Target, key types.NamespacedName) (Object, State) {
	w := s.watch(target)
	if w == nil {
		return nil, State{}
	}
	for _, store := range w.storesFor(key.Namespace) {
		if found, ok, err := store.GetByKey(cache.ObjectName{Namespace: key.Namespace, Name: key.Name}.String()); err == nil && ok {
			return found.(Object), w.state()
		}
	}
	return nil, w.state()
}

// ByIndex gives what is kept of the objects of a namespace that Index gave the key for.
func (s *Set) ByIndex(target Target, namespace, key string) ([]Object, State) {
	w := s.watch(target)
	if w == nil {
		return nil, State{}
	}
	var found []Object
	for _, store := range w.storesFor(namespace) {
		objects, err := store.ByIndex(indexName, key)
		if err != nil {
			return nil, State{Err: err}
		}
		for _, o := range objects {
			found = append(found, o.(Object))
		}
	}
	return found, w.state()
}

func (s *Set) watch(target Target) *kindWatch {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.watches[target]
}

func (s *Set) indexers() cache.Indexers {
	if s.options.Index == nil {
		return cache.Indexers{}
	}
	return cache.Indexers{indexName: func(obj any) ([]string, error) { return s.options.Index(obj.(Object)), nil }}
}

func contains(targets []Target, target Target) bool {
	for _, t := range targets {
		if t == target {
			return true
		}
	}
	return false
}
