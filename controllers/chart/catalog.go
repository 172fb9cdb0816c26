package chart

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"iter8.tools/operator/controllers/chart/fetch"
	"iter8.tools/operator/controllers/chart/index"
	"iter8.tools/operator/controllers/chart/store"
)

// catalogKey is what an index depends on.
type catalogKey struct {
	address     string
	insecure    bool
	credentials string
}

// catalog is an index that sources share. The index itself is on disk; in memory is what it has for each source.
// Sources.mu guards it.
type catalog struct {
	key catalogKey
	// fetched is when the fetch of the index began that is on disk.
	fetched time.Time
	// err is why the last fetch failed, and retry when the next one may begin.
	err      error
	retry    time.Time
	failures int
	// demands is how many demands there had been when the last fetch began: it is an answer to those.
	demands int
	// busy is closed when the fetch or scan ends that runs.
	busy  chan struct{}
	picks map[*source]pick
}

// pick is what an index has for a source.
type pick struct {
	version index.Version
	err     error
}

// catalog finds or begins one.
func (s *Sources) catalog(key catalogKey) *catalog {
	r, ok := s.catalogs[key]
	if !ok {
		r = &catalog{key: key, picks: map[*source]pick{}}
		s.catalogs[key] = r
	}
	return r
}

// leaveCatalog takes a source off its catalog, which goes with its last one.
func (s *Sources) leaveCatalog(src *source) {
	r := src.catalog
	if r == nil {
		return
	}
	src.catalog = nil
	delete(r.picks, src)
	for _, other := range s.sources {
		if other.catalog == r {
			return
		}
	}
	delete(s.catalogs, r.key)
}

// indexed gives what the repository's index has for a source, and when the index was fetched; if it can't be, when it
// is tried again. Whoever comes first fetches it, for everybody.
func (s *Sources) indexed(ctx context.Context, src *source, j job, creds Credentials, cache *store.Store) (pick, time.Time, error) {
	for {
		s.mu.Lock()
		if ctx.Err() != nil || len(src.asks) == 0 {
			s.mu.Unlock()
			return pick{}, time.Time{}, errGone
		}
		r := s.catalog(catalogKey{address: j.target.address, insecure: j.target.insecure, credentials: creds.fingerprint()})
		if src.catalog != r {
			s.leaveCatalog(src) // the Secret has changed
			src.catalog = r
		}
		now := s.clock.Now()
		answered := r.demands >= j.demanded
		fresh := answered && !r.fetched.IsZero() && now.Sub(r.fetched) < j.interval
		p, known := r.picks[src]
		busy := r.busy
		switch {
		case busy != nil:
		case fresh && known:
			s.mu.Unlock()
			return p, r.fetched, nil
		case !fresh && answered && r.err != nil && now.Before(r.retry):
			s.mu.Unlock()
			return pick{}, r.retry, r.err
		default:
			r.busy = make(chan struct{})
			if !fresh {
				r.demands = s.demands
			}
		}
		s.mu.Unlock()
		if busy == nil {
			s.read(ctx, r, j, creds, cache, fresh)
			continue
		}
		select {
		case <-busy:
		case <-ctx.Done():
		}
	}
}

// read fetches an index, unless the one on disk is fresh, and looks up in it what the repository's sources want.
func (s *Sources) read(ctx context.Context, r *catalog, j job, creds Credentials, cache *store.Store, fresh bool) {
	now := s.clock.Now()
	key := cache.Key("index", r.key.address, strconv.FormatBool(r.key.insecure), r.key.credentials)
	var entry *store.Entry
	if fresh {
		entry = cache.Get(key)
	}
	var err error
	if entry == nil {
		fresh = false
		if err = s.fetchIndex(ctx, j, creds, cache, key); err == nil {
			if entry = cache.Get(key); entry == nil {
				err = fmt.Errorf("%w: the index of %s is gone from the cache", ErrCacheUnavailable, r.key.address)
			}
		}
	}
	var picks map[*source]pick
	if err == nil {
		picks, err = s.scan(ctx, r, entry)
		entry.Close()
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	close(r.busy)
	r.busy = nil
	switch {
	case ctx.Err() != nil: // nobody's failure; whoever waits goes on
	case err != nil:
		r.failures++
		r.err, r.fetched = err, time.Time{}
		wait := s.backoff(r.failures, j.interval)
		if !retries(err) {
			wait = s.lengthened(j.interval, intervalJitter)
		}
		r.retry = s.clock.Now().Add(wait)
	default:
		r.err, r.failures, r.picks = nil, 0, picks
		if !fresh {
			r.fetched = now
		}
	}
}

func (s *Sources) fetchIndex(ctx context.Context, j job, creds Credentials, cache *store.Store, key string) error {
	client, err := fetch.New(s.fetching, s.access(j.target, creds))
	if err != nil {
		return err
	}
	defer client.Close()
	draft, err := cache.Draft(j.namespace)
	if err != nil {
		return err
	}
	defer draft.Discard()
	if err := client.Get(ctx, j.target.address+"/index.yaml", s.config.Limits.IndexSize.Value(), draft); err != nil {
		return err
	}
	draft.EndPart()
	return draft.Commit(key, nil)
}

// scan looks up in an index what each of a repository's sources wants.
func (s *Sources) scan(ctx context.Context, r *catalog, entry *store.Entry) (map[*source]pick, error) {
	type search struct {
		src    *source
		choice *choice
		best   index.Version
	}
	searches := map[string][]*search{}
	s.mu.Lock()
	for _, src := range s.sources {
		if src.catalog == r {
			c, err := newChoice(src.target.version)
			if err != nil {
				continue // it was looked at before it became a source
			}
			searches[src.target.name] = append(searches[src.target.name], &search{src: src, choice: c})
		}
	}
	s.mu.Unlock()

	select {
	case s.loading <- struct{}{}:
		defer func() { <-s.loading }()
	case <-ctx.Done():
		return nil, errGone
	}
	found := map[string]bool{}
	wanted := func(name string) bool { return searches[name] != nil }
	failed, err := index.Scan(entry.Part(0), wanted, func(name string, v index.Version) {
		found[name] = true
		for _, want := range searches[name] {
			if want.choice.offer(v.Version) {
				want.best = v
			}
		}
	})
	if err != nil {
		return nil, fmt.Errorf("%w (%s)", err, r.key.address)
	}
	picks := map[*source]pick{}
	for name, wants := range searches {
		for _, want := range wants {
			p := pick{version: want.best}
			switch {
			case failed[name] != nil:
				p.err = fmt.Errorf("%w (%s)", failed[name], r.key.address)
			case !found[name]:
				p.err = fmt.Errorf("%w: %s: its index has no chart %q", ErrChartNotFound, r.key.address, name)
			case want.choice.best == nil:
				p.err = want.choice.none(r.key.address, name)
			}
			picks[want.src] = p
		}
	}
	return picks, nil
}

// access is how a target's repository is reached, over http or https.
func (s *Sources) access(t target, creds Credentials) fetch.Access {
	return fetch.Access{
		Origin:        t.url,
		Authorization: creds.header(t.url),
		CAs:           creds.CA,
		PlainHTTP:     s.rules.allowInsecure && (t.url.Scheme == "http" || t.insecure),
		SkipVerify:    s.rules.allowInsecure && t.insecure,
	}
}

// archiveURL is where an index says that an archive is: relative to the index, or anywhere.
func archiveURL(repository *url.URL, entry string) (*url.URL, error) {
	base := *repository
	base.Path = strings.TrimRight(base.Path, "/") + "/"
	return base.Parse(entry)
}
