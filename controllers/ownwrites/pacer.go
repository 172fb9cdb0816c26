package ownwrites

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// putRightInterval lets a status that another controller writes over and over be put right 12 times a minute.
const putRightInterval = 5 * time.Second

// Pacer says when the statuses that others wrote are to be put right: the first of an object at once, the next ones an interval apart,
// however often it is written. Its methods may be called from several goroutines.
type Pacer struct {
	mu sync.Mutex
	// last is when the last one of an object is due.
	last map[types.NamespacedName]time.Time
}

// Delay returns after how long the status of an object that was written just now is to be put right.
func (p *Pacer) Delay(object types.NamespacedName, now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[types.NamespacedName]time.Time{}
	}
	due, known := p.last[object]
	switch next := due.Add(putRightInterval); {
	case !known || next.Before(now):
		due = now
	case !due.After(now):
		due = next
	}
	p.last[object] = due
	return due.Sub(now)
}

// Forget drops what is known of an object that is gone.
func (p *Pacer) Forget(object types.NamespacedName) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, object)
}
