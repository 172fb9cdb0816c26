// Package notify connects what learns of changes with what reconciles them.
package notify

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// All is the name that stands for every object there is.
var All = types.NamespacedName{}

// Notifier passes the names of objects that are to be looked at again on to its subscribers. The zero value is ready,
// and its methods may be called from several goroutines.
type Notifier struct {
	mu          sync.RWMutex
	subscribers []func(types.NamespacedName)
}

// Subscribe has fn called with every name from now on. fn must not block.
func (n *Notifier) Subscribe(fn func(types.NamespacedName)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.subscribers = append(n.subscribers, fn)
}

// Notify passes on the name of an object, or All.
func (n *Notifier) Notify(name types.NamespacedName) {
	n.mu.RLock()
	defer n.mu.RUnlock()
	for _, fn := range n.subscribers {
		fn(name)
	}
}
