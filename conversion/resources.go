package conversion

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// What the API takes of each; the apiserver holds to the markers in api/v1alpha1.
const (
	maxVariants     = 16
	maxResources    = 16
	maxTemplates    = 16
	maxTemplate     = 65536
	maxTemplateName = 63
	maxCEL          = 1024
)

// variantName is the name of the variant with a number, as Iter8 counts: from 1.
func variantName(number int) string { return fmt.Sprintf("v%d", number) }

// resourceType finds the kind behind a short name.
func (c *conversion) resourceType(short node) (configv1alpha1.ResourceType, bool) {
	name, ok := short.string()
	if !ok {
		return configv1alpha1.ResourceType{}, false
	}
	found, ok := c.options.ResourceTypes[name]
	if !ok {
		known := slices.Sorted(maps.Keys(c.options.ResourceTypes))
		short.fail("%q is not a short name of a kind: use one of those there are (%s), or add it with the Helm value legacy.resourceTypes",
			shorten(name), list(known, "none"))
		return configv1alpha1.ResourceType{}, false
	}
	if when := readyWhen(found.Conditions); len(when.CEL) > maxCEL {
		short.fail("%q has conditions whose names are too long together; shorten them in the Helm value legacy.resourceTypes", shorten(name))
		return configv1alpha1.ResourceType{}, false
	}
	return found, true
}

// resource refers to an object of a variant, with Iter8's judgement of when it is ready written out.
func resource(t configv1alpha1.ResourceType, name, namespace string) iter8v1alpha1.ResourceReference {
	return iter8v1alpha1.ResourceReference{
		APIVersion: t.APIVersion(),
		Kind:       t.Kind,
		Name:       name,
		Namespace:  namespace,
		ReadyWhen:  readyWhen(t.Conditions),
	}
}

// readyWhen writes out the conditions of a resource type: without any a resource is ready once it exists.
func readyWhen(conditions []configv1alpha1.ResourceCondition) *iter8v1alpha1.ReadyWhen {
	if len(conditions) == 0 {
		exists := true
		return &iter8v1alpha1.ReadyWhen{Exists: &exists}
	}
	var names, held []string
	allTrue := true
	for _, c := range conditions {
		status := c.RequiredStatus()
		allTrue = allTrue && status == metav1.ConditionTrue
		if !slices.Contains(names, c.Name) {
			names = append(names, c.Name)
		}
		held = append(held, fmt.Sprintf("object.status.conditions.exists(c, c.type == %q && c.status == %q)", c.Name, status))
	}
	if allTrue {
		return &iter8v1alpha1.ReadyWhen{Conditions: names}
	}
	return &iter8v1alpha1.ReadyWhen{CEL: "has(object.status) && has(object.status.conditions)" +
		" && (!has(object.status.observedGeneration) || !has(object.metadata.generation)" +
		" || object.status.observedGeneration >= object.metadata.generation)" +
		" && " + strings.Join(held, " && ")}
}

// objectName reads the name of an object that a variant consists of.
func objectName(n node) (string, bool) {
	name, ok := n.string()
	if !ok {
		return "", false
	}
	return name, checkName(n, name)
}

// checkName tells where no object can have a name.
func checkName(n node, name string) bool {
	valid := len(validation.IsDNS1123Subdomain(name)) == 0
	if !valid {
		n.fail("%q is not a name that an object can have: that consists of lower case letters, digits, '-' and '.', and starts and ends with a letter or digit", shorten(name))
	}
	return valid
}

// namespace reads the namespace of a resource; it is kept where it isn't the ConfigMap's own.
func (c *conversion) namespace(n node) string {
	namespace, ok := n.string()
	if !ok || namespace == "" || namespace == c.configMap.Namespace {
		return ""
	}
	if len(validation.IsDNS1123Label(namespace)) > 0 {
		n.fail("%q is not a name that a namespace can have: that consists of lower case letters, digits and '-', and starts and ends with a letter or digit", shorten(namespace))
		return ""
	}
	if c.configMap.Namespace != "" {
		n.warn("is another namespace than the ConfigMap's: the operator reads it only with the Helm value allowCrossNamespaceReferences: true")
	}
	return namespace
}
