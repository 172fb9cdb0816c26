package gateways

import (
	"cmp"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// summary is what is kept of an object.
type summary struct {
	metav1.ObjectMeta
	// gateway is the parent of a ListenerSet; it has no name where that isn't a Gateway.
	gateway types.NamespacedName
	// class is a Gateway's.
	class string
	// controller and features are a GatewayClass's. The features are sorted, and none where it publishes none.
	controller string
	features   []string
}

// differs reports whether something that matters is different.
func (s *summary) differs(from *summary) bool {
	return s.gateway != from.gateway || s.class != from.class || s.controller != from.controller || !slices.Equal(s.features, from.features)
}

func summarize(target watch.Target, u *unstructured.Unstructured) *summary {
	s := &summary{ObjectMeta: metav1.ObjectMeta{Name: u.GetName(), Namespace: u.GetNamespace(), ResourceVersion: u.GetResourceVersion()}}
	switch target {
	case setTarget:
		s.gateway = parentOf(u)
	case gatewayTarget:
		s.class = field(u, "spec", "gatewayClassName")
	case classTarget:
		s.controller = field(u, "spec", "controllerName")
		s.features = featuresOf(u)
	}
	return s
}

// parentOf returns the Gateway that a ListenerSet adds listeners to.
func parentOf(set *unstructured.Unstructured) types.NamespacedName {
	group, written, _ := unstructured.NestedString(set.Object, "spec", "parentRef", "group")
	if written && group != gatewayv1.GroupName || cmp.Or(field(set, "spec", "parentRef", "kind"), routes.GatewayKind) != routes.GatewayKind {
		return types.NamespacedName{}
	}
	return types.NamespacedName{
		Namespace: cmp.Or(field(set, "spec", "parentRef", "namespace"), set.GetNamespace()),
		Name:      field(set, "spec", "parentRef", "name"),
	}
}

// featuresOf returns the features of a class, which are objects with a name, and were mere names before the Gateway API's 1.3.
func featuresOf(class *unstructured.Unstructured) []string {
	var features []string
	list, _, _ := unstructured.NestedSlice(class.Object, "status", "supportedFeatures")
	for _, item := range list {
		switch feature := item.(type) {
		case string:
			features = append(features, feature)
		case map[string]any:
			if name, ok := feature["name"].(string); ok {
				features = append(features, name)
			}
		}
	}
	slices.Sort(features)
	return features
}

// field returns a string of an object, "" where there is none.
func field(u *unstructured.Unstructured, path ...string) string {
	value, _, _ := unstructured.NestedString(u.Object, path...)
	return value
}
