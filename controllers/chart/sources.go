package chart

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart/fetch"
	"iter8.tools/operator/controllers/chart/store"
)

// Request is what a policy asks for.
type Request struct {
	// Policy that asks. It has one request at a time: the next one takes its place.
	Policy types.NamespacedName
	// Chart is the policy's reference.
	Chart iter8v1alpha1.ChartReference
	// Interval between two resolutions; 0 is the API's default.
	Interval time.Duration
	// Reconcile is anything; when a policy comes with another one than before, its chart is resolved at once.
	Reconcile string
	// Account is whose rights Secrets reads with. Requests of different accounts have nothing in common when they
	// name Secrets.
	Account string
	// Secrets gives what the reference's Secrets hold; see ReadSecrets. It is called in the background, before each
	// attempt, if the reference names any.
	Secrets func(context.Context) (Credentials, error)
}

// Resolution is what is known of a request's chart.
type Resolution struct {
	// Chart is the last one that was resolved; nil if there was none.
	Chart *Chart
	// Err is why the newest attempt failed. It doesn't take the Chart away.
	Err error
	// Since is when the attempts began to fail.
	Since time.Time
	// Pending: nothing is known yet, neither a Chart nor an Err.
	Pending bool
	// Previous is what Chart took the place of, while this process ran or from what was kept on disk: another version,
	// or another digest of the same one.
	Previous *iter8v1alpha1.ResolvedChart
}

// Options of Sources.
type Options struct {
	// BuiltIn are the charts of references without a repository.
	BuiltIn *BuiltIn
	// Charts is what the operator's configuration says of the others.
	Charts configv1alpha1.Charts
	// Clock is the real one unless a test brings another.
	Clock clock.Clock
	// Random gives numbers from 0 to 1, for the jitter of intervals.
	Random func() float64
	// Resolver of host names; nil is the system's.
	Resolver *net.Resolver
	// Notify is called with each policy whose Resolution changed. It must not block.
	Notify func(policy types.NamespacedName)
}

// Sources resolves charts from repositories, in the background, for all policies together.
type Sources struct {
	builtIn  *BuiltIn
	config   configv1alpha1.Charts
	rules    rules
	fetching fetch.Options
	clock    clock.Clock
	random   func() float64
	// kick wakes the schedule.
	kick chan struct{}
	// loading is taken by whoever decodes an index or a chart: one at a time, for the memory that it takes.
	loading chan struct{}

	notify func(policy types.NamespacedName)

	mu       sync.Mutex
	policies map[types.NamespacedName]*source
	sources  map[sourceKey]*source
	catalogs map[catalogKey]*catalog
	memory   map[string]*loaded
	slots    slots
	cache    *store.Store
	// demands counts the times that a policy asked for a resolution at once.
	demands int
}

// NewSources checks the configuration. Nothing is fetched before Start.
func NewSources(o Options) (*Sources, error) {
	if err := o.Charts.Validate(); err != nil {
		return nil, err
	}
	r, err := compile(o.Charts.AllowedRepositories, o.Charts.AllowInsecure)
	if err != nil {
		return nil, err
	}
	allowed, err := configv1alpha1.Prefixes(o.Charts.AllowedAddresses)
	if err != nil {
		return nil, err
	}
	denied, err := configv1alpha1.Prefixes(o.Charts.DeniedAddresses)
	if err != nil {
		return nil, err
	}
	s := &Sources{
		builtIn: o.BuiltIn,
		config:  o.Charts,
		rules:   r,
		fetching: fetch.Options{
			Addresses: fetch.Addresses{Allowed: allowed, Denied: denied},
			Timeout:   o.Charts.Limits.Timeout.Duration,
			Redirects: o.Charts.Limits.Redirects,
			Resolver:  o.Resolver,
		},
		clock:    o.Clock,
		random:   o.Random,
		notify:   o.Notify,
		kick:     make(chan struct{}, 1),
		loading:  make(chan struct{}, 1),
		policies: map[types.NamespacedName]*source{},
		sources:  map[sourceKey]*source{},
		catalogs: map[catalogKey]*catalog{},
		memory:   map[string]*loaded{},
		slots:    newSlots(),
	}
	if s.notify == nil {
		s.notify = func(types.NamespacedName) {}
	}
	if s.clock == nil {
		s.clock = clock.RealClock{}
	}
	if s.random == nil {
		s.random = rand.Float64
	}
	return s, nil
}

// NeedLeaderElection is false: nothing is fetched that no policy asks for, and that only the leader does.
func (s *Sources) NeedLeaderElection() bool { return false }

// Resolve tells what is known of a policy's chart, and has it found out in the background. It doesn't wait for
// anything.
func (s *Sources) Resolve(req Request) Resolution {
	if req.Chart.Repository == "" {
		s.Forget(req.Policy)
		c, err := s.builtIn.Resolve(req.Chart)
		return Resolution{Chart: c, Err: err}
	}
	t, err := s.rules.target(req.Chart)
	if err != nil {
		s.Forget(req.Policy)
		return Resolution{Err: err}
	}
	if named(req.Chart) && req.Secrets == nil {
		s.Forget(req.Policy)
		return Resolution{Err: fmt.Errorf("%w: the Secrets of %s can't be read here", ErrInvalidSecret, req.Policy)}
	}

	s.mu.Lock()
	defer s.mu.Unlock()
	src := s.ask(req, t)
	return Resolution{Chart: src.chart, Err: src.err, Since: src.since, Pending: src.chart == nil && src.err == nil, Previous: src.previous}
}

// ask has a policy ask for a target.
func (s *Sources) ask(req Request, t target) *source {
	key := keyOf(req, t)
	before := s.policies[req.Policy]
	src, known := s.sources[key]
	if !known {
		src = &source{key: key, target: t, asks: map[types.NamespacedName]ask{}, due: s.clock.Now()}
		if src.catalogKnown() {
			src.catalog = s.catalog(catalogKey{address: t.address, insecure: t.insecure})
		}
		s.sources[key] = src
	}
	if before != src {
		if before != nil {
			s.leave(req.Policy, before)
		}
		s.policies[req.Policy] = src
	}
	was, asked := src.asks[req.Policy]
	src.asks[req.Policy] = ask{interval: req.Interval, reconcile: req.Reconcile}
	src.secrets = req.Secrets
	switch {
	case !known:
		s.wake()
	case asked && was.reconcile != req.Reconcile:
		s.demands++
		src.demanded = s.demands
		src.due = s.clock.Now()
		s.wake()
	case !asked && errors.Is(src.err, ErrTooLarge):
		src.due = s.clock.Now() // this policy's namespace may have room in memory where the others' hasn't
		s.wake()
	case !asked || was.interval != req.Interval:
		// A shorter interval than anybody had before brings the next resolution forward.
		if next := src.resolved.Add(src.interval()); src.err == nil && !src.resolved.IsZero() && next.Before(src.due) {
			src.due = next
			s.wake()
		}
	}
	return src
}

// Forget ends a policy's request. What nobody asks for any more is dropped, and its fetches are broken off.
func (s *Sources) Forget(policy types.NamespacedName) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if src, ok := s.policies[policy]; ok {
		delete(s.policies, policy)
		s.leave(policy, src)
	}
}

func (s *Sources) leave(policy types.NamespacedName, src *source) {
	delete(src.asks, policy)
	if len(src.asks) > 0 {
		return
	}
	delete(s.sources, src.key)
	s.drop(src.archive)
	src.archive = ""
	if src.cancel != nil {
		src.cancel()
	}
	s.leaveCatalog(src)
}

// wake has the schedule look again.
func (s *Sources) wake() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// notifyPolicies notifies the policies of a source.
func (s *Sources) notifyPolicies(src *source) {
	s.mu.Lock()
	policies := slices.Collect(maps.Keys(src.asks))
	s.mu.Unlock()
	for _, policy := range policies {
		s.notify(policy)
	}
}

// opened gives the cache, which is opened when it is needed first: an operator that only renders built-in charts
// needs no folder.
func (s *Sources) opened() (*store.Store, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cache != nil {
		return s.cache, nil
	}
	cache, err := store.Open(s.config.CacheDir, s.config.CacheSize.Value())
	if err != nil {
		return nil, err
	}
	s.cache = cache
	return cache, nil
}

// errGone ends an attempt whose source nobody asks for any more.
var errGone = errors.New("no policy asks for the chart any more")
