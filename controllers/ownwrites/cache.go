// Package ownwrites lets a controller read its own writes: what it wrote counts until the cache shows it, or
// something newer. Without it, a status that is computed from a cache that lags would undo or repeat writes.
package ownwrites

import (
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// Cache is a read-your-writes cache: it holds the newest version of each object that this process wrote and its cache may not show yet.
// Its methods may be called from several goroutines; the objects are shared and must not be changed.
type Cache[T metav1.Object] struct {
	mu      sync.Mutex
	objects map[types.NamespacedName]T
	// inFlight are objects as they are being written.
	inFlight map[types.NamespacedName]T
}

// Begin says that an object is about to be written as it is given; the function that it returns says that the answer is in, and what
// came of it is known to Add.
func (c *Cache[T]) Begin(object T) (ended func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight == nil {
		c.inFlight = map[types.NamespacedName]T{}
	}
	c.inFlight[name(object)] = object
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.inFlight, name(object))
	}
}

// IsEcho reports whether a version of an object that the cache shows is one that this process wrote or knows, and no other's write. While
// its own write is in flight, the version of which isn't known, contents tell.
func (c *Cache[T]) IsEcho(shown T, same func(written, shown T) bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if written, ok := c.objects[name(shown)]; ok && written.GetUID() == shown.GetUID() && !Newer(shown, written) {
		return true
	}
	writing, ok := c.inFlight[name(shown)]
	return ok && writing.GetUID() == shown.GetUID() && same(writing, shown)
}

// Add keeps what the apiserver answered to a write.
func (c *Cache[T]) Add(object T) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.objects == nil {
		c.objects = map[types.NamespacedName]T{}
	}
	c.objects[name(object)] = object
}

// Latest returns what was written if that is newer than what the cache holds, else the latter.
func (c *Cache[T]) Latest(cached T) T {
	c.mu.Lock()
	defer c.mu.Unlock()
	written, ok := c.objects[name(cached)]
	if !ok {
		return cached
	}
	if written.GetUID() == cached.GetUID() && Newer(written, cached) {
		return written
	}
	delete(c.objects, name(cached))
	return cached
}

// Observe drops what was written of an object once the cache shows it, or something newer.
func (c *Cache[T]) Observe(cached T) {
	c.Latest(cached)
}

// Forget drops what was written of an object that is gone.
func (c *Cache[T]) Forget(name types.NamespacedName) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.objects, name)
}

// Newer reports whether a is a later version than b of the same object.
func Newer(a, b metav1.Object) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err == nil && order > 0
}

func name(object metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
}

// IsGone reports whether a write failed because its object is gone. That the kind isn't served just now is another answer.
func IsGone(err error) bool {
	return apierrors.IsNotFound(err) && !apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}
