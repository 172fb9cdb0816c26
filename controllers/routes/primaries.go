package routes

import (
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Primary is where a rule of a routing object sends clients.
type Primary struct {
	// Rule is the rule's name, else its position; for what a VirtualService routes by tls or tcp, that field and the position in it.
	Rule string
	To   Destination
}

// Primaries returns where a routing object sends clients, whatever the weights, in its order. Where it mirrors to is no part of it.
func Primaries(object *unstructured.Unstructured) []Primary {
	var primaries []Primary
	for _, rule := range Rules(object) {
		for _, to := range rule.dialect.backends(rule.Fields) {
			primaries = append(primaries, Primary{rule.title(), to})
		}
	}
	if kind := object.GroupVersionKind(); kind.Group == istioGroup && kind.Kind == "VirtualService" {
		primaries = append(primaries, connections(object, "tls")...)
		primaries = append(primaries, connections(object, "tcp")...)
	}
	return primaries
}

// connections returns where a VirtualService sends what isn't HTTP.
func connections(virtualService *unstructured.Unstructured, field string) []Primary {
	var primaries []Primary
	for i, entry := range list(object(virtualService.Object["spec"]), field) {
		for _, to := range istioDestinations(object(entry)) {
			primaries = append(primaries, Primary{fmt.Sprintf("%s[%d]", field, i), to})
		}
	}
	return primaries
}
