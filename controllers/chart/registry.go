package chart

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/Masterminds/semver/v3"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"oras.land/oras-go/v2/errdef"
	"oras.land/oras-go/v2/registry"
	"oras.land/oras-go/v2/registry/remote"
	"oras.land/oras-go/v2/registry/remote/auth"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart/fetch"
	"iter8.tools/operator/controllers/chart/store"
)

// Media types of Helm's layers: https://helm.sh/docs/topics/registries. The second one is what Helm pushed before 3.8.
const (
	archiveLayer    = "application/vnd.cncf.helm.chart.content.v1.tar+gzip"
	oldArchiveLayer = "application/tar+gzip"
	provenanceLayer = "application/vnd.cncf.helm.chart.provenance.v1.prov"
	maxManifest     = 64 << 10
	maxTagPages     = 100
	maxTags         = 20_000
	maxPage         = 1 << 20
)

// fromRegistry resolves a chart of a registry.
func (s *Sources) fromRegistry(ctx context.Context, cache *store.Store, key string, j job, creds Credentials) (found, error) {
	t := j.target
	f := found{at: s.clock.Now(), resolved: iter8v1alpha1.ResolvedChart{Repository: t.address, Name: t.name}}
	return s.pull(ctx, cache, key, j, creds, f, t.reference(), t.url.Host)
}

// fromIndexedRegistry resolves a chart whose repository's index leads to a registry.
func (s *Sources) fromIndexedRegistry(ctx context.Context, cache *store.Store, key string, j job, creds Credentials, f found, u *url.URL) (found, error) {
	ref, err := registry.ParseReference(u.Host + u.Path)
	if err != nil || u.User != nil || ref.Reference == "" {
		return found{}, fmt.Errorf("%w: %s: the index has no valid oci:// address for %s %s", ErrInvalidIndex, j.target.address, j.target.name, f.resolved.Version)
	}
	j.target.version = f.resolved.Version
	if ref.ValidateReferenceAsDigest() == nil {
		j.target.digest = ref.Reference
	}
	return s.pull(ctx, cache, key, j, creds, f, ref.Registry+"/"+ref.Repository, j.target.url.Host)
}

// pull resolves a version of a repository in a registry, and pulls it if it is another one than before. origin is the
// host that the credentials are for.
func (s *Sources) pull(ctx context.Context, cache *store.Store, key string, j job, creds Credentials, f found, name, origin string) (found, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.fetching.Timeout, fetch.Timeout(s.fetching.Timeout))
	defer cancel()
	r, err := s.connect(name, origin, j.target, creds, false)
	if err != nil {
		return found{}, err
	}
	defer func() { r.client.Close() }()
	manifest, err := r.find(ctx, j.target)
	if errors.Is(err, http.ErrSchemeMismatch) && j.target.insecure {
		r.client.Close()
		if r, err = s.connect(name, origin, j.target, creds, true); err != nil {
			return found{}, err
		}
		manifest, err = r.find(ctx, j.target)
	}
	if err != nil {
		return found{}, r.explain(ctx, err)
	}
	if manifest.version != "" {
		f.resolved.Version = manifest.version
	}
	f.resolved.Digest = manifest.digest.String()
	if f.known(j) && cache.Touch(key) {
		f.same = true
		return f, nil
	}
	layer, prov, err := manifest.layers()
	if err != nil {
		return found{}, fmt.Errorf("%w (%s)", err, r.address())
	}
	draft, err := cache.Draft(j.namespace)
	if err != nil {
		return found{}, err
	}
	defer draft.Discard()
	if err := r.blob(ctx, layer, s.config.Limits.ChartSize.Value(), draft); err != nil {
		return found{}, r.explain(ctx, err)
	}
	f.archive = layer.Digest.Encoded()
	verifying := len(creds.Keyring) > 0
	if verifying {
		if prov == nil {
			return found{}, fmt.Errorf("%w: %s: the manifest has no provenance file, and spec.chart.verify asks for one", ErrUnverified, r.address())
		}
		if err := r.blob(ctx, *prov, maxProvenance, draft); err != nil {
			return found{}, r.explain(ctx, err)
		}
	}
	err = s.keep(ctx, cache, key, &f, j, creds, draft, verifying)
	return f, err
}

// remoteChart is a chart's repository in a registry.
type remoteChart struct {
	*remote.Repository
	client *fetch.Client
}

func (s *Sources) connect(name, origin string, t target, creds Credentials, plain bool) (*remoteChart, error) {
	repository, err := remote.NewRepository(name)
	if err != nil {
		return nil, fmt.Errorf("%w: oci://%s is not a valid name in a registry", ErrRepositoryNotAllowed, name)
	}
	scheme := "https"
	if plain {
		scheme = "http"
	}
	client, err := fetch.New(s.fetching, fetch.Access{
		Origin:     &url.URL{Scheme: scheme, Host: repository.Reference.Host()},
		CAs:        creds.CA,
		PlainHTTP:  plain && s.rules.allowInsecure,
		SkipVerify: t.insecure && s.rules.allowInsecure,
		Registry:   true,
	})
	if err != nil {
		return nil, err
	}
	repository.PlainHTTP = plain
	repository.TagListMaxPages = maxTagPages
	repository.MaxMetadataBytes = maxPage
	repository.Client = &auth.Client{
		Client: client.HTTP(),
		Cache:  auth.NewCache(),
		Credential: func(_ context.Context, host string) (auth.Credential, error) {
			return creds.of(host, origin), nil
		},
	}
	return &remoteChart{Repository: repository, client: client}, nil
}

func (r *remoteChart) address() string {
	return "oci://" + r.Reference.Registry + "/" + r.Reference.Repository
}

// explain tells what went wrong, unless the error does so already.
func (r *remoteChart) explain(ctx context.Context, err error) error {
	if _, ok := errors.AsType[*explained](err); ok || errors.Is(err, ErrCacheUnavailable) {
		return err
	}
	return fetch.Explain(ctx, r.address(), err)
}

// explained is an error with a sentence of its own.
type explained struct{ error }

func (e *explained) Unwrap() error { return e.error }

func explain(format string, args ...any) error { return &explained{fmt.Errorf(format, args...)} }

// manifest of one version of a chart.
type manifest struct {
	// version as the tag has it; empty where it was found by its digest.
	version string
	digest  digest.Digest
	content ocispec.Manifest
}

// find gets the manifest of what a target asks for.
func (r *remoteChart) find(ctx context.Context, t target) (manifest, error) {
	if t.digest != "" {
		return r.manifest(ctx, t.digest, "")
	}
	if _, err := semver.StrictNewVersion(t.version); err == nil {
		m, err := r.manifest(ctx, tagOf(t.version), t.version)
		if !errors.Is(err, errdef.ErrNotFound) {
			return m, err
		}
	}
	chosen, err := newChoice(t.version)
	if err != nil {
		return manifest{}, &explained{err}
	}
	all := 0
	err = r.Tags(ctx, "", func(tags []string) error {
		if all += len(tags); all > maxTags {
			return errdef.ErrTooManyPages
		}
		for _, tag := range tags {
			chosen.offer(strings.ReplaceAll(tag, "_", "+"))
		}
		return nil
	})
	switch {
	case errors.Is(err, errdef.ErrTooManyPages):
		return manifest{}, explain("%w: %s has more than %d tags, or %d pages of them; a version that is not a range is found without them", ErrTooLarge, r.address(), maxTags, maxTagPages)
	case isNotFound(err):
		return manifest{}, explain("%w: %s: the registry has nothing of this name, or shows it only to clients with credentials", ErrChartNotFound, r.address())
	case err != nil:
		return manifest{}, err
	case chosen.best == nil:
		return manifest{}, &explained{chosen.none(r.address(), t.name)}
	}
	return r.manifest(ctx, tagOf(chosen.text), chosen.text)
}

// tagOf is the tag of a version: tags have no plus sign.
func tagOf(version string) string { return strings.ReplaceAll(version, "+", "_") }

func (r *remoteChart) manifest(ctx context.Context, reference, version string) (manifest, error) {
	r.ManifestMediaTypes = []string{ocispec.MediaTypeImageManifest}
	_, body, err := r.Manifests().FetchReference(ctx, reference)
	if err != nil {
		return manifest{}, err
	}
	defer body.Close() //nolint:errcheck // only read
	data, err := io.ReadAll(io.LimitReader(body, maxManifest+1))
	if err != nil {
		return manifest{}, err
	}
	if len(data) > maxManifest {
		return manifest{}, explain("%w: %s: the manifest has more than %s", ErrTooLarge, r.address(), fetch.Size(maxManifest))
	}
	m := manifest{version: version, digest: digest.FromBytes(data)}
	if digestForm.MatchString(reference) && m.digest.String() != reference {
		return manifest{}, explain("%w: %s: the manifest that the registry has for %s has another digest", ErrInvalidArchive, r.address(), reference)
	}
	if err := json.Unmarshal(data, &m.content); err != nil {
		return manifest{}, explain("%w: %s: the manifest is not valid", ErrInvalidArchive, r.address())
	}
	return m, nil
}

// layers are the archive, and the provenance file if there is one.
func (m *manifest) layers() (ocispec.Descriptor, *ocispec.Descriptor, error) {
	var content, prov *ocispec.Descriptor
	for i := range m.content.Layers {
		switch layer := &m.content.Layers[i]; layer.MediaType {
		case archiveLayer, oldArchiveLayer:
			content = layer
		case provenanceLayer:
			prov = layer
		}
	}
	if content == nil {
		return ocispec.Descriptor{}, nil, fmt.Errorf("%w: what the registry has is not a Helm chart", ErrInvalidArchive)
	}
	return *content, prov, nil
}

// blob gets a layer, and checks that it is the one that the manifest names.
func (r *remoteChart) blob(ctx context.Context, layer ocispec.Descriptor, limit int64, draft *store.Draft) error {
	if !digestForm.MatchString(layer.Digest.String()) {
		return explain("%w: %s: the manifest names a layer without a SHA-256", ErrInvalidArchive, r.address())
	}
	if layer.Size > limit {
		return fetch.TooLarge(limit)
	}
	body, err := r.Blobs().Fetch(ctx, layer)
	if err != nil {
		return err
	}
	defer body.Close() //nolint:errcheck // only read
	if err := fetch.Copy(draft, body, limit); err != nil {
		return err
	}
	if sum := draft.EndPart(); sum != layer.Digest.Encoded() {
		return explain("%w: %s: a layer has the digest sha256:%s, and the manifest says %s", ErrInvalidArchive, r.address(), sum, layer.Digest)
	}
	return nil
}

func isNotFound(err error) bool {
	return errors.Is(err, errdef.ErrNotFound) || fetch.Status(err) == http.StatusNotFound
}
