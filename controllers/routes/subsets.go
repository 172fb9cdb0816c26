package routes

import (
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// Host is one of Istio's, as it resolves from the namespace of the object that names it.
type Host struct {
	// Full is NAME.NAMESPACE of a Service, and the host as it stands of anything else.
	Full string
	// Service and Namespace are empty where it can't be that of a Service.
	Service, Namespace string
}

// ResolveHost reads NAME, NAME.NAMESPACE and NAME.NAMESPACE.svc with or without a domain as those of a Service. Istio resolves the
// first from the namespace of the object, and takes the others as they stand; NAME.NAMESPACE may also be a host elsewhere,
// which no variant lists.
func ResolveHost(name, namespace string) Host {
	parts := strings.Split(name, ".")
	switch {
	case len(parts) == 1:
		return Host{parts[0] + "." + namespace, parts[0], namespace}
	case len(parts) == 2 || parts[2] == "svc":
		return Host{parts[0] + "." + parts[1], parts[0], parts[1]}
	default:
		return Host{Full: name}
	}
}

// Subset is a part of a host's endpoints: a DestinationRule defines it, and VirtualServices send requests to it. Host is that of
// Host.Full.
type Subset struct{ Host, Name string }

// SubsetDefinition is what a DestinationRule says of a subset.
type SubsetDefinition struct {
	Subset
	// Labels of its Pods.
	Labels map[string]string
	// Fields are the object's own, and not to be changed.
	Fields map[string]any
}

// DefinesSubsets reports whether objects of a kind define subsets, and NamesSubsets whether they name those that others define. A
// VirtualService that names a subset which no DestinationRule defines has its requests answered with 503.
func DefinesSubsets(kind schema.GroupKind) bool {
	return kind.Group == istioGroup && kind.Kind == "DestinationRule"
}

// NamesSubsets is explained at DefinesSubsets.
func NamesSubsets(kind schema.GroupKind) bool { return kind == NamingSubsets }

// NamingSubsets is the kind of which NamesSubsets is true.
var NamingSubsets = schema.GroupKind{Group: istioGroup, Kind: "VirtualService"}

// Subsets returns the subsets that an object defines. The namespace is that of an object which doesn't say its own.
func Subsets(o *unstructured.Unstructured, namespace string) []SubsetDefinition {
	if !DefinesSubsets(kindOf(o)) {
		return nil
	}
	spec := specOf(o)
	host := ResolveHost(text(spec, "host"), namespaceOf(o, namespace)).Full
	given := list(spec, "subsets")
	subsets := make([]SubsetDefinition, 0, len(given))
	for _, item := range given {
		fields := object(item)
		labels := map[string]string{}
		for label, value := range object(fields["labels"]) {
			labels[label], _ = value.(string)
		}
		subsets = append(subsets, SubsetDefinition{Subset{host, text(fields, "name")}, labels, fields})
	}
	return subsets
}

// DefinesForAll reports whether the subsets that an object defines are there for whatever may name them: not for the proxies of some Pods
// or namespaces only.
func DefinesForAll(o *unstructured.Unstructured) bool {
	spec := specOf(o)
	exported := list(spec, "exportTo")
	return len(object(spec["workloadSelector"])) == 0 && (len(exported) == 0 || slices.Contains(exported, "*"))
}

// namedSubsets are those that objects name: for the requests of clients, and for copies of them.
type namedSubsets struct {
	clients, copies map[Subset]bool
	// all: it can't be read what an object names, which may be any subset.
	all bool
}

func (n namedSubsets) forClients(s Subset) bool { return n.all || has(n.clients, s) }
func (n namedSubsets) forCopies(s Subset) bool  { return n.all || has(n.copies, s) }
func (n namedSubsets) name(s Subset) bool       { return n.forClients(s) || n.forCopies(s) }

// has reports whether a subset is among others. A rule whose host is a pattern counts as one for every host.
func has(subsets map[Subset]bool, wanted Subset) bool {
	if !strings.Contains(wanted.Host, "*") {
		return subsets[wanted]
	}
	for s := range subsets {
		if s.Name == wanted.Name {
			return true
		}
	}
	return false
}

// namedIn returns the subsets that objects name.
func namedIn(objects ...*unstructured.Unstructured) namedSubsets {
	named := namedSubsets{clients: map[Subset]bool{}, copies: map[Subset]bool{}}
	for _, o := range objects {
		if !NamesSubsets(kindOf(o)) {
			continue
		}
		spec := specOf(o)
		named.all = named.all || spec == nil
		add := func(to map[Subset]bool, d Destination) {
			if d.Subset != "" {
				to[Subset{ResolveHost(d.Host, o.GetNamespace()).Full, d.Subset}] = true
			}
		}
		for _, rule := range Rules(o) {
			for _, site := range rule.Sites {
				add(named.copies, site.To)
			}
		}
		for _, protocol := range []string{"http", "tls", "tcp"} {
			for _, route := range list(spec, protocol) {
				for _, d := range istioDestinations(object(route)) {
					add(named.clients, d)
				}
			}
		}
	}
	return named
}

// SubsetNames are the subsets that an object names.
type SubsetNames struct{ named namedSubsets }

// SubsetNamesOf returns the subsets that an object names, which says its namespace.
func SubsetNamesOf(o *unstructured.Unstructured) SubsetNames { return SubsetNames{namedIn(o)} }

// Has reports whether a subset is among the names.
func (n SubsetNames) Has(s Subset) bool { return n.named.name(s) }

// DependsOn reports whether an object names a subset that another one defines.
func DependsOn(o, other *unstructured.Unstructured) bool {
	named := namedIn(o)
	return slices.ContainsFunc(Subsets(other, ""), func(s SubsetDefinition) bool { return named.name(s.Subset) })
}

// Transition is a change of a DestinationRule that stands, or its end. All objects say their namespace; what is known of none but its
// kind and name counts as naming every subset.
type Transition struct {
	// From is the rule as it stands, and To as it is wanted; nil where it is to go.
	From, To *unstructured.Unstructured
	// Wanted are the objects beside it as they are wanted.
	Wanted []*unstructured.Unstructured
}

// Interim returns the rule that serves both those that stand and those that are wanted: the wanted one, with what must be kept of the one
// that stands. It reports whether it takes one; if it does and the rule is nil, the one that stands has to stay, since a
// rule has one host only.
//
// What is kept is a subset that leaves the rule, or gets other labels under its name, while a VirtualService that stands names it. The
// latter is kept only where no VirtualService goes on to name it: to go on naming a subset that is other Pods from now on is to ask
// for its clients to move, and no order of writes spares them that. It is changed first then, so that what is sent
// there anew gets to the Pods that are meant. Where only copies were sent to it, clients that are to be sent there count more.
func (t Transition) Interim(standing []*unstructured.Unstructured) (*unstructured.Unstructured, bool) {
	kept := t.kept(standing)
	if len(kept) == 0 || t.To == nil {
		return nil, false
	}
	interim := t.To.DeepCopy()
	spec := specOf(interim)
	if spec == nil || hostOfRule(t.From) != hostOfRule(t.To) {
		return nil, true
	}
	subsets := list(spec, "subsets")
	for _, k := range kept {
		fields := (&unstructured.Unstructured{Object: k.Fields}).DeepCopy().Object
		at := slices.IndexFunc(subsets, func(item any) bool { return text(object(item), "name") == k.Name })
		if at < 0 {
			subsets = append(subsets, fields)
		} else {
			subsets[at] = fields
		}
	}
	spec["subsets"] = subsets
	return interim, true
}

// User returns an object among those that stand which needs what the transition takes away, and a sentence that says so; nil for none. What
// one of the rules beside it defines too isn't taken away.
func (t Transition) User(standing, rules []*unstructured.Unstructured) (user *unstructured.Unstructured, why string) {
	kept := t.kept(standing)
	if len(kept) == 0 {
		return nil, ""
	}
	elsewhere := map[Subset]bool{}
	for _, rule := range rules {
		for _, s := range Subsets(rule, "") {
			elsewhere[s.Subset] = true
		}
	}
	for _, k := range kept {
		for _, o := range standing {
			if !elsewhere[k.Subset] && namedIn(o).name(k.Subset) {
				return o, o.GetKind() + " " + o.GetName() + " names its subset " + k.Name
			}
		}
	}
	return nil, ""
}

// kept returns the subsets of the rule that stands which must be kept while these objects stand.
func (t Transition) kept(standing []*unstructured.Unstructured) []SubsetDefinition {
	before := namedIn(standing...)
	var after namedSubsets
	to := map[Subset]map[string]string{}
	if t.To != nil {
		after = namedIn(t.Wanted...)
		for _, s := range Subsets(t.To, "") {
			to[s.Subset] = s.Labels
		}
	}
	var kept []SubsetDefinition
	for _, s := range Subsets(t.From, "") {
		labels, stays := to[s.Subset]
		switch {
		case !stays && before.name(s.Subset),
			stays && !maps.Equal(labels, s.Labels) && !after.forClients(s.Subset) &&
				(before.forClients(s.Subset) || before.forCopies(s.Subset) && !after.forCopies(s.Subset)):
			kept = append(kept, s)
		}
	}
	return kept
}

func hostOfRule(rule *unstructured.Unstructured) string {
	return ResolveHost(text(specOf(rule), "host"), rule.GetNamespace()).Full
}

func kindOf(o *unstructured.Unstructured) schema.GroupKind { return o.GroupVersionKind().GroupKind() }

// specOf returns the spec of an object, nil where it has none.
func specOf(o *unstructured.Unstructured) map[string]any { return object(o.Object["spec"]) }

func namespaceOf(o *unstructured.Unstructured, otherwise string) string {
	if namespace := o.GetNamespace(); namespace != "" {
		return namespace
	}
	return otherwise
}
