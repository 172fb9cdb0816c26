package routingpolicy

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/conditions"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
)

// maxWarnings is what the API allows of status.warnings.
const maxWarnings = 8

// lookAtParents warns of Services whose clients a route of the policy routes, and that select Pods of a triggering variant which isn't to
// answer clients: requests that don't go by the route, and all once it is gone, get there.
//
//	what the route attaches to ─► its Service's selector ─┬─ matches the Pods of a triggering variant, to which the route sends no clients: a warning
//	                                                      └─ what isn't known of either: the warning that there was, if any
//
// The Services are read after all that is to be written, once for a spec and the parents that it has, and again with each interval only
// where there is a warning, or one of them isn't there or can't be read. So a flip reads nothing.
func (r *Reconciler) lookAtParents(ctx context.Context, s *scope, ended outcome) {
	if ended == hold || s.suspended != "" || s.deleted() || s.interruption != nil && !s.subjectGone {
		return
	}
	known := r.parents.of(s.name())
	if s.gated == nil && s.inputs != "" && !known.isDue(s) { // it is unchanged
		r.awaitParents(s, known)
		return
	}
	parents := r.parentsOf(s)
	none := len(parents) == 0 && s.settled()
	if s.subjectGone || none && known != nil && known.generation != s.policy.Generation {
		r.parents.keep(s.name(), nil)
	}
	if s.subjectGone || none {
		s.warned = true
		return
	}
	if s.subject == nil || len(parents) == 0 {
		return
	}
	input := s.state.Mirrors()
	services := servicesToRead(parents, input)
	switch {
	case known == nil || known.isDue(s) || known.generation != s.policy.Generation:
		known = r.readParents(ctx, s, services, known)
	default: // what other states of the variants had read is not read again by the next flip
		known.add(r.readParents(ctx, s, known.lacking(services), known))
	}
	s.warned, s.warnings = true, s.warnParents(parents, input, known)
	known.again = known.again || len(s.warnings) > 0
	r.parents.keep(s.name(), known)
	r.awaitParents(s, known)
}

// awaitParents comes back to what isn't as it should be. After a start, what the status warns of is looked at no sooner than it would have
// been.
func (r *Reconciler) awaitParents(s *scope, known *parentLookup) {
	if known == nil && len(s.policy.Status.Warnings) > 0 {
		known = &parentLookup{at: s.now, again: true}
		r.parents.keep(s.name(), known)
	}
	if known != nil && known.again {
		s.retryAfter(known.at.Add(interval(s.policy)).Sub(s.now))
	}
}

// parentService is a Service whose clients a route routes, and candidates the variants that it shouldn't select.
type parentService struct {
	types.NamespacedName
	route      string
	candidates []string
}

// parentsOf returns the Services whose clients the routes that stand route, each once.
func (r *Reconciler) parentsOf(s *scope) []parentService {
	if s.subject == nil {
		return nil
	}
	all := r.standing(s)
	input := s.state.Mirrors()
	input.Manifests = objectsOf(all)
	decisions, beyond := mirrors.Decide(input), r.looksBeyond(s)
	var parents []parentService
	for _, o := range all {
		for _, service := range routes.ParentServices(o.object, s.policy.Namespace) {
			if service.Namespace != s.policy.Namespace && !beyond {
				continue
			}
			candidates := s.shouldNotAnswer(decisions, all, service)
			if len(candidates) > 0 && !slices.ContainsFunc(parents, func(p parentService) bool { return p.NamespacedName == service }) {
				parents = append(parents, parentService{service, o.kind.Kind + " " + o.name.Name, candidates})
			}
		}
	}
	return parents
}

// shouldNotAnswer returns the triggering variants to which the routes of a Service's clients send none of them. Where no variant is named in
// spec.trigger, the first is the one that is there before others come.
func (s *scope) shouldNotAnswer(decisions mirrors.Decisions, all []standing, service types.NamespacedName) []string {
	answering := map[string]bool{}
	for _, o := range all {
		if !slices.Contains(routes.ParentServices(o.object, s.policy.Namespace), service) {
			continue
		}
		for _, primary := range routes.Primaries(o.object) {
			for _, name := range decisions.Owners(primary.To, s.policy.Namespace) {
				answering[name] = true
			}
		}
	}
	var names []string
	for i, v := range s.state.Mirrors().Variants {
		if v.Name != "" && v.Triggers && !answering[v.Name] && (i > 0 || s.policy.Spec.Trigger != nil) {
			names = append(names, v.Name)
		}
	}
	return names
}

// servicesToRead are the parents, and the Services of those variants of which nothing but these can tell their Pods.
func servicesToRead(parents []parentService, input mirrors.Input) []types.NamespacedName {
	var services []types.NamespacedName
	for _, p := range parents {
		services = append(services, p.NamespacedName)
		for _, v := range input.Variants {
			if slices.Contains(p.candidates, v.Name) && !v.MayHaveWorkload() {
				services = append(services, servicesOf(v, input.Namespace)...)
			}
		}
	}
	return services
}

// servicesOf are the Services of the policy's namespace that a variant lists.
func servicesOf(v mirrors.Variant, namespace string) []types.NamespacedName {
	var services []types.NamespacedName
	for _, r := range v.Resources {
		if r.Group == "" && r.Kind == "Service" && r.Namespace == namespace {
			services = append(services, types.NamespacedName{Namespace: r.Namespace, Name: r.Name})
		}
	}
	return services
}

// warnParents warns of each of the Services that selects Pods of a variant that it shouldn't.
func (s *scope) warnParents(parents []parentService, input mirrors.Input, known *parentLookup) []iter8v1alpha1.Warning {
	var warnings []iter8v1alpha1.Warning
	for _, p := range parents {
		for _, v := range input.Variants {
			if !slices.Contains(p.candidates, v.Name) || len(warnings) == maxWarnings {
				continue
			}
			warning := s.warningOf(p, v.Name)
			selects, certain := known.selects(p.NamespacedName, v, input.Namespace)
			if !certain {
				selects = slices.ContainsFunc(s.policy.Status.Warnings, func(was iter8v1alpha1.Warning) bool { return sameWarning(was, warning) })
			}
			if selects {
				warnings = append(warnings, warning)
			}
		}
	}
	return warnings
}

func sameWarning(a, b iter8v1alpha1.Warning) bool {
	return a.Reason == b.Reason && a.Object == b.Object && a.Variant == b.Variant
}

func (s *scope) warningOf(p parentService, variant string) iter8v1alpha1.Warning {
	name := p.Name
	if p.Namespace != s.policy.Namespace {
		name = p.String()
	}
	return iter8v1alpha1.Warning{
		Reason: iter8v1alpha1.ReasonParentSelectsVariant, Variant: variant,
		Object: routes.Name("Service", name),
		Message: conditions.Truncate(fmt.Sprintf("Service %s, whose clients %s routes, selects Pods of variant %s too: requests that don't go by the route get there, "+
			"and all do once it is gone; have the Service select only what is to answer clients", name, p.route, variant), maxMessage),
	}
}

// parentLookup is what is known of the Services whose clients a policy's routes route.
type parentLookup struct {
	// at is when these services were read, for a generation of the policy.
	at         time.Time
	generation int64
	services   []types.NamespacedName
	// selectors are theirs: empty for one that selects nothing or doesn't exist. One that could not be read isn't there.
	selectors map[types.NamespacedName]map[string]string
	// again: they are to be read again after an interval.
	again bool
}

// isDue reports whether the Services are to be read again.
func (l *parentLookup) isDue(s *scope) bool {
	return l != nil && l.again && !s.now.Before(l.at.Add(interval(s.policy)))
}

// lacking returns those of some Services that nothing has tried to read.
func (l *parentLookup) lacking(services []types.NamespacedName) []types.NamespacedName {
	return slices.DeleteFunc(slices.Clone(services), func(service types.NamespacedName) bool {
		return slices.Contains(l.services, service)
	})
}

// add adds what was read beside it.
func (l *parentLookup) add(read *parentLookup) {
	l.services = append(l.services, read.services...)
	maps.Copy(l.selectors, read.selectors)
	l.again = l.again || read.again
}

// selects reports whether a Service selects Pods of a variant, and whether that is certain.
func (l *parentLookup) selects(service types.NamespacedName, v mirrors.Variant, namespace string) (selects, certain bool) {
	selector, ok := l.selectors[service]
	if !ok || len(selector) == 0 {
		return false, ok
	}
	matches := func(pods map[string]string) bool { return labels.SelectorFromSet(selector).Matches(labels.Set(pods)) }
	certain = true
	for _, r := range v.Resources {
		if r.PodLabels != nil && matches(r.PodLabels) {
			return true, true
		}
		certain = certain && (r.PodLabels != nil || !r.MayHavePods())
	}
	if v.MayHaveWorkload() {
		return false, certain
	}
	for _, own := range servicesOf(v, namespace) { // each Pod that it selects has these labels at least
		pods, ok := l.selectors[own]
		if len(pods) > 0 && matches(pods) {
			return true, true
		}
		certain = certain && ok && len(pods) > 0
	}
	return false, certain
}

// readParents reads Services. One that can't be read is as it was last known.
func (r *Reconciler) readParents(ctx context.Context, s *scope, services []types.NamespacedName, was *parentLookup) *parentLookup {
	ctx, cancel := context.WithTimeout(ctx, backendTimeout)
	defer cancel()
	read := &parentLookup{at: s.now, generation: s.policy.Generation, services: services, selectors: map[types.NamespacedName]map[string]string{}}
	for _, service := range services {
		live := &corev1.Service{}
		switch err := r.Reader.Get(ctx, service, live); {
		case err == nil && live.Spec.Type != corev1.ServiceTypeExternalName: // which selects nothing, whatever selector it was left with
			read.selectors[service] = maps.Clone(live.Spec.Selector)
		case err == nil:
			read.selectors[service] = nil
		case apierrors.IsNotFound(err):
			read.selectors[service], read.again = nil, true
		default:
			read.again = true
			if was == nil {
				continue
			}
			if selector, ok := was.selectors[service]; ok {
				read.selectors[service] = selector
			}
		}
	}
	return read
}

// parentLookups are those of each policy.
type parentLookups struct {
	mu       sync.Mutex
	byPolicy map[types.NamespacedName]*parentLookup
}

// of returns what is known for a policy, nil for nothing. What it returns is changed by the reconcile of the policy only.
func (l *parentLookups) of(policy types.NamespacedName) *parentLookup {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.byPolicy[policy]
}

// keep has something count for a policy; nil where there is nothing to look at.
func (l *parentLookups) keep(policy types.NamespacedName, known *parentLookup) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if known == nil {
		delete(l.byPolicy, policy)
		return
	}
	if l.byPolicy == nil {
		l.byPolicy = map[types.NamespacedName]*parentLookup{}
	}
	l.byPolicy[policy] = known
}
