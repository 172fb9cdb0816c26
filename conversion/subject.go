package conversion

import (
	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// convertSubject reads the kinds' short names once, and for each variant the names of its resources in the same
// order:
//
//	gvrs: [svc, deploy]
//	variants:
//	- [httpbin-v1, httpbin-v1]
//	- [httpbin-v2, httpbin-v2]
func (c *conversion) convertSubject(root node) {
	root.warnOfOthers("gvrs", "variants")
	kinds := c.subjectKinds(root)
	field, ok := root.field("variants")
	if !ok {
		field.fail("is missing: write a list with the names of its resources for each variant")
		return
	}
	items, ok := variantItems(field)
	if !ok {
		return
	}
	spec := iter8v1alpha1.SubjectSpec{}
	for i, item := range items {
		spec.Variants = append(spec.Variants, iter8v1alpha1.Variant{
			Name:      variantName(i + 1),
			Resources: namedResources(item, kinds),
		})
	}
	c.setSubject(spec)
}

func namedResources(variant node, kinds []*configv1alpha1.ResourceType) []iter8v1alpha1.ResourceReference {
	names, ok := variant.items()
	if !ok {
		return nil
	}
	if len(names) != len(kinds) {
		variant.fail("has %d names, and gvrs has %d: give one name for each kind, in the same order", len(names), len(kinds))
		return nil
	}
	var resources []iter8v1alpha1.ResourceReference
	for i, n := range names {
		if name, ok := objectName(n); ok && kinds[i] != nil {
			resources = append(resources, resource(*kinds[i], name, ""))
		}
	}
	return resources
}

// subjectKinds has nil in place of a kind that nobody knows, which is told.
func (c *conversion) subjectKinds(root node) []*configv1alpha1.ResourceType {
	field, ok := root.field("gvrs")
	if !ok {
		field.fail("is missing: write the short names of the kinds that a variant consists of, such as [svc, deploy]")
		return nil
	}
	items, _ := field.items()
	if len(items) > maxResources {
		field.fail("has %d kinds, and a variant has %d resources at most", len(items), maxResources)
	}
	kinds := make([]*configv1alpha1.ResourceType, len(items))
	for i, item := range items {
		if t, ok := c.resourceType(item); ok {
			kinds[i] = &t
		}
	}
	return kinds
}

// variantItems reads the list of variants, of whatever shape these are.
func variantItems(field node) ([]node, bool) {
	items, ok := field.items()
	switch {
	case !ok:
		return nil, false
	case len(items) == 0:
		field.fail("is empty, and a subject has at least one")
		return nil, false
	case len(items) > maxVariants:
		field.fail("has %d entries, and a subject has %d at most", len(items), maxVariants)
		return nil, false
	}
	return items, true
}
