package mirrors

import (
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"iter8.tools/operator/controllers/routes"
)

// ownersOf returns the variants that a mirror's target belongs to, in the Subject's order.
func (d Decisions) ownersOf(target routes.Destination, namespace string) []Variant {
	if target.Host == "" {
		backend := Resource{Group: target.Group, Kind: target.Kind, Namespace: target.Namespace, Name: target.Name}
		if backend.Namespace == "" {
			backend.Namespace = namespace
		}
		return filter(d.input.Variants, func(v Variant) bool { return v.lists(backend) })
	}
	host := routes.ResolveHost(target.Host, namespace)
	if target.Subset != "" {
		return d.ownersOfSubset(host, target.Subset)
	}
	return filter(d.input.Variants, func(v Variant) bool { return v.listsHost(host) })
}

// Owners returns the names of the variants that a target of a route in a namespace belongs to: what answers clients, or gets copies.
func (d Decisions) Owners(target routes.Destination, namespace string) []string {
	return names(d.ownersOf(target, namespace))
}

func (v Variant) lists(wanted Resource) bool {
	for _, r := range v.Resources {
		if r.Group == wanted.Group && r.Kind == wanted.Kind && r.Namespace == wanted.Namespace && r.Name == wanted.Name {
			return true
		}
	}
	return false
}

func (v Variant) listsHost(h routes.Host) bool {
	return h.Service != "" && v.lists(Resource{Kind: "Service", Namespace: h.Namespace, Name: h.Service})
}

// identity returns what a mirror's target, as the status shows it, is compared by: a host of Istio's by its Service and
// namespace, however it is written.
func (d Decisions) identity(route, to string) string {
	if !strings.HasPrefix(route, "VirtualService/") {
		return to
	}
	end := strings.IndexAny(to, ": ")
	if end < 0 {
		end = len(to)
	}
	return routes.ResolveHost(to[:end], d.input.Namespace).Full + to[end:]
}

// labels are those of a subset's Pods.
type labels map[string]string

// subsetsOf returns the labels of the subsets that DestinationRules define; several, where several rules define one.
func subsetsOf(manifests []*unstructured.Unstructured, namespace string) map[routes.Subset][]labels {
	subsets := map[routes.Subset][]labels{}
	for _, m := range manifests {
		for _, s := range routes.Subsets(m, namespace) {
			subsets[s.Subset] = append(subsets[s.Subset], s.Labels)
		}
	}
	return subsets
}

// istioGroup is the API group of VirtualServices and DestinationRules.
const istioGroup = "networking.istio.io"

// ownersOfSubset returns the variants whose Pods carry the labels of a subset: those among them that list the host's Service;
// where others list it, those that list no Service at all, since what lists another is of another app; where none lists it, all of
// them. Where no Pods carry the labels, it may be those of a variant of which a workload isn't there, so that its labels aren't
// known. Where there is no such variant either, the labels may be put on the Pods when they are created: then all that list the
// host count, and all that list no Service. Of a subset that several rules define these are the variants of each definition.
//
// What the manifests don't define leads to no variant in built-in charts, which then takes every triggering one. Elsewhere the
// variants that list the host stand in for it.
func (d Decisions) ownersOfSubset(h routes.Host, name string) []Variant {
	listing := filter(d.input.Variants, func(v Variant) bool { return v.listsHost(h) })
	definitions, defined := d.subsets[routes.Subset{Host: h.Full, Name: name}]
	switch {
	case !defined && d.input.BuiltIn:
		return nil
	case !defined:
		return listing
	}
	owners := map[string]bool{}
	for _, given := range definitions {
		for _, v := range d.carriers(h, given, listing) {
			owners[v.Name] = true
		}
	}
	return filter(d.input.Variants, func(v Variant) bool { return owners[v.Name] })
}

// carriers returns the variants of one definition of a subset, whose host some variants list.
func (d Decisions) carriers(h routes.Host, given labels, listing []Variant) []Variant {
	if len(given) == 0 {
		return listing // it is all of the host
	}
	apt := func(candidates []Variant) []Variant {
		of := filter(candidates, func(v Variant) bool { return v.listsHost(h) })
		if len(of) == 0 && len(listing) > 0 {
			return filter(candidates, func(v Variant) bool { return !v.listsService() })
		}
		if len(of) == 0 {
			return candidates
		}
		return of
	}
	if owners := apt(filter(d.input.Variants, func(v Variant) bool { return v.carries(given) })); len(owners) > 0 {
		return owners
	}
	if owners := apt(filter(d.input.Variants, Variant.mayCarry)); len(owners) > 0 || len(listing) == 0 {
		return owners
	}
	return filter(d.input.Variants, func(v Variant) bool { return v.listsHost(h) || !v.listsService() })
}

func (v Variant) listsService() bool {
	for _, r := range v.Resources {
		if r.Group == "" && r.Kind == "Service" {
			return true
		}
	}
	return false
}

// carries reports whether Pods of the variant carry labels.
func (v Variant) carries(given labels) bool {
	return slices.ContainsFunc(v.Resources, func(r Resource) bool { return r.PodLabels != nil && contains(r.PodLabels, given) })
}

func contains(all map[string]string, some labels) bool {
	for label, value := range some {
		if has, ok := all[label]; !ok || has != value {
			return false
		}
	}
	return true
}

// mayCarry reports whether the labels of some Pods of the variant aren't known, though it may have them: it isn't certainly
// available, and lists what may have Pods and isn't known to.
func (v Variant) mayCarry() bool {
	return v.State != Available && slices.ContainsFunc(v.Resources, func(r Resource) bool { return r.PodLabels == nil && r.MayHavePods() })
}

// MayHaveWorkload reports whether the variant lists what may have Pods of its own.
func (v Variant) MayHaveWorkload() bool {
	return slices.ContainsFunc(v.Resources, Resource.MayHavePods)
}

// MayHavePods reports whether a resource may be a workload: of the core group only two kinds are, of others any may be.
func (r Resource) MayHavePods() bool {
	return r.Group != "" || r.Kind == "Pod" || r.Kind == "ReplicationController"
}

// fieldsOf returns a value that is an object, nil where it is something else.
func fieldsOf(value any) map[string]any {
	fields, _ := value.(map[string]any)
	return fields
}

// itemsOf returns a value that is a list, nil where it is something else.
func itemsOf(value any) []any {
	items, _ := value.([]any)
	return items
}
