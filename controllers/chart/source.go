package chart

import (
	"context"
	"fmt"
	"time"

	helmchart "helm.sh/helm/v3/pkg/chart"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart/fetch"
)

// defaultInterval is that of the API.
const defaultInterval = 10 * time.Minute

// sourceKey is what requests have in common that share a source. The fields from namespace on are only set when the
// reference names Secrets: then it takes the same namespace and the same rights to be the same request.
type sourceKey struct {
	address, name, digest, version    string
	insecure                          bool
	namespace, account                string
	secret, authorities, verification string
}

func keyOf(req Request, t target) sourceKey {
	key := sourceKey{address: t.address, name: t.name, digest: t.digest, version: t.version, insecure: t.insecure}
	if ref := req.Chart; named(ref) {
		key.namespace, key.account = req.Policy.Namespace, req.Account
		if ref.SecretRef != nil {
			key.secret = ref.SecretRef.Name
		}
		if ref.CASecretRef != nil {
			key.authorities = ref.CASecretRef.Name
		}
		if ref.Verify != nil {
			key.verification = ref.Verify.KeyringSecretRef.Name
		}
	}
	return key
}

// named tells whether a reference names Secrets.
func named(ref iter8v1alpha1.ChartReference) bool {
	return ref.SecretRef != nil || ref.CASecretRef != nil || ref.Verify != nil
}

// ask is one policy's part in a source.
type ask struct {
	interval  time.Duration
	reconcile string
}

// source is one request that any number of policies make, and what came of it. Sources.mu guards it.
type source struct {
	key     sourceKey
	target  target
	asks    map[types.NamespacedName]ask
	secrets func(context.Context) (Credentials, error)

	chart    *Chart
	previous *iter8v1alpha1.ResolvedChart
	err      error
	since    time.Time
	// archive is the digest under which the chart is in memory.
	archive string
	// resolved is when the repository was last asked with success.
	resolved time.Time

	// due is when the next attempt begins.
	due time.Time
	// demanded is the number of the last demand for one, so that it must not make do with what was fetched before.
	demanded int
	failures int
	running  bool
	cancel   context.CancelFunc
	// catalog is the index that has the chart, once it is known which: that takes the Secrets.
	catalog *catalog
}

// interval is the shortest that a policy asks for.
func (src *source) interval() time.Duration {
	shortest := time.Duration(0)
	for _, a := range src.asks {
		interval := a.interval
		if interval <= 0 {
			interval = defaultInterval
		}
		if shortest == 0 || interval < shortest {
			shortest = interval
		}
	}
	if shortest == 0 {
		return defaultInterval
	}
	return shortest
}

// catalogKnown tells whether the repository's index can be told without Secrets.
func (src *source) catalogKnown() bool {
	return src.target.url.Scheme != "oci" && src.key.namespace == ""
}

// loaded is a chart in memory, whichever sources it came from.
type loaded struct {
	helm *helmchart.Chart
	size int64
	// users are the sources that have it.
	users int
}

// admit finds room for a chart, in the place of the one that its source has. It takes one namespace with room among
// those whose policies ask for it.
func (s *Sources) admit(src *source, archive string, size int64) error {
	if _, ok := s.memory[archive]; ok {
		return nil
	}
	limit := s.config.Memory.Value()
	total := size
	for digest, l := range s.memory {
		if digest != src.archive || l.users > 1 {
			total += l.size
		}
	}
	least := limit
	for policy := range src.asks {
		least = min(least, s.held(policy.Namespace, src.archive))
	}
	switch {
	case least+size > limit/share:
		return fmt.Errorf("%w: with this chart, the files of the charts of one namespace take more memory than %s; charts.memory of the operator's configuration sets it",
			ErrTooLarge, fetch.Size(limit/share))
	case total > limit:
		return fmt.Errorf("%w: with this chart, the files of all charts take more memory than %s; charts.memory of the operator's configuration sets it",
			ErrTooLarge, fetch.Size(limit))
	}
	return nil
}

// held is what the charts of a namespace take, but for one.
func (s *Sources) held(namespace, except string) int64 {
	counted := map[string]bool{"": true, except: true}
	var sum int64
	for policy, src := range s.policies {
		if policy.Namespace == namespace && !counted[src.archive] {
			counted[src.archive] = true
			sum += s.memory[src.archive].size
		}
	}
	return sum
}

// share is the part of the memory that the charts of one namespace may take.
const share = 4

// use has a source use an archive in memory, in place of the one that it had.
func (s *Sources) use(src *source, archive string, helm *helmchart.Chart, size int64) *helmchart.Chart {
	l, ok := s.memory[archive]
	if !ok {
		l = &loaded{helm: helm, size: size}
		s.memory[archive] = l
	}
	l.users++
	s.drop(src.archive)
	src.archive = archive
	return l.helm
}

// drop has a chart leave memory with its last user.
func (s *Sources) drop(archive string) {
	if l, ok := s.memory[archive]; ok {
		l.users--
		if l.users == 0 {
			delete(s.memory, archive)
		}
	}
}
