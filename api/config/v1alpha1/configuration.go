// Package v1alpha1 is the operator's configuration: what its --config file holds. It says what the operator
// may do; flags say how its process runs.
package v1alpha1

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

const (
	// APIVersion of the configuration.
	APIVersion = "config.iter8.tools/v1alpha1"
	// Kind of the configuration.
	Kind = "OperatorConfiguration"
)

// OperatorConfiguration says what the operator watches and what policies may apply. The zero value is the
// default but for RouteKinds, Mirrors, Charts and Legacy, see Default.
type OperatorConfiguration struct {
	metav1.TypeMeta `json:",inline"`

	// WatchNamespaces are the namespaces that the operator looks at. Empty means all.
	WatchNamespaces []string `json:"watchNamespaces,omitempty"`

	// AllowCrossNamespaceReferences lets a Subject name resources of other namespaces, and a RoutingPolicy a
	// Subject of another one.
	AllowCrossNamespaceReferences bool `json:"allowCrossNamespaceReferences,omitempty"`

	// Readiness adds kinds that are ready when the named conditions are True, in place of what would be
	// judged by default.
	Readiness []KindReadiness `json:"readiness,omitempty"`

	// RouteKinds are the kinds that a policy may apply.
	RouteKinds []GroupKind `json:"routeKinds,omitempty"`

	// Mirrors is what holds for the mirrors of every policy.
	Mirrors Mirrors `json:"mirrors,omitzero"`

	// Charts says where charts may come from that are not built into the operator.
	Charts Charts `json:"charts,omitzero"`

	// Legacy is the mode in which Iter8's ConfigMaps go on routing.
	Legacy Legacy `json:"legacy,omitzero"`
}

// KindReadiness says when objects of a kind are ready.
type KindReadiness struct {
	GroupKind `json:",inline"`
	// Conditions are types of status.conditions that must all be True.
	Conditions []string `json:"conditions"`
}

// GroupKind names a kind in whatever version.
type GroupKind struct {
	// Group of the kind; empty is the core group.
	Group string `json:"group"`
	// Kind in upper camel case.
	Kind string `json:"kind"`
}

// Default is the configuration that holds where a file says nothing.
func Default() OperatorConfiguration {
	return OperatorConfiguration{
		TypeMeta: metav1.TypeMeta{APIVersion: APIVersion, Kind: Kind},
		RouteKinds: []GroupKind{
			{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"},
			{Group: "gateway.networking.k8s.io", Kind: "GRPCRoute"},
			{Group: "networking.istio.io", Kind: "VirtualService"},
			{Group: "networking.istio.io", Kind: "DestinationRule"},
		},
		Mirrors: DefaultMirrors(),
		Charts:  DefaultCharts(),
		Legacy:  DefaultLegacy(),
	}
}

// Parse reads a configuration file over Default. A field that it doesn't know is an error.
func Parse(data []byte) (OperatorConfiguration, error) {
	c := Default()
	c.Legacy.ChartRepositoryAliases = nil // decoding would keep fields of a default in its place in the list
	if err := yaml.UnmarshalStrict(data, &c); err != nil {
		return OperatorConfiguration{}, fmt.Errorf("reading the operator's configuration: %w", err)
	}
	if c.APIVersion != APIVersion || c.Kind != Kind {
		return OperatorConfiguration{}, fmt.Errorf("the operator's configuration is a %s %s, and must be a %s %s",
			c.APIVersion, c.Kind, APIVersion, Kind)
	}
	for i, r := range c.Readiness {
		if r.Kind == "" || len(r.Conditions) == 0 {
			return OperatorConfiguration{}, fmt.Errorf("readiness[%d] of the operator's configuration takes a kind and at least one condition", i)
		}
	}
	for i, k := range c.RouteKinds {
		if k.Kind == "" || k.Group == "" {
			return OperatorConfiguration{}, fmt.Errorf("routeKinds[%d] of the operator's configuration takes a group and a kind", i)
		}
	}
	if err := c.Mirrors.validate(); err != nil {
		return OperatorConfiguration{}, err
	}
	if err := c.Charts.Validate(); err != nil {
		return OperatorConfiguration{}, err
	}
	if err := c.Legacy.complete(); err != nil {
		return OperatorConfiguration{}, err
	}
	return c, nil
}
