package chart

import (
	"context"
	"fmt"
	"net/http"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart/fetch"
	"iter8.tools/operator/controllers/chart/store"
)

// fromIndex resolves a chart of a repository with an index.
func (s *Sources) fromIndex(ctx context.Context, src *source, cache *store.Store, key string, j job, creds Credentials) (found, error) {
	p, at, err := s.indexed(ctx, src, j, creds, cache)
	if err != nil {
		return found{retry: at}, err
	}
	if p.err != nil {
		return found{}, p.err
	}
	t := j.target
	u, err := archiveURL(t.url, p.version.URL)
	if err != nil {
		return found{}, fmt.Errorf("%w: %s: the index has no address for %s %s", ErrInvalidIndex, t.address, t.name, p.version.Version)
	}
	f := found{at: at, resolved: iter8v1alpha1.ResolvedChart{Repository: t.address, Name: t.name, Version: p.version.Version}}
	if u.Scheme == "oci" {
		return s.fromIndexedRegistry(ctx, cache, key, j, creds, f, u)
	}
	if p.version.Digest != "" {
		f.archive, f.resolved.Digest = p.version.Digest, "sha256:"+p.version.Digest
		if f.known(j) && cache.Touch(key) {
			f.same = true
			return f, nil
		}
	}
	client, err := fetch.New(s.fetching, s.access(t, creds))
	if err != nil {
		return found{}, err
	}
	defer client.Close()
	draft, err := cache.Draft(j.namespace)
	if err != nil {
		return found{}, err
	}
	defer draft.Discard()
	if err := client.Get(ctx, u.String(), s.config.Limits.ChartSize.Value(), draft); err != nil {
		return found{}, err
	}
	digest := draft.EndPart()
	if f.archive != "" && f.archive != digest {
		return found{}, fmt.Errorf("%w: %s: the archive has the digest sha256:%s, and the index says sha256:%s", ErrInvalidArchive, fetch.Public(u.String()), digest, f.archive)
	}
	f.archive, f.resolved.Digest = digest, "sha256:"+digest
	signed := false
	if len(creds.Keyring) > 0 {
		prov := *u
		prov.Path, prov.RawPath = u.Path+".prov", ""
		err := client.Get(ctx, prov.String(), maxProvenance, draft)
		if signed = err == nil; signed {
			draft.EndPart()
		} else if fetch.Status(err) != http.StatusNotFound {
			return found{}, err
		}
	}
	err = s.keep(ctx, cache, key, &f, j, creds, draft, signed)
	return f, err
}

// known tells whether what a repository says is what the source has.
func (f *found) known(j job) bool {
	return j.current != nil && j.current.Resolved.Digest == f.resolved.Digest && j.archive != ""
}
