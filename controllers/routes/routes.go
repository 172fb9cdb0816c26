// Package routes reads routing objects of the Gateway API and of Istio: what they mirror, what they attach
// to, and whether the gateways there have accepted them. It is pure, and never changes an object.
package routes

import (
	"encoding/json"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// istioGroup is the API group of VirtualServices and DestinationRules.
const istioGroup = "networking.istio.io"

// Mirrors returns the mirrors in a routing object, in its order.
func Mirrors(object *unstructured.Unstructured) []iter8v1alpha1.Mirror {
	var mirrors []iter8v1alpha1.Mirror
	for _, rule := range Rules(object) {
		for _, site := range rule.Sites {
			if !site.To.IsZero() {
				mirrors = append(mirrors, rule.Mirror(object, site))
			}
		}
	}
	return mirrors
}

// Mirror returns what the status says of a mirror in a rule of an object.
func (r Rule) Mirror(object *unstructured.Unstructured, site Site) iter8v1alpha1.Mirror {
	return iter8v1alpha1.Mirror{
		Route:   Name(object.GetKind(), object.GetName()),
		Rule:    r.title(),
		Match:   r.Match(),
		From:    r.From(site),
		To:      truncate(site.To.String(), maxTarget),
		Percent: site.Share.String(),
	}
}

// Name is how the status names a routing object.
func Name(kind, name string) string { return kind + "/" + name }

// decode reads a field of an object through JSON, which doesn't mind whether a number is written as 50 or as 50.0.
// A field that isn't there is read as nothing.
func decode(object *unstructured.Unstructured, into any, path ...string) error {
	value, found, err := unstructured.NestedFieldNoCopy(object.Object, path...)
	if err != nil || !found {
		return err
	}
	data, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", strings.Join(path, "."), err)
	}
	return json.Unmarshal(data, into)
}
