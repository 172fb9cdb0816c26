package mirrors

import (
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
	host := hostOf(target.Host, namespace)
	if target.Subset != "" {
		return d.ownersOfSubset(host, target.Subset)
	}
	return filter(d.input.Variants, func(v Variant) bool { return v.listsHost(host) })
}

func (v Variant) lists(wanted Resource) bool {
	for _, r := range v.Resources {
		if r.Group == wanted.Group && r.Kind == wanted.Kind && r.Namespace == wanted.Namespace && r.Name == wanted.Name {
			return true
		}
	}
	return false
}

func (v Variant) listsHost(h host) bool {
	return h.service != "" && v.lists(Resource{Kind: "Service", Namespace: h.namespace, Name: h.service})
}

// host is one of Istio's, as it resolves from the namespace of the object that names it. service is empty where it can't be that
// of a Service.
type host struct{ full, service, namespace string }

// hostOf reads NAME, NAME.NAMESPACE and NAME.NAMESPACE.svc with or without a domain as those of a Service. Istio resolves the
// first from the namespace of the object, and takes the others as they stand; NAME.NAMESPACE may also be a host elsewhere,
// which no variant lists.
func hostOf(name, namespace string) host {
	parts := strings.Split(name, ".")
	switch {
	case len(parts) == 1:
		return host{parts[0] + "." + namespace, parts[0], namespace}
	case len(parts) == 2 || parts[2] == "svc":
		return host{parts[0] + "." + parts[1], parts[0], parts[1]}
	default:
		return host{full: name}
	}
}

// subset is one of a DestinationRule's, by its host and name; labels are those of its Pods.
type (
	subset struct{ host, name string }
	labels map[string]string
)

// subsetsOf returns the labels of the subsets that DestinationRules define; several, where several rules define one.
func subsetsOf(manifests []*unstructured.Unstructured, namespace string) map[subset][]labels {
	subsets := map[subset][]labels{}
	for _, m := range manifests {
		if kind := m.GroupVersionKind(); kind.Group != istioGroup || kind.Kind != "DestinationRule" {
			continue
		}
		spec := fieldsOf(m.Object["spec"])
		name, _ := spec["host"].(string)
		from := m.GetNamespace()
		if from == "" {
			from = namespace
		}
		for _, item := range itemsOf(spec["subsets"]) {
			fields := fieldsOf(item)
			of, _ := fields["name"].(string)
			key := subset{hostOf(name, from).full, of}
			given := labels{}
			for label, value := range fieldsOf(fields["labels"]) {
				given[label], _ = value.(string)
			}
			subsets[key] = append(subsets[key], given)
		}
	}
	return subsets
}

// istioGroup is the API group of VirtualServices and DestinationRules.
const istioGroup = "networking.istio.io"

// ownersOfSubset returns the variants whose Pods carry the labels of a subset: those among them that list the host's Service;
// where others list it, those that list no Service at all, since what lists another is of another app; where none lists it, all of
// them. Where no Pods carry the labels, it may be those of a variant whose workload isn't there, of which they aren't known.
//
// What the manifests don't define leads to no variant in built-in charts, which then takes every triggering one. Elsewhere the
// variants that list the host stand in for it.
func (d Decisions) ownersOfSubset(h host, name string) []Variant {
	listing := filter(d.input.Variants, func(v Variant) bool { return v.listsHost(h) })
	alternatives, defined := d.subsets[subset{h.full, name}]
	if !defined {
		if d.input.BuiltIn {
			return nil
		}
		return listing
	}
	if selectsAll(alternatives) {
		return listing
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
	if owners := apt(filter(d.input.Variants, func(v Variant) bool { return v.carries(alternatives) })); len(owners) > 0 {
		return owners
	}
	return apt(filter(d.input.Variants, Variant.mayCarry))
}

// selectsAll reports whether a subset is all of its host.
func selectsAll(alternatives []labels) bool {
	for _, given := range alternatives {
		if len(given) == 0 {
			return true
		}
	}
	return false
}

func (v Variant) listsService() bool {
	for _, r := range v.Resources {
		if r.Group == "" && r.Kind == "Service" {
			return true
		}
	}
	return false
}

// carries reports whether Pods of the variant carry one of several sets of labels.
func (v Variant) carries(alternatives []labels) bool {
	for _, r := range v.Resources {
		for _, given := range alternatives {
			if r.PodLabels != nil && contains(r.PodLabels, given) {
				return true
			}
		}
	}
	return false
}

func contains(all map[string]string, some labels) bool {
	for label, value := range some {
		if has, ok := all[label]; !ok || has != value {
			return false
		}
	}
	return true
}

// mayCarry reports whether the labels of the variant's Pods aren't known, though it may have some: it isn't certainly
// available, and lists something else than Services.
func (v Variant) mayCarry() bool {
	workload := false
	for _, r := range v.Resources {
		if r.PodLabels != nil {
			return false
		}
		workload = workload || r.Group != "" || r.Kind != "Service"
	}
	return workload && v.State != Available
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
