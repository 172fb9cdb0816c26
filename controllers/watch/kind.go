package watch

import (
	"context"
	"errors"
	"fmt"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

// What State.Err wraps where no kind can be watched at all.
var (
	// ErrNotServed: the cluster serves no such kind, in that version. It is asked again, with growing delays.
	ErrNotServed = errors.New("the cluster does not serve this kind")
	// ErrClusterScoped: objects of the kind have no namespace, and Subjects and policies only deal with such.
	ErrClusterScoped = errors.New("the kind is cluster-scoped")
)

// scope is what one informer looks at: a namespace, or all, and a label selector.
type scope struct {
	namespace, selector string
}

// kindWatch is the informers of one target, one for each scope.
type kindWatch struct {
	users map[types.NamespacedName]struct{}
	stop  context.CancelFunc

	mu     sync.RWMutex
	stores map[string][]cache.Indexer // by namespace
	synced bool
	errs   map[scope]error
}

func (s *Set) start(target Target) *kindWatch {
	ctx, cancel := context.WithCancel(s.ctx)
	w := &kindWatch{
		users:  map[types.NamespacedName]struct{}{},
		stop:   cancel,
		stores: map[string][]cache.Indexer{},
		errs:   map[scope]error{},
	}
	go s.run(ctx, target, w)
	return w
}

// run finds the resource behind the kind, for as long as that takes, and then runs its informers.
func (s *Set) run(ctx context.Context, target Target, w *kindWatch) {
	var resource schema.GroupVersionResource
	// Past its steps and its cap the delay stays what it is.
	backoff := wait.Backoff{Duration: firstRetry, Factor: 2, Jitter: 0.1, Steps: 16, Cap: slowestRetry}
	err := backoff.DelayFunc().Until(ctx, true, true, func(context.Context) (bool, error) {
		mapping, err := s.options.Mapper.RESTMapping(target.GroupKind(), target.Version)
		switch {
		case meta.IsNoMatchError(err):
			err = ErrNotServed
		case err == nil && !s.options.ClusterScoped && mapping.Scope.Name() != meta.RESTScopeNameNamespace:
			err = ErrClusterScoped
		case err == nil:
			resource = mapping.Resource
		}
		s.setError(target, w, scope{}, err)
		return err == nil, nil
	})
	if err != nil {
		return
	}

	var running []cache.InformerSynced
	for _, scope := range s.scopes() {
		informer := s.informer(target, w, resource, scope)
		w.mu.Lock()
		w.stores[scope.namespace] = append(w.stores[scope.namespace], informer.GetIndexer())
		w.mu.Unlock()
		registration, err := informer.AddEventHandler(s.handler(target))
		if err != nil { // only of an informer that is stopped
			return
		}
		running = append(running, registration.HasSynced)
		go informer.RunWithContext(ctx)
	}
	if !cache.WaitForCacheSync(ctx.Done(), running...) {
		return
	}
	w.mu.Lock()
	w.synced = true
	w.mu.Unlock()
	s.notify(target)
}

func (s *Set) scopes() []scope {
	var scopes []scope
	for _, namespace := range s.options.Namespaces {
		for _, selector := range s.options.LabelSelectors {
			scopes = append(scopes, scope{namespace, selector})
		}
	}
	return scopes
}

func (s *Set) informer(target Target, w *kindWatch, resource schema.GroupVersionResource, of scope) cache.SharedIndexInformer {
	client := s.options.Client.Resource(resource).Namespace(of.namespace)
	narrow := func(o metav1.ListOptions) metav1.ListOptions {
		o.LabelSelector = of.selector
		return o
	}
	listerWatcher := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := client.List(ctx, narrow(o))
			s.noteAnswer(target, w, of, "list", resource, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			events, err := client.Watch(ctx, narrow(o))
			s.noteAnswer(target, w, of, "watch", resource, err)
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

func (s *Set) handler(target Target) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { s.options.OnChange(target, nil, obj.(Object)) },
		UpdateFunc: func(before, after any) { s.options.OnChange(target, before.(Object), after.(Object)) },
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			if gone, ok := obj.(Object); ok {
				s.options.OnChange(target, gone, nil)
			}
		},
	}
}

// noteAnswer keeps what the apiserver says about the kind: a refusal is a state, anything that passes by
// itself (a dropped connection, an expired watch) is not, and an answer ends a refusal.
func (s *Set) noteAnswer(target Target, w *kindWatch, of scope, verb string, resource schema.GroupVersionResource, err error) {
	switch {
	case err == nil:
	case apierrors.IsNotFound(err), apierrors.IsMethodNotSupported(err):
		err = ErrNotServed
	case apierrors.IsForbidden(err), apierrors.IsUnauthorized(err):
		err = fmt.Errorf("may not %s %s: %w", verb, resource.GroupResource(), err)
	default:
		return
	}
	s.setError(target, w, of, err)
}

func (s *Set) setError(target Target, w *kindWatch, of scope, err error) {
	w.mu.Lock()
	before := w.errs[of]
	if err == nil {
		delete(w.errs, of)
	} else {
		w.errs[of] = err
	}
	w.mu.Unlock()
	if (before == nil) != (err == nil) {
		s.notify(target)
	}
}

func (s *Set) notify(target Target) {
	if s.options.OnState != nil {
		s.options.OnState(target)
	}
}

func (w *kindWatch) state() State {
	w.mu.RLock()
	defer w.mu.RUnlock()
	state := State{Synced: w.synced}
	for _, err := range w.errs {
		if state.Err == nil || err.Error() < state.Err.Error() {
			state.Err = err
		}
	}
	return state
}

// storesFor gives the stores that may hold objects of a namespace.
func (w *kindWatch) storesFor(namespace string) []cache.Indexer {
	w.mu.RLock()
	defer w.mu.RUnlock()
	if stores := w.stores[metav1.NamespaceAll]; stores != nil {
		return stores
	}
	return w.stores[namespace]
}
