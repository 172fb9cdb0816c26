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
	stop context.CancelFunc
	// followers are guarded by the Set.
	followers map[types.NamespacedName]struct{}

	mu sync.RWMutex
	// discovery is how finding the resource behind the kind went; until it is found there are no scopes.
	discovery reading
	scopes    []*scope
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
	w := &kindWatch{stop: cancel, followers: map[types.NamespacedName]struct{}{}}
	go s.run(ctx, target, w)
	return w
}

// run finds the resource behind the kind, for as long as that takes, and then runs its informers. A namespace that can't be
// read holds up no other.
func (s *Set[T]) run(ctx context.Context, target Target, w *kindWatch) {
	resource, err := s.discover(ctx, target, w)
	if err != nil {
		return
	}
	scopes := s.scopes(target)
	informers := make([]cache.SharedIndexInformer, 0, len(scopes))
	for _, scope := range scopes {
		informer := s.informer(target, w, scope, resource)
		scope.store = informer.GetIndexer()
		informers = append(informers, informer)
	}
	w.mu.Lock()
	w.scopes = scopes
	w.mu.Unlock()
	for i, informer := range informers {
		registration, err := informer.AddEventHandler(s.handler(target))
		if err != nil { // only of an informer that is stopped
			return
		}
		go informer.RunWithContext(ctx)
		go func() {
			if !cache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
				return
			}
			w.mu.Lock()
			scopes[i].synced = true
			w.mu.Unlock()
			if _, state := w.read(scopes[i].namespace); state.Synced {
				s.notifyState(target)
			}
		}()
	}
}

// discover returns the resource behind a kind; an error only where the watch has ended.
func (s *Set[T]) discover(ctx context.Context, target Target, w *kindWatch) (schema.GroupVersionResource, error) {
	var resource schema.GroupVersionResource
	// Past its steps and its cap the delay stays what it is.
	backoff := wait.Backoff{Duration: firstRetry, Factor: 2, Jitter: 0.1, Steps: 16, Cap: slowestRetry}
	err := backoff.DelayFunc().Until(ctx, true, true, func(context.Context) (bool, error) {
		mapping, err := s.options.Mapper.RESTMapping(target.GroupKind(), target.Version)
		switch {
		case err == nil && !target.ClusterScoped && mapping.Scope.Name() != meta.RESTScopeNameNamespace:
			err = ErrClusterScoped
		case err == nil:
			resource = mapping.Resource
		}
		s.record(target, w, &w.discovery, failure("discover "+target.GroupKind().String(), err))
		return err == nil, nil
	})
	return resource, err
}

// scopes returns what a target's informers look at.
func (s *Set[T]) scopes(target Target) []*scope {
	namespaces := s.options.Namespaces
	if target.ClusterScoped {
		namespaces = []string{metav1.NamespaceAll}
	}
	var scopes []*scope
	for _, namespace := range namespaces {
		for _, selector := range s.options.LabelSelectors {
			scopes = append(scopes, &scope{namespace: namespace, selector: selector})
		}
	}
	return scopes
}

func (s *Set[T]) informer(target Target, w *kindWatch, of *scope, resource schema.GroupVersionResource) cache.SharedIndexInformer {
	client := s.options.Client.Resource(resource).Namespace(of.namespace)
	narrow := func(o metav1.ListOptions) metav1.ListOptions {
		o.LabelSelector = of.selector
		return o
	}
	listerWatcher := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := client.List(ctx, narrow(o))
			if err != nil || list.GetContinue() == "" { // a page is no list yet
				s.record(target, w, &of.list, failure("list "+resource.GroupResource().String(), err))
			}
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			events, err := client.Watch(ctx, narrow(o))
			s.record(target, w, &of.watch, failure("watch "+resource.GroupResource().String(), err))
			if err == nil && ptr.Deref(o.SendInitialEvents, false) { // then nothing is listed but by this stream
				events = afterInitialEvents(events, func() { s.record(target, w, &of.list, nil) })
			}
			return events, err
		},
	}
	informer := cache.NewSharedIndexInformerWithOptions(
		cache.ToListWatcherWithWatchListSemantics(listerWatcher, s.options.Client),
		&unstructured.Unstructured{},
		cache.SharedIndexInformerOptions{Indexers: s.indexers(), ObjectDescription: resource.String()},
	)
	// Neither fails on an informer that isn't running yet.
	_ = informer.SetTransform(func(obj any) (any, error) {
		if u, ok := obj.(*unstructured.Unstructured); ok {
			return s.options.Transform(target, u), nil
		}
		return obj, nil
	})
	_ = informer.SetWatchErrorHandlerWithContext(func(context.Context, *cache.Reflector, error) {})
	return informer
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
	state := w.discovery.state()
	state.Synced = len(w.scopes) > 0
	var stores []cache.Indexer
	for _, scope := range w.scopes {
		if scope.namespace == metav1.NamespaceAll || scope.namespace == namespace {
			stores = append(stores, scope.store)
			state = state.And(scope.list.state()).And(scope.watch.state())
			state.Synced = state.Synced && scope.synced
		}
	}
	return stores, state
}
