package crash

import (
	"cmp"
	"context"
	"math"
	"sync"

	"iter8.tools/operator/test/env"
)

// moment is when an operator is killed, with regard to one of its writes.
type moment string

const (
	unsent    moment = "before a write reaches the apiserver"
	unheard   moment = "before it hears what the apiserver answered to a write"
	delivered moment = "after it was told what the apiserver answered to a write"
)

// killer kills an operator at its nth write. No write after that one reaches the apiserver.
type killer struct {
	moment moment
	victim *env.Operator
	armed  chan struct{}
	dead   chan struct{}

	mu   sync.Mutex
	n    int
	seen int
	last env.Request
}

func newKiller(m moment, n int) *killer {
	return &killer{moment: m, n: n, armed: make(chan struct{}), dead: make(chan struct{})}
}

// arm says who is to be killed. No write goes on before, so that the operator has become ready.
func (k *killer) arm(victim *env.Operator) {
	k.victim = victim
	close(k.armed)
}

// disarm has nothing killed from now on, and reports whether the operator was.
func (k *killer) disarm() bool {
	k.mu.Lock()
	seen, n := k.seen, k.n
	if seen < n {
		k.n = math.MaxInt
	}
	k.mu.Unlock()
	if seen < n {
		return false
	}
	<-k.dead
	return true
}

func (k *killer) kill() {
	k.victim.Kill()
	close(k.dead)
}

// When a write comes, with regard to the nth.
const (
	sooner = -1
	later  = 1
)

// count counts a write.
func (k *killer) count(r env.Request) int {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen++
	if k.seen == k.n {
		k.last = r
	}
	return cmp.Compare(k.seen, k.n)
}

// hook is that of the operator's proxy.
func (k *killer) hook(ctx context.Context, r env.Request) env.Verdict {
	if !isWork(r) {
		return env.Verdict{}
	}
	select {
	case <-k.armed:
	case <-ctx.Done():
		return env.Verdict{Drop: true}
	}
	switch k.count(r) {
	case sooner:
		return env.Verdict{}
	case later: // while the operator lives, it must not see a write of its own refused
		select {
		case <-k.dead:
		case <-ctx.Done():
		}
		return env.Verdict{Drop: true}
	}
	switch k.moment {
	case unsent:
		k.kill()
		return env.Verdict{Drop: true}
	case unheard:
		return env.Verdict{Answered: k.kill}
	default:
		return env.Verdict{Delivered: k.kill}
	}
}
