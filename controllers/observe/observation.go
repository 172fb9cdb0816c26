package observe

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/watch"
)

// ResourceState is what is known of one resource of a variant.
type ResourceState int

// The states of a resource.
const (
	// Ready: it exists, isn't being deleted, and is ready.
	Ready ResourceState = iota
	// Missing: nothing of that name carries the label by which resources are watched.
	Missing
	// Unlabelled: it exists, but without that label.
	Unlabelled
	// Terminating: it is being deleted.
	Terminating
	// NotReady: it exists and isn't ready.
	NotReady
	// Unknown: it can't be read or judged.
	Unknown
	// Invalid: the reference can't work as it stands.
	Invalid
	// Excess: its kind isn't watched, since too many others are.
	Excess
	// Pending: it isn't read yet, which passes by itself.
	Pending
)

// Observation is the state of a Subject's variants at one moment.
type Observation struct {
	Variants []Variant
}

// Variant is the state of one variant.
type Variant struct {
	Name string
	// State is that of the resource that decides; Ready where all are.
	State ResourceState
	// AnnotatedWeight is what the variant's first resource is annotated with, nil if it isn't. Weight is the same as a number, nil
	// also where it is not a weight.
	AnnotatedWeight *string
	Weight          *int32
	// PodLabels are those of the Pods of each resource, in the order of the spec, nil for what is no workload or
	// isn't there; nil as a whole where none is. WeightUnread says that the first resource has never been read.
	PodLabels    []map[string]string
	WeightUnread bool
	// Problems are the resources that aren't ready, in the order of the spec.
	Problems []Problem
	// Stale says of kinds that can't be read any more why; their resources are judged as last seen.
	Stale []string
	// UnreadableSince is when reading began to fail of the resources that can't be read, be it from the start (then State is
	// Unknown) or any more (then it is as last seen); of several the earliest. It is zero where all can be read, and where
	// one that can makes certain that the variant isn't available. An Invalid reference is none that can't be read.
	UnreadableSince time.Time
}

// Problem is why a resource isn't ready.
type Problem struct {
	State ResourceState
	// Message is a sentence that names the resource.
	Message string
}

// Known reports whether the variant is certainly available or certainly not.
func (v Variant) Known() bool {
	return v.State != Unknown && v.State != Invalid && v.State != Excess && v.State != Pending
}

// Available reports whether the variant is certainly available.
func (v Variant) Available() bool { return v.State == Ready }

// Pending reports whether the observation is still being made, just after a start.
func (o Observation) Pending() bool {
	for _, v := range o.Variants {
		if v.State == Pending {
			return true
		}
	}
	return false
}

// Observe judges each variant of a Subject by what is in the cache. It talks to nobody.
func (o *Observer) Observe(subject *iter8v1alpha1.Subject) Observation {
	observation := Observation{Variants: make([]Variant, 0, len(subject.Spec.Variants))}
	for i := range subject.Spec.Variants {
		observation.Variants = append(observation.Variants, o.observeVariant(subject, &subject.Spec.Variants[i]))
	}
	return observation
}

// unavailable reports whether a resource in this state is certainly not available.
func (s ResourceState) unavailable() bool { return precedence[s] >= precedence[NotReady] }

// precedence of the states of a variant's resources: one that certainly isn't ready decides, whatever is
// unknown of the others.
var precedence = map[ResourceState]int{
	Ready: 0, Pending: 1, Unknown: 2, Excess: 3, Invalid: 4, NotReady: 5, Terminating: 6, Missing: 7, Unlabelled: 8,
}

func (o *Observer) observeVariant(subject *iter8v1alpha1.Subject, v *iter8v1alpha1.Variant) Variant {
	variant := Variant{Name: v.Name, State: Ready}
	var readings []watch.State
	certain := false
	for i := range v.Resources {
		ref := &v.Resources[i]
		resource, state := o.resources.Get(resourceName(subject.Namespace, ref))
		if resource != nil && o.reaches(subject.Namespace, ref) {
			variant.describe(v.Resources, i, resource)
		}
		judged, reading := o.observeResource(subject.Namespace, ref)
		readings = append(readings, reading)
		if reading.Synced && reading.Err != nil {
			variant.Stale = append(variant.Stale, fmt.Sprintf("%s %s is judged as last seen: %s", ref.Kind, ref.Name, reading.Err))
		}
		if judged.state == Ready {
			continue
		}
		certain = certain || judged.state.unavailable() && reading.Err == nil
		if i == 0 && (judged.state == Unknown && !state.Synced || (judged.state == Invalid || judged.state == Excess) && resource == nil) {
			variant.WeightUnread = true
		}
		if precedence[judged.state] > precedence[variant.State] {
			variant.State = judged.state
		}
		variant.Problems = append(variant.Problems, Problem{judged.state, fmt.Sprintf("%s %s %s", ref.Kind, ref.Name, judged.message)})
	}
	if !certain {
		variant.UnreadableSince = unreadableSince(readings)
	}
	return variant
}

// unreadableSince returns when the first of some resources couldn't be read any more; the zero time where all can.
func unreadableSince(readings []watch.State) time.Time {
	all := watch.State{}
	for _, reading := range readings {
		all = all.And(reading)
	}
	return all.UnreadableSince
}

// describe takes over what the resource at a position of the variant's says of itself.
func (v *Variant) describe(refs []iter8v1alpha1.ResourceReference, position int, resource *object) {
	if position == 0 {
		v.Weight, v.AnnotatedWeight = resource.weight, resource.annotatedWeight
	}
	if len(resource.podLabels) > 0 {
		if v.PodLabels == nil {
			v.PodLabels = make([]map[string]string, len(refs))
		}
		v.PodLabels[position] = resource.podLabels
	}
}

// observeResource judges one resource, and returns how far what that is judged by can be relied on.
func (o *Observer) observeResource(namespace string, ref *iter8v1alpha1.ResourceReference) (verdict, watch.State) {
	if problem := o.validate(namespace, ref); problem != "" {
		return verdict{Invalid, problem}, watch.State{}
	}
	name := resourceName(namespace, ref)
	if o.slots.excludes(name.Target) {
		return verdict{Excess, fmt.Sprintf("can't be watched: Subjects have %d other kinds watched, as many as --max-watched-kinds allows; it is watched as soon as one of these isn't any more", o.slots.most)}, watch.State{}
	}
	resource, state := o.resources.Get(name)
	if !state.Synced {
		return unread(state, name.Target)
	}
	if resource == nil {
		if o.unlabelled.lookUp(name) {
			return verdict{Unlabelled, fmt.Sprintf("exists without the label %s: \"true\", so it is not watched", iter8v1alpha1.DetectLabel)}, state
		}
		return verdict{Missing, "does not exist"}, state
	}
	if resource.terminating {
		return verdict{Terminating, "is being deleted"}, state
	}
	switch when := ref.ReadyWhen; {
	case when == nil && resource.byEndpoints:
		judged, endpoints := o.observeEndpoints(name.Object)
		return judged, state.And(endpoints)
	case when == nil:
		return resource.verdict, state
	case when.CEL != "":
		return o.expressions.evaluate(when.CEL, resource.full.Object), state
	default: // where it only has to exist, there are no conditions
		return judgeConditions(when.Conditions, resource.conditions), state
	}
}

// observeEndpoints judges a Service by its EndpointSlices.
func (o *Observer) observeEndpoints(service types.NamespacedName) (verdict, watch.State) {
	members, state := o.resources.Members(endpointSlices, service)
	if !state.Synced {
		return unread(state, endpointSlices)
	}
	return judgeEndpoints(slices.ContainsFunc(members, func(slice *object) bool { return slice.ready })), state
}

// unread is the verdict on a resource whose kind isn't listed.
func unread(state watch.State, target watch.Target) (verdict, watch.State) {
	switch {
	case state.Pending():
		return verdict{Pending, "is being read"}, state
	case errors.Is(state.Err, watch.ErrClusterScoped):
		return verdict{Invalid, fmt.Sprintf("can't be watched: %s %s is cluster-scoped", target.GroupVersion(), target.Kind)}, watch.State{}
	default:
		return verdict{Unknown, fmt.Sprintf("can't be read (%s %s): %s", target.GroupVersion(), target.Kind, state.Err)}, state
	}
}

// validate returns what makes a reference impossible whatever the cluster holds; nothing, where it is possible.
func (o *Observer) validate(namespace string, ref *iter8v1alpha1.ResourceReference) string {
	if !o.reaches(namespace, ref) {
		return fmt.Sprintf("is in namespace %s, and this operator does not allow references to other namespaces", ref.Namespace)
	}
	if name := resourceName(namespace, ref); errors.Is(o.resources.State(name.Target, name.Object.Namespace).Err, watch.ErrNotWatched) {
		return fmt.Sprintf("is in namespace %s, which this operator does not watch", name.Object.Namespace)
	}
	if ref.ReadyWhen != nil && ref.ReadyWhen.CEL != "" {
		if _, err := o.expressions.compile(ref.ReadyWhen.CEL); err != nil {
			return "has a readyWhen.cel that does not compile: " + strings.TrimSpace(err.Error())
		}
	}
	return ""
}

// reaches reports whether a Subject of a namespace may refer to a resource where it is.
func (o *Observer) reaches(namespace string, ref *iter8v1alpha1.ResourceReference) bool {
	return ref.Namespace == "" || ref.Namespace == namespace || o.allowCrossNamespace
}

// resourceName returns what a Subject of a namespace refers to.
func resourceName(namespace string, ref *iter8v1alpha1.ResourceReference) watch.Name {
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	return watch.Name{
		Target: watch.Target{
			GroupVersionKind: schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind),
			Full:             ref.ReadyWhen != nil && ref.ReadyWhen.CEL != "",
		},
		Object: types.NamespacedName{Namespace: namespace, Name: ref.Name},
	}
}
