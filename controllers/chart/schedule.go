package chart

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// How many attempts run at once. An attempt that waits for a server takes a slot until it gives up, so no host, no
// namespace and not all the hosts together that failed last time can have all of them.
const (
	maxRunning      = 32
	maxFailing      = 8
	maxPerHost      = 2
	maxPerNamespace = 4
)

// After a failure an attempt is made again in firstRetry, and then ever later up to slowestRetry, or the interval where
// that is shorter.
const (
	firstRetry   = 5 * time.Second
	slowestRetry = 5 * time.Minute
	// jitter lengthens intervals by up to a tenth, and retries by up to a fifth.
	intervalJitter, retryJitter = 0.1, 0.2
)

// slots are the attempts that run.
type slots struct {
	running, failing int
	hosts            map[string]int
	namespaces       map[string]int
}

func newSlots() slots { return slots{hosts: map[string]int{}, namespaces: map[string]int{}} }

// taken is what one attempt occupies.
type taken struct {
	host, namespace string
	failing         bool
}

// take finds slots for a source, on the account of a namespace whose policies ask for it.
func (s *slots) take(src *source) (taken, bool) {
	t := taken{host: src.target.url.Host, failing: src.failures > 0}
	if s.hosts[t.host] >= maxPerHost || t.failing && s.failing >= maxFailing {
		return taken{}, false
	}
	found := false
	for policy := range src.asks {
		if n := policy.Namespace; s.namespaces[n] < maxPerNamespace && (!found || n < t.namespace) {
			t.namespace, found = n, true
		}
	}
	if !found {
		return taken{}, false
	}
	s.count(t, 1)
	return t, true
}

func (s *slots) release(t taken) { s.count(t, -1) }

func (s *slots) count(t taken, n int) {
	s.running += n
	if t.failing {
		s.failing += n
	}
	for counts, key := range map[*map[string]int]string{&s.hosts: t.host, &s.namespaces: t.namespace} {
		if (*counts)[key] += n; (*counts)[key] == 0 {
			delete(*counts, key)
		}
	}
}

// Start resolves what policies ask for until the context ends.
func (s *Sources) Start(ctx context.Context) error {
	var attempts sync.WaitGroup
	defer attempts.Wait()
	for {
		wait := s.launch(ctx, &attempts)
		timer := s.clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-s.kick:
		case <-timer.C():
		}
		timer.Stop()
	}
}

// idle is how long the schedule sleeps when nothing is due.
const idle = time.Hour

// launch begins the attempts that are due, the longest waiting first, and tells when the next one is.
func (s *Sources) launch(ctx context.Context, attempts *sync.WaitGroup) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	now, wait := s.clock.Now(), idle
	var due []*source
	for _, src := range s.sources {
		switch until := src.due.Sub(now); {
		case src.running:
		case until > 0:
			wait = min(wait, until)
		default:
			due = append(due, src)
		}
	}
	slices.SortFunc(due, func(a, b *source) int {
		return cmp.Or(a.due.Compare(b.due), cmp.Compare(a.key.address, b.key.address), cmp.Compare(a.key.name, b.key.name))
	})
	for _, src := range due {
		if s.slots.running >= maxRunning || ctx.Err() != nil {
			break // the end of an attempt wakes the schedule
		}
		slot, ok := s.slots.take(src)
		if !ok {
			continue
		}
		attempt, cancel := context.WithCancel(ctx)
		src.running, src.cancel = true, cancel
		job := job{
			target: src.target, secrets: src.secrets, interval: src.interval(), demanded: src.demanded,
			namespace: slot.namespace, current: src.chart, archive: src.archive,
		}
		attempts.Go(func() {
			defer cancel()
			found, err := s.attempt(attempt, src, job)
			s.finish(ctx, src, slot, job, found, err)
		})
	}
	return wait
}

// finish takes note of what an attempt found.
func (s *Sources) finish(ctx context.Context, src *source, slot taken, j job, found found, err error) {
	s.mu.Lock()
	s.slots.release(slot)
	s.wake()
	src.running, src.cancel = false, nil
	if len(src.asks) == 0 || ctx.Err() != nil {
		s.mu.Unlock()
		return
	}
	now := s.clock.Now()
	var changed bool
	if err == nil {
		changed, err = s.accept(src, found)
	}
	if err != nil {
		changed = src.err == nil || src.err.Error() != err.Error()
		if src.err == nil {
			src.since = now
		}
		src.failures++
		src.err = err
		src.due = now.Add(s.after(src, found.retry, err))
	} else {
		changed = changed || src.err != nil
		src.err, src.since, src.failures = nil, time.Time{}, 0
		src.resolved = found.at
		src.due = found.at.Add(s.lengthened(src.interval(), intervalJitter))
	}
	if src.demanded > j.demanded {
		src.due = now // somebody asked while this was under way
	}
	s.mu.Unlock()
	if changed {
		s.notifyPolicies(src)
	}
}

// accept puts what was found in the place of what a source has, and tells whether it is something else.
func (s *Sources) accept(src *source, f found) (bool, error) {
	if f.same {
		return false, nil
	}
	if err := s.admit(src, f.archive, f.size); err != nil {
		return false, err
	}
	helm := s.use(src, f.archive, f.helm, f.size)
	if src.chart != nil && src.chart.Resolved == f.resolved {
		return false, nil
	}
	if src.chart != nil {
		previous := src.chart.Resolved
		src.previous = &previous
	}
	src.chart = &Chart{Helm: helm, Resolved: f.resolved}
	return true, nil
}

// after is how long a source waits after a failure. retry is when its repository is tried again, if that is known.
func (s *Sources) after(src *source, retry time.Time, err error) time.Duration {
	switch {
	case !retries(err):
		return s.lengthened(src.interval(), intervalJitter)
	case !retry.IsZero():
		return max(retry.Sub(s.clock.Now()), 0)
	default:
		return s.backoff(src.failures, src.interval())
	}
}

// backoff is how long to wait after so many failures in a row.
func (s *Sources) backoff(failures int, interval time.Duration) time.Duration {
	longest := min(slowestRetry, interval)
	wait := longest
	if shift := failures - 1; shift < 10 {
		wait = min(firstRetry<<max(shift, 0), longest)
	}
	return s.lengthened(wait, retryJitter)
}

func (s *Sources) lengthened(d time.Duration, by float64) time.Duration {
	return d + time.Duration(float64(d)*by*s.random())
}
