// Package mirrors decides which mirrors of a route may stand now, and for how large a share of the requests, whatever rendered
// the route or owns it. It is pure: no clock, no client, and what it is given is never changed.
//
//	variants' states and weights ─┐
//	what gateways lack ───────────┼─► Decide ─► Decisions ─┬─► Gate: rendered manifests ─► the same with just those mirrors
//	what is withheld anyway ──────┤                        │                             + a report of every mirror
//	DestinationRules (subsets) ───┘                        └─► Edit: a live route ─► JSON patch that takes out or narrows
//	                                                                                the mirrors that may not stand
//
// How a mirror's target leads to the variants that it depends on:
//
//	target ─► listed by variants? ── yes ─► all of these must be available
//	                │                       built-in: least of the mirror's own share and their weights
//	                no ── built-in ──► every triggering variant must be available
//	                   └─ elsewhere ─► left as rendered
//
// What stands though the spec as it is was never applied goes by those of which the mirror was applied, if no variant lists its target
// now.
//
// A share is only ever narrowed: the result is the mirror's own share or less, and a share of 0 takes the mirror out.
package mirrors

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/gateway-api/pkg/features"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Input is what Decide decides from.
type Input struct {
	// BuiltIn reports whether a built-in chart or spec.mirror asks for the mirrors: then weights bound them, and a target
	// that no variant lists takes every triggering variant. Templates and charts from elsewhere decide both themselves.
	BuiltIn bool
	// SafeMethodsOnly is mirrorUnsafeMethods: false. Gate splits rules so that only GET, HEAD and OPTIONS are mirrored.
	SafeMethodsOnly bool
	// Namespace is that of routes whose metadata doesn't name one: the policy's.
	Namespace string
	// Variants of the Subject, in its order.
	Variants []Variant
	// Manifests that hold the DestinationRules, if any, by which subsets are told apart; other kinds among them are ignored.
	Manifests []*unstructured.Unstructured
	// Lacks are the features of mirroring that the routes' gateways lack.
	Lacks []Lack
	// Withheld are mirrors that may not stand for reasons that other parts of the operator know.
	Withheld []Withholding
	// Standing are the mirrors that stand now, as Edit reports them or status.mirrors has them. A mirror whose variant's state is
	// unknown has no larger share than it has there.
	Standing []iter8v1alpha1.Mirror
	// Applied says by which variants mirrors that stand were applied, where the variants above may be those of a spec or Subject that
	// was not.
	Applied []Applied
}

// Applied are the variants by which the mirrors of a route to a target were applied, in the states that they are in now.
type Applied struct {
	// Route as routes.Name returns it, and To as the status shows the target.
	Route, To string
	Variants  []Variant
	// UnknownSince is since when some of them aren't observed any more; nil where all are.
	UnknownSince *metav1.Time
}

// State is what is known of a variant.
type State int

// The states of a variant.
const (
	// NotAvailable: some resource of it certainly isn't ready.
	NotAvailable State = iota
	// Available: every resource of it is ready.
	Available
	// UnknownAvailable: it can't be judged, was last known as available, and that is not too long ago.
	UnknownAvailable
	// Unknown: it can't be judged, and was not available when it last could, or that is too long ago.
	Unknown
)

// Variant is one of a Subject's variants.
type Variant struct {
	Name  string
	State State
	// Message is a sentence on why it isn't available or can't be judged, which names the resource: "Service httpbin-v2
	// has no ready endpoint". It isn't needed for one that is Available.
	Message string
	// Triggers reports whether the policy is triggered by the variant.
	Triggers bool
	// Weight is nil where none is given.
	Weight    *Weight
	Resources []Resource
}

// Weight is what a variant asks for as the percentage of its mirrors.
type Weight struct {
	// Text is the weight as it is written.
	Text string
	// Source says where: "annotation iter8.tools/weight of Service httpbin-v2".
	Source string
}

// Resource is a resource that a variant lists, with the namespace that it is in.
type Resource struct {
	Group, Kind, Namespace, Name string
	// PodLabels are those of a workload's Pods, nil for anything else and for what isn't there or can't be read.
	PodLabels map[string]string
}

// Lack is a feature of mirroring that a gateway of a route doesn't have.
type Lack struct {
	// Route as routes.Name returns it.
	Route string
	// Feature is one of the Gateway API's three on mirrors of HTTPRoutes, which stand for those of GRPCRoutes too:
	// RequestMirror withholds every mirror; RequestMultipleMirrors, all but the first that may stand in a rule; and
	// RequestPercentageMirror, those for less than all requests.
	Feature features.FeatureName
	// Unknown: it can't be read whether the gateway has it. Then a mirror that takes it has no larger share than it has now.
	Unknown bool
	// Message is a sentence that names the gateway.
	Message string
}

// Withholding keeps mirrors out of routes whatever the variants' states: spec.withdrawn, or a gateway's refusal.
type Withholding struct {
	// Route as routes.Name returns it, and To as the status shows a mirror's target; either may be empty, which means all.
	Route, To string
	// Reason is one of the API's, and Message a sentence.
	Reason, Message string
}

// Mirror is what Gate and Edit report of one mirror that a route asks for.
type Mirror struct {
	// Mirror has the route, rule, match, backends, target and variants; its Rule is that of the route that was given. Its Match is that of the requests that may be mirrored, where rules are
	// split by methods. Its Percent is what is left to the mirror: 0 where it is withheld.
	iter8v1alpha1.Mirror
	// Path of the mirror in the route that was given: spec.rules[0].filters[1].
	Path string
	// Places are the paths of the mirror in what Gate returns: none where it is withheld, several where its rule is split.
	Places []string
	// Asked is the percentage that the route asks for.
	Asked string
}

// Withheld reports whether the mirror may not stand at all.
func (m Mirror) Withheld() bool { return m.Percent == "0" }
