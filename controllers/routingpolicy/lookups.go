package routingpolicy

import (
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// lookup is what the apiserver answered when it was asked for a Service.
type lookup struct {
	at time.Time
	// spec is the Service's; nil where it doesn't exist, or couldn't be read.
	spec   *corev1.ServiceSpec
	absent bool
	// observed: by what was observed of the variants, it existed.
	observed bool
}

// counts reports whether the answer still does: for a while, and that a Service doesn't exist no longer than until one is observed.
func (l lookup) counts(now time.Time, observed bool) bool {
	return now.Sub(l.at) < backendInterval && (!l.absent || !observed || l.observed)
}

// lacks says what of a backend isn't there; "" for nothing, also where that isn't known.
func (l lookup) lacks(b backend) string {
	name := b.service.Name
	if b.to.Namespace != "" || b.to.Host != "" && strings.Contains(b.to.Host, ".") {
		name = b.service.String()
	}
	switch {
	case l.absent:
		return fmt.Sprintf("Service %s does not exist", name)
	case l.spec == nil, l.spec.Type == corev1.ServiceTypeExternalName && len(l.spec.Ports) == 0: // which has those of the host that it names
		return ""
	}
	var ports []string
	for _, port := range l.spec.Ports {
		if int64(port.Port) == b.port {
			return ""
		}
		if len(ports) == maxPorts {
			ports[maxPorts-1] = "…"
			continue
		}
		ports = append(ports, strconv.Itoa(int(port.Port)))
	}
	if len(ports) == 0 {
		ports = []string{"none"}
	}
	return fmt.Sprintf("Service %s has no port %d (it has %s)", name, b.port, strings.Join(ports, ", "))
}

// maxPorts is how many ports of a Service a message names.
const maxPorts = 20

// lookups are the last answers for each policy, by Service, so that a Service that is missing isn't read more often than it is looked for,
// whatever has the policy reconciled meanwhile.
type lookups struct {
	mu       sync.Mutex
	byPolicy map[types.NamespacedName]map[types.NamespacedName]lookup
}

// of returns the answers for a policy, to be changed and kept.
func (l *lookups) of(policy types.NamespacedName) map[types.NamespacedName]lookup {
	l.mu.Lock()
	defer l.mu.Unlock()
	if answers := maps.Clone(l.byPolicy[policy]); answers != nil {
		return answers
	}
	return map[types.NamespacedName]lookup{}
}

// keep has answers count for a policy; none for one that has nothing to look for, or is gone.
func (l *lookups) keep(policy types.NamespacedName, answers map[types.NamespacedName]lookup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(answers) == 0 {
		delete(l.byPolicy, policy)
		return
	}
	if l.byPolicy == nil {
		l.byPolicy = map[types.NamespacedName]map[types.NamespacedName]lookup{}
	}
	l.byPolicy[policy] = answers
}
