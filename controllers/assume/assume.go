// Package assume lets a controller read its own writes: what it wrote counts until the cache shows it, or
// something newer. Without it, a status that is computed from a cache that lags would undo or repeat writes.
package assume

import (
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// Written holds the newest version of each object that this process wrote and its cache may not show yet.
// Its methods may be called from several goroutines; the objects are shared and must not be changed.
type Written[T metav1.Object] struct {
	mu      sync.Mutex
	objects map[types.NamespacedName]T
}

// Remember keeps what the apiserver answered to a write.
func (w *Written[T]) Remember(object T) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.objects == nil {
		w.objects = map[types.NamespacedName]T{}
	}
	w.objects[name(object)] = object
}

// Newest gives what was written if that is newer than what the cache holds, else the latter.
func (w *Written[T]) Newest(cached T) T {
	w.mu.Lock()
	defer w.mu.Unlock()
	written, ok := w.objects[name(cached)]
	if !ok {
		return cached
	}
	if written.GetUID() == cached.GetUID() && Newer(written, cached) {
		return written
	}
	delete(w.objects, name(cached))
	return cached
}

// Shown drops what was written of an object once the cache shows it, or something newer.
func (w *Written[T]) Shown(cached T) {
	w.Newest(cached)
}

// Forget drops what was written of an object that is gone.
func (w *Written[T]) Forget(name types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.objects, name)
}

// Newer tells whether a is a later version than b of the same object.
func Newer(a, b metav1.Object) bool {
	order, err := resourceversion.CompareResourceVersion(a.GetResourceVersion(), b.GetResourceVersion())
	return err == nil && order > 0
}

func name(object metav1.Object) types.NamespacedName {
	return types.NamespacedName{Namespace: object.GetNamespace(), Name: object.GetName()}
}
