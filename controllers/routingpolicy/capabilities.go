package routingpolicy

import (
	"context"
	"fmt"
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

// capabilitiesInterval is how often the cluster is asked what it serves.
const capabilitiesInterval = time.Minute

// Capabilities knows in which versions the cluster serves the kinds that policies may render, and which version of Kubernetes it is. It
// asks once at the start and from then on in the background, so that no reconcile has to.
type Capabilities struct {
	discovery discovery.DiscoveryInterface
	kinds     []schema.GroupKind
	notify    func(types.NamespacedName)

	mu    sync.Mutex
	last  desired.Cluster
	known bool
}

// NewCapabilities returns Capabilities of some kinds. It calls notify with notify.All whenever the answer has changed, which
// must not block.
func NewCapabilities(client discovery.DiscoveryInterface, kinds []schema.GroupKind, notify func(types.NamespacedName)) *Capabilities {
	return &Capabilities{discovery: client, kinds: kinds, notify: notify}
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
	return c.refresh()
}

// Start keeps the answer fresh until the context ends.
func (c *Capabilities) Start(ctx context.Context) error {
	wait.JitterUntilWithContext(ctx, func(ctx context.Context) {
		if _, err := c.refresh(); err != nil {
			log.FromContext(ctx).Error(err, "Asking what the cluster serves")
		}
	}, capabilitiesInterval, 0.1, true)
	return nil
}

// NeedLeaderElection keeps the answer of a standby fresh.
func (c *Capabilities) NeedLeaderElection() bool { return false }

func (c *Capabilities) refresh() (desired.Cluster, error) {
	cluster, err := c.ask()
	if err != nil {
		return desired.Cluster{}, err
	}
	c.mu.Lock()
	changed := c.known && !reflect.DeepEqual(c.last, cluster)
	c.last, c.known = cluster, true
	c.mu.Unlock()
	if changed {
		c.notify(notify.All)
	}
	return cluster, nil
}

func (c *Capabilities) ask() (desired.Cluster, error) {
	served, err := c.apiVersions()
	if err != nil {
		return desired.Cluster{}, err
	}
	version, err := c.discovery.ServerVersion()
	if err != nil {
		return desired.Cluster{}, fmt.Errorf("asking for the version of Kubernetes: %w", err)
	}
	parsed, err := utilversion.ParseGeneric(version.GitVersion)
	if err != nil {
		return desired.Cluster{}, fmt.Errorf("the version of Kubernetes, %q: %w", version.GitVersion, err)
	}
	// What charts choose by is the minor version. A patch of the control plane renders nothing anew.
	return desired.Cluster{APIVersions: served, KubeVersion: fmt.Sprintf("v%d.%d.0", parsed.Major(), parsed.Minor())}, nil
}

func (c *Capabilities) apiVersions() ([]string, error) {
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
