package routingpolicy

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utilversion "k8s.io/apimachinery/pkg/util/version"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"iter8.tools/operator/controllers/desired"
	"iter8.tools/operator/controllers/notify"
)

// How often the cluster is asked what it serves; and where a kind isn't served in the versions that policies know, how soon after the
// last time at the latest, and how soon at all: what it lists as served follows a CustomResourceDefinition with a delay.
const (
	capabilitiesInterval = time.Minute
	unservedInterval     = 5 * time.Second
	unservedDelay        = time.Second
	// sharedAnswer is how long an answer, or that there is none, counts for others that ask: policies often ask at once. That a kind isn't served
	// counts only for those who asked before the cluster was: what is forgotten for it may have come back since.
	sharedAnswer = time.Second
)

// Capabilities knows in which versions the cluster serves the kinds that policies may render, and which version of Kubernetes it is. It
// asks once at the start and from then on in the background, so that no reconcile has to.
type Capabilities struct {
	discovery discovery.DiscoveryInterface
	kinds     []schema.GroupKind
	notify    func(types.NamespacedName)
	// unserved takes that a kind isn't served in the versions that policies know.
	unserved chan struct{}

	// asking is held while the cluster is asked, and guards when it last was, began, and did or failed to, answered, and failure, why it failed.
	asking          sync.Mutex
	began, answered time.Time
	failure         error

	mu    sync.Mutex
	last  desired.Cluster
	known bool
	// versions are those in which each kind is served: of the kinds, and of others that Versions or Ask was called with.
	versions map[schema.GroupKind][]string
	// wanted are kinds that Versions or Ask was called with before it was known in which versions they are served.
	wanted map[schema.GroupKind]bool
}

// NewCapabilities returns Capabilities of some kinds. It calls notify with notify.All whenever the answer has changed, which
// must not block.
func NewCapabilities(client discovery.DiscoveryInterface, kinds []schema.GroupKind, notify func(types.NamespacedName)) *Capabilities {
	return &Capabilities{discovery: client, kinds: kinds, notify: notify, unserved: make(chan struct{}, 1),
		versions: map[schema.GroupKind][]string{}, wanted: map[schema.GroupKind]bool{}}
}

// Cluster returns "group/version" and "group/version/Kind" of what is served, sorted, and the version of Kubernetes. It asks for that only
// before it ever has.
func (c *Capabilities) Cluster() (desired.Cluster, error) {
	c.mu.Lock()
	last, known := c.last, c.known
	c.mu.Unlock()
	if known {
		return last, nil
	}
	return c.share(func() bool { return true })
}

// share returns an answer of just now that is as it is needed, and else asks. Where several ask, one does, and the others wait for what it is told.
func (c *Capabilities) share(suffices func() bool) (desired.Cluster, error) {
	c.asking.Lock()
	defer c.asking.Unlock()
	if time.Since(c.answered) < sharedAnswer && (c.failure != nil || suffices()) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return c.last, c.failure
	}
	c.began = time.Now()
	cluster, err := c.refresh()
	c.answered, c.failure = time.Now(), err
	return cluster, err
}

// Versions returns in which versions a kind is served, as far as that is known; it doesn't ask, but has it asked soon. Where there are
// others by then, or it wasn't known at all, notify is called.
func (c *Capabilities) Versions(kind schema.GroupKind) []string {
	select {
	case c.unserved <- struct{}{}:
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.want(kind)
	return c.versions[kind]
}

// Served returns the kinds that policies may render and the cluster serves, each in the version that it prefers. It asks only before it ever
// has.
func (c *Capabilities) Served() ([]schema.GroupVersionKind, error) {
	if _, err := c.Cluster(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var served []schema.GroupVersionKind
	for _, kind := range c.kinds {
		if versions := c.versions[kind]; len(versions) > 0 {
			served = append(served, kind.WithVersion(versions[0]))
		}
	}
	return served, nil
}

// want has the versions of a kind asked for from now on. The mutex must be held.
func (c *Capabilities) want(kind schema.GroupKind) {
	if _, known := c.versions[kind]; !known {
		c.wanted[kind] = true
	}
}

// Ask asks the cluster in which versions it serves a kind, for what is too important to go by an answer of a minute ago; that it serves it, by
// one of a second ago, counts.
func (c *Capabilities) Ask(kind schema.GroupKind) ([]string, error) {
	c.mu.Lock()
	c.want(kind)
	c.mu.Unlock()
	asked := time.Now()
	if _, err := c.share(func() bool { return c.serves(kind) || c.knows(kind) && c.began.After(asked) }); err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.versions[kind], nil
}

// serves reports whether by the last answer a kind is served.
func (c *Capabilities) serves(kind schema.GroupKind) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.versions[kind]) > 0
}

// knows reports whether the last answer was about a kind.
func (c *Capabilities) knows(kind schema.GroupKind) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, known := c.versions[kind]
	return known
}

// Start keeps the answer fresh until the context ends.
func (c *Capabilities) Start(ctx context.Context) error {
	for {
		select {
		case <-c.unserved: // which the answer is for
		default:
		}
		if _, err := c.refresh(); err != nil {
			log.FromContext(ctx).Error(err, "Asking what the cluster serves")
		}
		asked := time.Now()
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait.Jitter(capabilitiesInterval, 0.1)):
		case <-c.unserved:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(max(unservedDelay, unservedInterval-time.Since(asked))):
			}
		}
	}
}

// NeedLeaderElection keeps the answer of a standby fresh.
func (c *Capabilities) NeedLeaderElection() bool { return false }

func (c *Capabilities) refresh() (desired.Cluster, error) {
	c.mu.Lock()
	kinds := slices.Concat(c.kinds, slices.Collect(maps.Keys(c.versions)), slices.Collect(maps.Keys(c.wanted)))
	c.mu.Unlock()
	cluster, versions, err := c.ask(kinds)
	if err != nil {
		return desired.Cluster{}, err
	}
	c.mu.Lock()
	changed := c.known && !reflect.DeepEqual(c.last, cluster)
	for _, kind := range kinds {
		before, known := c.versions[kind]
		changed = changed || c.wanted[kind] || known && !slices.Equal(before, versions[kind])
		c.versions[kind] = versions[kind]
		delete(c.wanted, kind)
	}
	c.last, c.known = cluster, true
	c.mu.Unlock()
	if changed {
		c.notify(notify.All)
	}
	return cluster, nil
}

func (c *Capabilities) ask(kinds []schema.GroupKind) (desired.Cluster, map[schema.GroupKind][]string, error) {
	versions, err := c.versionsOf(kinds)
	if err != nil {
		return desired.Cluster{}, nil, err
	}
	version, err := c.discovery.ServerVersion()
	if err != nil {
		return desired.Cluster{}, nil, fmt.Errorf("asking for the version of Kubernetes: %w", err)
	}
	parsed, err := utilversion.ParseGeneric(version.GitVersion)
	if err != nil {
		return desired.Cluster{}, nil, fmt.Errorf("the version of Kubernetes, %q: %w", version.GitVersion, err)
	}
	// What charts choose by is the minor version. A patch of the control plane renders nothing anew.
	return desired.Cluster{APIVersions: c.apiVersions(versions), KubeVersion: fmt.Sprintf("v%d.%d.0", parsed.Major(), parsed.Minor())}, versions, nil
}

// versionsOf returns the versions in which each kind is served, as the cluster lists them: the preferred one first.
func (c *Capabilities) versionsOf(kinds []schema.GroupKind) (map[schema.GroupKind][]string, error) {
	groups, err := c.discovery.ServerGroups()
	if err != nil {
		return nil, fmt.Errorf("listing API groups: %w", err)
	}
	versions := map[schema.GroupKind][]string{}
	for _, group := range groups.Groups {
		if !slices.ContainsFunc(kinds, func(k schema.GroupKind) bool { return k.Group == group.Name }) {
			continue
		}
		for _, version := range group.Versions {
			resources, err := c.discovery.ServerResourcesForGroupVersion(version.GroupVersion)
			if err != nil {
				return nil, fmt.Errorf("listing resources of %s: %w", version.GroupVersion, err)
			}
			for _, resource := range resources.APIResources { // subresources have the kind too
				kind := schema.GroupKind{Group: group.Name, Kind: resource.Kind}
				if slices.Contains(kinds, kind) && !slices.Contains(versions[kind], version.Version) {
					versions[kind] = append(versions[kind], version.Version)
				}
			}
		}
	}
	return versions, nil
}

// apiVersions returns "group/version" and "group/version/Kind" of the kinds that policies may render, sorted.
func (c *Capabilities) apiVersions(versions map[schema.GroupKind][]string) []string {
	var served []string
	for _, kind := range c.kinds {
		for _, version := range versions[kind] {
			groupVersion := schema.GroupVersion{Group: kind.Group, Version: version}.String()
			served = append(served, groupVersion, groupVersion+"/"+kind.Kind)
		}
	}
	slices.Sort(served)
	return slices.Compact(served)
}
