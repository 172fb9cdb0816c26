package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/cache"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

var httpRoutes = schema.GroupVersionResource{Group: gatewayv1.GroupName, Version: "v1", Resource: "httproutes"}

// routes is what a watch shows of a namespace's HTTPRoutes: who else waits for a route sees it no sooner.
type routes struct {
	mu       sync.Mutex
	mirrored map[string]bool      // of each route there is, by name
	seen     map[string]time.Time // when that was last seen to change
	changed  chan struct{}        // closed at the next change
}

// watchRoutes returns when the routes that there are have been seen, and watches until the context ends.
func watchRoutes(ctx context.Context, config *rest.Config, namespace string) (*routes, error) {
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, err
	}
	r := &routes{mirrored: map[string]bool{}, seen: map[string]time.Time{}, changed: make(chan struct{})}
	informer := dynamicinformer.NewFilteredDynamicInformer(client, httpRoutes, namespace, 0, cache.Indexers{}, nil).Informer()
	_, err = informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { r.note(obj.(*unstructured.Unstructured)) },
		UpdateFunc: func(_, obj any) { r.note(obj.(*unstructured.Unstructured)) },
		DeleteFunc: func(obj any) {
			if name, err := cache.DeletionHandlingObjectToName(obj); err == nil {
				r.forget(name.Name)
			}
		},
	})
	if err != nil {
		return nil, err
	}
	go informer.RunWithContext(ctx)
	if !cache.WaitForCacheSync(ctx.Done(), informer.HasSynced) {
		return nil, fmt.Errorf("listing HTTPRoutes: %w", context.Cause(ctx))
	}
	return r, nil
}

func (r *routes) note(route *unstructured.Unstructured) {
	now := time.Now()
	mirrored := hasMirror(route)
	r.mu.Lock()
	defer r.mu.Unlock()
	if before, known := r.mirrored[route.GetName()]; known && before == mirrored {
		return
	}
	r.mirrored[route.GetName()], r.seen[route.GetName()] = mirrored, now
	close(r.changed)
	r.changed = make(chan struct{})
}

func (r *routes) forget(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mirrored, name)
	delete(r.seen, name)
	close(r.changed)
	r.changed = make(chan struct{})
}

func hasMirror(route *unstructured.Unstructured) bool {
	rules, _, _ := unstructured.NestedSlice(route.Object, "spec", "rules")
	for _, rule := range rules {
		fields, _ := rule.(map[string]any)
		filters, _, _ := unstructured.NestedSlice(fields, "filters")
		for _, filter := range filters {
			if fields, ok := filter.(map[string]any); ok && fields["requestMirror"] != nil {
				return true
			}
		}
	}
	return false
}

// waitFor waits until a route has a mirror, or has none, and gives when that was seen.
func (r *routes) waitFor(ctx context.Context, name string, mirrored bool) (time.Time, error) {
	return r.wait(ctx, func() (time.Time, bool) {
		is, known := r.mirrored[name]
		return r.seen[name], known && is == mirrored
	}, func() string { return fmt.Sprintf("HTTPRoute %s with mirror: %t", name, mirrored) })
}

// waitForAll waits until a number of routes have a mirror, or have none, and gives when the last was seen.
func (r *routes) waitForAll(ctx context.Context, who contender, count int, mirrored bool) (time.Time, error) {
	var have int
	return r.wait(ctx, func() (time.Time, bool) {
		have = 0
		var last time.Time
		for name, is := range r.mirrored {
			if strings.HasPrefix(name, floorPrefix) == who.isFloor() && is == mirrored {
				have++
				if seen := r.seen[name]; seen.After(last) {
					last = seen
				}
			}
		}
		return last, have == count
	}, func() string {
		return fmt.Sprintf("%d HTTPRoutes with mirror: %t (there are %d)", count, mirrored, have)
	})
}

func (r *routes) wait(ctx context.Context, condition func() (time.Time, bool), what func() string) (time.Time, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("nothing after %s", patience))
	defer cancel()
	for {
		r.mu.Lock()
		seen, ok := condition()
		changed := r.changed
		r.mu.Unlock()
		if ok {
			return seen, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return time.Time{}, fmt.Errorf("waiting for %s: %w", what(), context.Cause(ctx))
		}
	}
}
