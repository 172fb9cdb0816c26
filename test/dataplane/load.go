package dataplane

import (
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"
)

// LoadPerSecond is how many requests a Load sends, evenly, whether they are answered or not. Where the machine has kept it from
// that for a while, it makes up for it.
const LoadPerSecond = 200

// Load is a steady stream of requests, every other one on a new connection.
type Load struct {
	stop    chan struct{}
	stopped sync.Once
	running sync.WaitGroup
	began   time.Time

	mu      sync.Mutex
	answers []answer
}

// answer is which workload gave it, or what went wrong.
type answer struct {
	of   string
	took time.Duration
}

// Load starts to send a request over and over.
func (c *Caller) Load(request *http.Request) *Load {
	l := &Load{stop: make(chan struct{}), began: time.Now()}
	l.running.Go(func() {
		for n := 0; ; n++ {
			next := l.began.Add(time.Duration(n) * time.Second / LoadPerSecond)
			select {
			case <-l.stop:
				return
			case <-time.After(time.Until(next)):
				l.running.Go(func() { l.one(c, request, n%2 == 1) })
			}
		}
	})
	return l
}

func (l *Load) one(c *Caller, request *http.Request, fresh bool) {
	do := c.Do
	if fresh {
		do = c.DoFresh
	}
	sent := time.Now()
	a := answer{of: do(request)}
	a.took = time.Since(sent)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.answers = append(l.answers, a)
}

// Count polls how many requests have been answered.
func (l *Load) Count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.answers)
}

// End stops the load and returns, when every request is answered, how often each workload has. It may be called again.
func (l *Load) End() map[string]int {
	l.stopped.Do(func() { close(l.stop) })
	l.running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	by := map[string]int{}
	for _, a := range l.answers {
		by[a.of]++
	}
	return by
}

// Quantile of how long the requests took, from one number of them to another: 0.5 is the median. It is 0 of none.
func (l *Load) Quantile(q float64, from, to int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	took := make([]time.Duration, 0, to-from)
	for _, a := range l.answers[from:to] {
		took = append(took, a.took)
	}
	if len(took) == 0 {
		return 0
	}
	slices.Sort(took)
	return took[min(len(took)-1, int(q*float64(len(took))))]
}

// Failed returns how requests, from one number of them to another, ended that weren't answered by a workload, and after how long.
func (l *Load) Failed(by string, from, to int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	var failed []string
	for _, a := range l.answers[from:to] {
		if a.of != by {
			failed = append(failed, fmt.Sprintf("%s after %s", a.of, a.took.Round(time.Millisecond)))
		}
	}
	return failed
}
