package routingpolicy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
)

// +kubebuilder:rbac:groups="",resources=services,verbs=get

const (
	// backendTimeout is how long the apiserver may take to answer for all Services of a policy. What isn't known by then blocks nothing.
	backendTimeout = 5 * time.Second
	// backendInterval is how often a Service that is missing is looked for.
	backendInterval = 30 * time.Second
	// maxMissing is how many backends a message names.
	maxMissing = 10
)

// backends looks for the Services and ports that clients are to be sent to and that the routes which stand don't name yet, so that a
// flip reads nothing. While one is missing nothing is applied. What can't be read is left to the gateway to report, and what Iter8's
// ConfigMaps render isn't looked at: it goes on in each state in which it did.
func (r *Reconciler) backends(ctx context.Context, s *scope) outcome {
	if s.owner().ConvertedFrom != "" {
		return advance
	}
	wanted := r.newBackends(s)
	if len(wanted) == 0 {
		r.lookups.keep(s.name(), nil)
		return advance
	}
	found := r.lookups.of(s.name())
	for service, answer := range found {
		answer.observed = answer.observed && s.seesAvailable(service) // it was, as it went
		found[service] = answer
	}
	if unread := s.unreadServices(wanted, found); len(unread) > 0 {
		r.withdraw(ctx, s) // what may not stand doesn't wait for the answers
		bounded, cancel := context.WithTimeout(ctx, backendTimeout)
		defer cancel()
		for _, service := range unread {
			found[service] = r.lookUp(bounded, s, service, found[service])
		}
	}
	maps.DeleteFunc(found, func(service types.NamespacedName, answer lookup) bool {
		return !answer.counts(s.now, s.seesAvailable(service))
	})
	r.lookups.keep(s.name(), found)
	var messages []string
	for _, b := range wanted {
		answer := found[b.service]
		if lacks := answer.lacks(b); lacks != "" {
			s.retryAfter(answer.at.Add(backendInterval).Sub(s.now))
			messages = append(messages, fmt.Sprintf("%s can't send clients of rule %s to %s: %s", b.route, b.rule, b.to, lacks))
		}
	}
	if len(messages) == 0 {
		return advance
	}
	if more := len(messages) - maxMissing; more > 0 {
		messages = append(messages[:maxMissing], fmt.Sprintf("and %d more", more))
	}
	return s.fail(iter8v1alpha1.ConditionApplied, iter8v1alpha1.ReasonBackendNotFound, errors.New(strings.Join(messages, "; ")))
}

// servicePort is a port of a Service.
type servicePort struct {
	service types.NamespacedName
	port    int64
}

// backend is a servicePort that clients are to be sent to, and the first rule that does so.
type backend struct {
	servicePort
	route, rule string
	to          routes.Destination
}

// newBackends returns what clients are to be sent to by the routes that are to be applied, each once, but for what the same route
// names already as it stands.
func (r *Reconciler) newBackends(s *scope) []backend {
	named := map[apply.Key]map[servicePort]bool{}
	for _, o := range r.standing(s) {
		ports := map[servicePort]bool{}
		for _, primary := range routes.Primaries(o.object) {
			if b, ok := backendOf(primary.To, s.policy.Namespace); ok {
				ports[b] = true
			}
		}
		named[apply.Key{GroupKind: o.kind.GroupKind(), Name: o.name.Name}] = ports
	}
	watched, beyond := r.watchedVersions(s, s.inventory()), r.looksBeyond(s)
	var wanted []backend
	for _, manifest := range s.manifests {
		key := apply.Key{GroupKind: manifest.GroupVersionKind().GroupKind(), Name: manifest.GetName()}
		if !r.Routes.State(watched[key.GroupKind], s.policy.Namespace).Synced {
			continue // it isn't known what stands, so that nothing of the kind is applied
		}
		for _, primary := range routes.Primaries(manifest) {
			port, ok := backendOf(primary.To, s.policy.Namespace)
			if !ok || named[key][port] || port.service.Namespace != s.policy.Namespace && !beyond ||
				slices.ContainsFunc(wanted, func(b backend) bool { return b.servicePort == port }) {
				continue
			}
			wanted = append(wanted, backend{port, manifest.GetKind() + " " + manifest.GetName(), primary.Rule, primary.To})
		}
	}
	return wanted
}

// backendOf returns the port of a Service that a destination is, and reports whether it is one. NAME.NAMESPACE of another namespace is
// none: Istio takes such a host as it stands, and it may well be one outside of the cluster.
func backendOf(to routes.Destination, namespace string) (servicePort, bool) {
	service, ok := to.Service(namespace)
	if !ok || to.Port == 0 || strings.Count(to.Host, ".") == 1 && service.Namespace != namespace {
		return servicePort{}, false
	}
	valid := len(validation.IsDNS1123Label(service.Name)) == 0 && len(validation.IsDNS1123Label(service.Namespace)) == 0
	return servicePort{service, to.Port}, valid
}

// looksBeyond reports whether Services of other namespaces are looked for: only where the operator allows references to these, and
// acts for the policy itself. Else a policy could find out what there is in namespaces that its account, or its author, may not read.
func (r *Reconciler) looksBeyond(s *scope) bool {
	account, err := r.Accounts.For(s.policy.Namespace, s.policy.Spec.ServiceAccountName)
	return err == nil && account == r.Accounts.Own() && r.AllowCrossNamespace
}

// unreadServices returns the Services of backends that are to be read, each once: those without an answer that still counts, and,
// unless one is known to be missing, those that were found before, since they may have gone meanwhile.
func (s *scope) unreadServices(wanted []backend, found map[types.NamespacedName]lookup) []types.NamespacedName {
	counts := func(service types.NamespacedName) bool { return found[service].counts(s.now, s.seesAvailable(service)) }
	held := slices.ContainsFunc(wanted, func(b backend) bool { return counts(b.service) && found[b.service].lacks(b) != "" })
	var unread []types.NamespacedName
	for _, b := range wanted {
		again := !counts(b.service) || !held && found[b.service].spec != nil
		if again && !slices.Contains(unread, b.service) {
			unread = append(unread, b.service)
		}
	}
	return unread
}

// lookUp reads a Service. Where that fails it is as it was last known, unless that is for good.
func (r *Reconciler) lookUp(ctx context.Context, s *scope, service types.NamespacedName, was lookup) lookup {
	live, answer := &corev1.Service{}, lookup{at: s.now, observed: s.seesAvailable(service)}
	switch err := r.Reader.Get(ctx, service, live); {
	case err == nil:
		answer.spec = &live.Spec
	case apierrors.IsNotFound(err):
		answer.absent = true
	case !apierrors.IsForbidden(err) && !apierrors.IsUnauthorized(err):
		answer.spec, answer.absent = was.spec, was.absent
	}
	return answer
}

// seesAvailable reports whether a Service is known to exist, since a variant that lists it is available.
func (s *scope) seesAvailable(service types.NamespacedName) bool {
	wanted := mirrors.Resource{Kind: "Service", Namespace: service.Namespace, Name: service.Name}
	return slices.ContainsFunc(s.state.Mirrors().Variants, func(v mirrors.Variant) bool {
		return v.State == mirrors.Available && slices.ContainsFunc(v.Resources, func(r mirrors.Resource) bool {
			return r.Group == wanted.Group && r.Kind == wanted.Kind && r.Namespace == wanted.Namespace && r.Name == wanted.Name
		})
	})
}
