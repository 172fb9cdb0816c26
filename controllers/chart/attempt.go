package chart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"github.com/Masterminds/semver/v3"
	helmchart "helm.sh/helm/v3/pkg/chart"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart/archive"
	"iter8.tools/operator/controllers/chart/store"
)

// job is what an attempt is to do, as it stood when it began.
type job struct {
	target    target
	secrets   func(context.Context) (Credentials, error)
	interval  time.Duration
	demanded  int
	namespace string
	// current is the chart that the source has, and archive the digest of its archive.
	current *Chart
	archive string
}

// found is what an attempt came to.
type found struct {
	helm     *helmchart.Chart
	size     int64
	archive  string
	resolved iter8v1alpha1.ResolvedChart
	// same: it is what the source has already.
	same bool
	// at is when the repository said so.
	at time.Time
	// retry is when a repository is tried again that other sources have too.
	retry time.Time
}

// kept is what the cache has of a chart beside its archive and its provenance.
type kept struct {
	Resolved iter8v1alpha1.ResolvedChart `json:"resolved"`
	Archive  string                      `json:"archive"`
}

// attempt finds out which chart a source stands for. On the first one, what is on disk is served until more is known.
func (s *Sources) attempt(ctx context.Context, src *source, j job) (found, error) {
	var creds Credentials
	if src.key.namespace != "" {
		var err error
		if creds, err = s.readSecrets(ctx, j); err != nil {
			return found{}, err
		}
	}
	cache, err := s.opened()
	if err != nil {
		return found{}, err
	}
	t := j.target
	key := cache.Key("chart", t.address, t.name, t.digest, t.version, strconv.FormatBool(t.insecure), creds.fingerprint(),
		src.key.verification, string(creds.Keyring))
	if j.current == nil {
		if f, ok := s.restore(ctx, cache, key, j, creds); ok {
			j.current, j.archive = s.publish(src, f)
		}
	}
	if t.url.Scheme == "oci" {
		return s.fromRegistry(ctx, cache, key, j, creds)
	}
	return s.fromIndex(ctx, src, cache, key, j, creds)
}

func (s *Sources) readSecrets(ctx context.Context, j job) (Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, s.fetching.Timeout)
	defer cancel()
	creds, err := j.secrets(ctx)
	if err != nil && !errors.Is(err, ErrInvalidSecret) {
		err = fmt.Errorf("%w: %w", ErrInvalidSecret, err)
	}
	return creds, err
}

// publish has a source serve what was on disk, while its repository is asked.
func (s *Sources) publish(src *source, f found) (*Chart, string) {
	s.mu.Lock()
	if len(src.asks) == 0 {
		s.mu.Unlock()
		return nil, ""
	}
	changed, err := s.accept(src, f)
	current, digest := src.chart, src.archive
	s.mu.Unlock()
	if changed && err == nil {
		s.notifyPolicies(src)
	}
	return current, digest
}

// restore reads what is on disk for a request. Whatever doesn't hold any more is as good as not there.
func (s *Sources) restore(ctx context.Context, cache *store.Store, key string, j job, creds Credentials) (found, bool) {
	entry := cache.Get(key)
	if entry == nil {
		return found{}, false
	}
	defer entry.Close()
	var k kept
	if err := json.Unmarshal(entry.Meta, &k); err != nil || entry.Parts() == 0 {
		return found{}, false
	}
	f := found{resolved: k.Resolved, archive: k.Archive}
	var prov io.Reader
	if entry.Parts() > 1 {
		prov = entry.Part(1)
	}
	if err := s.load(ctx, cache, &f, j, creds, entry.Part(0), prov); err != nil {
		return found{}, false
	}
	return f, true
}

// load checks an archive's provenance, where the policy asks for that, and puts it in memory. f knows of the archive
// what its repository says, and the digest that it really has.
func (s *Sources) load(ctx context.Context, cache *store.Store, f *found, j job, creds Credentials, content *io.SectionReader, prov io.Reader) error {
	select {
	case s.loading <- struct{}{}:
		defer func() { <-s.loading }()
	case <-ctx.Done():
		return errGone
	}
	if len(creds.Keyring) > 0 {
		if prov == nil {
			return fmt.Errorf("%w: %s %s has no provenance file, and spec.chart.verify asks for one", ErrUnverified, f.resolved.Name, f.resolved.Version)
		}
		if err := verify(cache, creds.Keyring, f.resolved.Name, f.resolved.Version, io.NewSectionReader(content, 0, content.Size()), prov); err != nil {
			return err
		}
	}
	s.mu.Lock()
	l, ok := s.memory[f.archive]
	if ok {
		f.helm, f.size = l.helm, l.size
	}
	s.mu.Unlock()
	if !ok {
		var err error
		limits := s.config.Limits
		f.helm, f.size, err = archive.Load(content, archive.Limits{
			Expanded: limits.ExpandedSize.Value(), Entries: limits.Entries, Held: s.config.Memory.Value() / share,
		})
		if err != nil {
			return fmt.Errorf("%w (%s %s from %s)", err, j.target.name, f.resolved.Version, j.target.address)
		}
	}
	return f.is(j.target)
}

// is checks that an archive holds what it was fetched as, and takes the version as the chart itself writes it.
func (f *found) is(t target) error {
	if f.helm.Name() != t.name {
		return fmt.Errorf("%w: %s has the chart %q where it should have %s", ErrInvalidArchive, t.address, f.helm.Name(), t.name)
	}
	if n := len(f.helm.Metadata.Version); n > iter8v1alpha1.MaxVersion {
		return fmt.Errorf("%w: %s: %s has a version of %d characters, and may have %d", ErrInvalidArchive, t.address, t.name, n, iter8v1alpha1.MaxVersion)
	}
	is, err := semver.NewVersion(f.helm.Metadata.Version)
	if err != nil {
		return fmt.Errorf("%w: %s: %s has a version that is not a semantic version", ErrInvalidArchive, t.address, t.name)
	}
	if should, err := semver.NewVersion(f.resolved.Version); f.resolved.Version != "" && (err != nil || !should.Equal(is)) {
		return fmt.Errorf("%w: %s has version %s of %s where it should have %s", ErrInvalidArchive, t.address, is.Original(), t.name, f.resolved.Version)
	}
	f.resolved.Version = f.helm.Metadata.Version
	return nil
}

// keep writes a chart to disk and puts it in memory.
func (s *Sources) keep(ctx context.Context, cache *store.Store, key string, f *found, j job, creds Credentials, draft *store.Draft, hasProvenance bool) error {
	var prov io.Reader
	if hasProvenance {
		prov = draft.Part(1)
	}
	if err := s.load(ctx, cache, f, j, creds, draft.Part(0), prov); err != nil {
		return err
	}
	return draft.Commit(key, kept{Resolved: f.resolved, Archive: f.archive})
}
