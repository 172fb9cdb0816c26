package watch

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

const (
	memberIndex  = "members"
	firstRetry   = 500 * time.Millisecond
	slowestRetry = 10 * time.Second
)

// kindWatch is the informers of one target.
type kindWatch struct {
	target Target
	ctx    context.Context //nolint:containedctx // the life of the informers, after which nothing is told of them
	stop   context.CancelFunc
	// followers are guarded by the Set.
	followers map[types.NamespacedName]struct{}

	mu sync.RWMutex
	// discovery is how finding the resource behind the kind went; until it is found there are no scopes.
	discovery reading
	scopes    []*scope
	// unreadable are the namespaces that count as such in the log and the gauge.
	unreadable map[string]struct{}
}

// scope is what one informer looks at: a namespace, or all, and a label selector.
type scope struct {
	namespace, selector string
	store               cache.Indexer
	synced              bool
	// list and watch are apart, since what may be listed and not watched is listed again and again.
	list, watch reading
}

func (s *Set[T]) start(target Target) *kindWatch {
	ctx, cancel := context.WithCancel(s.ctx)
	w := &kindWatch{
		target: target, ctx: ctx, stop: cancel,
		followers: map[types.NamespacedName]struct{}{}, unreadable: map[string]struct{}{},
	}
	go s.run(w)
	return w
}

// run finds the resource behind the kind, for as long as that takes, and then runs its informers. A namespace that can't be
// read holds up no other.
func (s *Set[T]) run(w *kindWatch) {
	resource, err := s.discover(w)
	if err != nil {
		return
	}
	scopes := s.scopes(w.target)
	informers := make([]cache.SharedIndexInformer, 0, len(scopes))
	for _, scope := range scopes {
		informer := s.informer(w, scope, resource)
		scope.store = informer.GetIndexer()
		informers = append(informers, informer)
	}
	w.mu.Lock()
	w.scopes = scopes
	w.mu.Unlock()
	for i, informer := range informers {
		registration, err := informer.AddEventHandler(s.handler(w.target))
		if err != nil { // only of an informer that is stopped
			return
		}
		go informer.RunWithContext(w.ctx)
		go func() {
			if cache.WaitForCacheSync(w.ctx.Done(), registration.HasSynced) {
				s.update(w, []string{scopes[i].namespace}, func() { scopes[i].synced = true })
			}
		}()
	}
}

// discover returns the resource behind a kind; an error only where the watch has ended.
func (s *Set[T]) discover(w *kindWatch) (schema.GroupVersionResource, error) {
	var resource schema.GroupVersionResource
	discovery := calls[T]{s, w, s.namespaces(w.target), &w.discovery}
	// Past its steps and its cap the delay stays what it is.
	backoff := wait.Backoff{Duration: firstRetry, Factor: 2, Jitter: 0.1, Steps: 16, Cap: slowestRetry}
	err := backoff.DelayFunc().Until(w.ctx, true, true, func(context.Context) (bool, error) {
		call := discovery.begin()
		mapping, err := s.options.Mapper.RESTMapping(w.target.GroupKind(), w.target.Version)
		switch {
		case err == nil && !w.target.ClusterScoped && mapping.Scope.Name() != meta.RESTScopeNameNamespace:
			err = ErrClusterScoped
		case err == nil:
			resource = mapping.Resource
		}
		discovery.end(call, failure("discover "+w.target.GroupKind().String(), err))
		return err == nil, nil
	})
	return resource, err
}

// namespaces returns those that a target is watched in.
func (s *Set[T]) namespaces(target Target) []string {
	if target.ClusterScoped {
		return []string{metav1.NamespaceAll}
	}
	return s.options.Namespaces
}

// scopes returns what a target's informers look at.
func (s *Set[T]) scopes(target Target) []*scope {
	var scopes []*scope
	for _, namespace := range s.namespaces(target) {
		for _, selector := range s.options.LabelSelectors {
			scopes = append(scopes, &scope{namespace: namespace, selector: selector})
		}
	}
	return scopes
}

func (s *Set[T]) informer(w *kindWatch, of *scope, resource schema.GroupVersionResource) cache.SharedIndexInformer {
	informer := cache.NewSharedIndexInformerWithOptions(
		cache.ToListWatcherWithWatchListSemantics(s.listerWatcher(w, of, resource), s.options.Client),
		&unstructured.Unstructured{},
		cache.SharedIndexInformerOptions{Indexers: s.indexers(), ObjectDescription: resource.String()},
	)
	// Neither fails on an informer that isn't running yet.
	_ = informer.SetTransform(func(obj any) (any, error) {
		if u, ok := obj.(*unstructured.Unstructured); ok {
			return s.options.Transform(w.target, u), nil
		}
		return obj, nil
	})
	_ = informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {})
	return informer
}

// listerWatcher lists and watches a scope's objects, and records how that goes.
func (s *Set[T]) listerWatcher(w *kindWatch, of *scope, resource schema.GroupVersionResource) *cache.ListWatch {
	client := s.options.Client.Resource(resource).Namespace(of.namespace)
	namespaces := []string{of.namespace}
	lists, watches := calls[T]{s, w, namespaces, &of.list}, calls[T]{s, w, namespaces, &of.watch}
	toList, toWatch := "list "+resource.GroupResource().String(), "watch "+resource.GroupResource().String()
	narrow := func(o metav1.ListOptions) metav1.ListOptions {
		o.LabelSelector = of.selector
		return o
	}
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			var objects *unstructured.UnstructuredList
			err := persist(ctx, func() (err error) {
				list := lists.begin()
				objects, err = client.List(ctx, narrow(o))
				if err == nil && objects.GetContinue() != "" {
					lists.leave(list) // a page is no list yet, and the next has as long as this had
				} else {
					lists.end(list, failure(toList, err))
				}
				return err
			})
			return objects, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			var events watch.Interface
			try := func() (err error) {
				watching := watches.begin()
				events, err = client.Watch(ctx, narrow(o))
				watches.end(watching, failure(toWatch, err))
				return err
			}
			if !ptr.Deref(o.SendInitialEvents, false) {
				err := persist(ctx, try)
				return events, err
			}
			list := lists.begin() // nothing is listed but by this stream
			if err := try(); err != nil {
				lists.leave(list)
				return nil, err // for a list without a stream
			}
			end, left := func(err error) { lists.end(list, failure(toList, err)) }, func() { lists.leave(list) }
			return initialEvents(events, func() { lists.progress(list) }, end, left), nil
		},
	}
}

func (s *Set[T]) indexers() cache.Indexers {
	if s.options.MemberOf == nil {
		return cache.Indexers{}
	}
	return cache.Indexers{memberIndex: func(obj any) ([]string, error) {
		if of := s.options.MemberOf(obj.(T)); of != (types.NamespacedName{}) {
			return []string{of.String()}, nil
		}
		return nil, nil
	}}
}

func (s *Set[T]) handler(target Target) cache.ResourceEventHandler {
	var none T
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { s.changed(target, none, obj.(T)) },
		UpdateFunc: func(before, after any) { s.changed(target, before.(T), after.(T)) },
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			if gone, ok := obj.(T); ok {
				s.changed(target, gone, none)
			}
		},
	}
}

// changed notifies the followers of an object, and of what it is or was a part of.
func (s *Set[T]) changed(target Target, before, after T) {
	if s.options.Changed != nil && !s.options.Changed(target, before, after) {
		return
	}
	var none T
	var notified []types.NamespacedName
	notify := func(object types.NamespacedName) {
		for _, n := range notified {
			if n == object {
				return
			}
		}
		notified = append(notified, object)
		s.Notify(Name{target, object})
	}
	for _, o := range []T{after, before} {
		if o == none {
			continue
		}
		m := o.GetObjectMeta()
		notify(types.NamespacedName{Namespace: m.GetNamespace(), Name: m.GetName()})
		if s.options.MemberOf == nil {
			continue
		}
		if of := s.options.MemberOf(o); of != (types.NamespacedName{}) {
			notify(of)
		}
	}
}

// read returns the stores that may hold objects of a namespace, and how far they can be relied on.
func (w *kindWatch) read(namespace string) ([]cache.Indexer, State) {
	w.mu.RLock()
	defer w.mu.RUnlock()
	var stores []cache.Indexer
	for _, scope := range w.scopes {
		if scope.namespace == metav1.NamespaceAll || scope.namespace == namespace {
			stores = append(stores, scope.store)
		}
	}
	return stores, w.state(namespace)
}

// state returns how far objects of a namespace can be relied on, with the lock held.
func (w *kindWatch) state(namespace string) State {
	state := w.discovery.state()
	state.Synced = len(w.scopes) > 0
	for _, scope := range w.scopes {
		if scope.namespace == metav1.NamespaceAll || scope.namespace == namespace {
			state = state.And(scope.list.state()).And(scope.watch.state())
			state.Synced = state.Synced && scope.synced
		}
	}
	return state
}
