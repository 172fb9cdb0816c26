package conversion

import (
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// convertRoutemap reads versions with their resources, and the templates of what is routed while which of them
// are available. The routemaps of Iter8 0.14 to 1.1 and the subjects of 0.13 differ in what they call these:
// versions or variants, routingTemplates or ssas; either name is understood in both.
//
//	versions:
//	- resources:
//	  - {gvrShort: svc, name: httpbin-0}
//	  weight: 80
//	routingTemplates:
//	  blue-green:
//	    gvrShort: vs
//	    template: |
//	      …
func (c *conversion) convertRoutemap(root node, format Format) {
	versionNames, templateNames := []string{"versions", "variants"}, []string{"routingTemplates", "ssas"}
	if format == FormatSubjectWithTemplates {
		versionNames, templateNames = []string{"variants", "versions"}, []string{"ssas", "routingTemplates"}
	}
	root.warnOfOthers(versionNames[0], versionNames[1], templateNames[0], templateNames[1])
	versions, ok := root.anyOf(versionNames...)
	if !ok {
		versions.fail("is missing: write a list with an entry for each, and therein its resources")
		return
	}
	items, ok := variantItems(versions)
	if !ok {
		return
	}
	spec := iter8v1alpha1.SubjectSpec{}
	for i, item := range items {
		spec.Variants = append(spec.Variants, c.version(i+1, item))
	}
	c.setSubject(spec)

	templates, ok := root.anyOf(templateNames...)
	if !ok {
		return
	}
	if inline := c.templates(templates); len(inline) > 0 {
		c.setPolicy(iter8v1alpha1.RoutingPolicySpec{
			SubjectRef: iter8v1alpha1.SubjectReference{Name: c.configMap.Name},
			Templates:  inline,
		})
	}
}

// version reads one version. One without resources is always available, as it was.
func (c *conversion) version(number int, item node) iter8v1alpha1.Variant {
	variant := iter8v1alpha1.Variant{Name: variantName(number)}
	if item.value == nil {
		return variant
	}
	if _, ok := item.mapping(); !ok {
		return variant
	}
	item.warnOfOthers("resources", "weight")
	variant.Weight = weight(item)
	field, ok := item.field("resources")
	if !ok {
		return variant
	}
	resources, _ := field.items()
	if len(resources) > maxResources {
		field.fail("has %d entries, and a variant has %d resources at most", len(resources), maxResources)
		return variant
	}
	for _, r := range resources {
		if reference, ok := c.versionResource(r); ok {
			variant.Resources = append(variant.Resources, reference)
		}
	}
	return variant
}

func (c *conversion) versionResource(item node) (reference iter8v1alpha1.ResourceReference, ok bool) {
	if _, ok := item.mapping(); !ok {
		return reference, false
	}
	item.warnOfOthers("gvrShort", "gvr", "name", "namespace")
	short, hasKind := item.anyOf("gvrShort", "gvr")
	if !hasKind {
		short.fail("is missing: write the short name of the resource's kind, such as svc")
	}
	nameField, hasName := item.field("name")
	if !hasName {
		nameField.fail("is missing: write the resource's name")
	}
	if !hasKind || !hasName {
		return reference, false
	}
	kind, known := c.resourceType(short)
	name, valid := objectName(nameField)
	namespace := ""
	if field, ok := item.field("namespace"); ok {
		namespace = c.namespace(field)
	}
	return resource(kind, name, namespace), known && valid
}

// weight reads the share of a version, relative to the others'.
func weight(item node) *int32 {
	field, ok := item.field("weight")
	if !ok {
		return nil
	}
	value, ok := field.value.(int64)
	switch {
	case !ok:
		field.mustBe("an integer without quotes")
	case value < 0:
		field.fail("is %d, and can't be negative", value)
	case value > iter8v1alpha1.MaxWeight:
		field.fail("is %d, and may be %d at most: weights are relative, so divide those of all versions by the same number", value, iter8v1alpha1.MaxWeight)
	default:
		w := int32(value)
		return &w
	}
	return nil
}
