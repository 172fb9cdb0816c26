package routingpolicy

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"iter8.tools/operator/controllers/notify"
)

// capabilitiesInterval is how often the cluster is asked which kinds of routes it serves.
const capabilitiesInterval = time.Minute

// Capabilities knows in which versions the cluster serves the kinds that policies may render. It asks once at
// the start and from then on in the background, so that no reconcile has to.
type Capabilities struct {
	discovery discovery.DiscoveryInterface
	kinds     []schema.GroupKind
	notify    func(types.NamespacedName)

	mu       sync.Mutex
	versions []string
	known    bool
}

// NewCapabilities returns Capabilities of some kinds. It calls notify with notify.All whenever the answer has changed, which
// must not block.
func NewCapabilities(client discovery.DiscoveryInterface, kinds []schema.GroupKind, notify func(types.NamespacedName)) *Capabilities {
	return &Capabilities{discovery: client, kinds: kinds, notify: notify}
}

// APIVersions returns "group/version" and "group/version/Kind" of what is served, sorted, and asks the cluster
// for that only before it ever has been.
func (c *Capabilities) APIVersions() ([]string, error) {
	c.mu.Lock()
	versions, known := c.versions, c.known
	c.mu.Unlock()
	if known {
		return versions, nil
	}
	return c.refresh()
}

// Start keeps the answer fresh until the context ends.
func (c *Capabilities) Start(ctx context.Context) error {
	wait.JitterUntilWithContext(ctx, func(ctx context.Context) {
		if _, err := c.refresh(); err != nil {
			log.FromContext(ctx).Error(err, "Asking which kinds of routes the cluster serves")
		}
	}, capabilitiesInterval, 0.1, true)
	return nil
}

// NeedLeaderElection keeps the answer of a standby fresh.
func (c *Capabilities) NeedLeaderElection() bool { return false }

func (c *Capabilities) refresh() ([]string, error) {
	versions, err := c.ask()
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	changed := c.known && !slices.Equal(c.versions, versions)
	c.versions, c.known = versions, true
	c.mu.Unlock()
	if changed {
		c.notify(notify.All)
	}
	return versions, nil
}

func (c *Capabilities) ask() ([]string, error) {
	groups, err := c.discovery.ServerGroups()
	if err != nil {
		return nil, fmt.Errorf("listing API groups: %w", err)
	}
	var versions []string
	for _, group := range groups.Groups {
		if !slices.ContainsFunc(c.kinds, func(k schema.GroupKind) bool { return k.Group == group.Name }) {
			continue
		}
		for _, version := range group.Versions {
			resources, err := c.discovery.ServerResourcesForGroupVersion(version.GroupVersion)
			if err != nil {
				return nil, fmt.Errorf("listing resources of %s: %w", version.GroupVersion, err)
			}
			served := false
			for _, resource := range resources.APIResources {
				if slices.Contains(c.kinds, schema.GroupKind{Group: group.Name, Kind: resource.Kind}) {
					versions = append(versions, version.GroupVersion+"/"+resource.Kind)
					served = true
				}
			}
			if served {
				versions = append(versions, version.GroupVersion)
			}
		}
	}
	slices.Sort(versions)
	return slices.Compact(versions), nil
}
