package proxy

import (
	"sync"
	"sync/atomic"
)

// Counters tells by the clusters' names what a proxy has done since it was started.
type Counters struct {
	// Requests of clients that went to a cluster.
	Requests map[string]int
	// Copies of requests that were to go to a cluster.
	Copies map[string]int
	// LostCopies are those of Copies that reached no endpoint, or of which the answer didn't come in time.
	LostCopies map[string]int
}

// counters are of one proxy. A cluster's stay while it comes and goes.
type counters struct {
	mu       sync.Mutex
	clusters map[string]*traffic
}

// traffic counts what went to one cluster.
type traffic struct{ requests, copies, lost atomic.Int64 }

func newCounters() *counters { return &counters{clusters: map[string]*traffic{}} }

func (c *counters) of(cluster string) *traffic {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := c.clusters[cluster]
	if t == nil {
		t = &traffic{}
		c.clusters[cluster] = t
	}
	return t
}

func (c *counters) read() Counters {
	c.mu.Lock()
	defer c.mu.Unlock()
	read := Counters{Requests: map[string]int{}, Copies: map[string]int{}, LostCopies: map[string]int{}}
	for name, t := range c.clusters {
		for counts, n := range map[*map[string]int]int64{
			&read.Requests: t.requests.Load(), &read.Copies: t.copies.Load(), &read.LostCopies: t.lost.Load(),
		} {
			if n > 0 {
				(*counts)[name] = int(n)
			}
		}
	}
	return read
}
