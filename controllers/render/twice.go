package render

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Twice renders an input two times. Where that doesn't give the same manifests the error wraps ErrNonDeterministic:
// such an object would be written anew, with another content, whenever anything makes it be rendered.
func (r *Renderer) Twice(in Input) ([]*unstructured.Unstructured, error) {
	first, err := r.Manifests(in)
	if err != nil {
		return nil, err
	}
	second, err := r.Manifests(in)
	if err != nil {
		return nil, err
	}
	if err := same(first, second); err != nil {
		return nil, err
	}
	return first, nil
}

func same(first, second []*unstructured.Unstructured) error {
	if len(first) != len(second) {
		return fmt.Errorf("%w: rendered twice, there are %d objects and then %d", ErrNonDeterministic, len(first), len(second))
	}
	for i := range first {
		if at, differs := difference(first[i].Object, second[i].Object, ""); differs {
			return fmt.Errorf("%w: rendered twice, %s differs at %s; a chart may not use the time, random values or the order of keys",
				ErrNonDeterministic, nameOf(i, first[i], second[i]), at)
		}
	}
	return nil
}

// nameOf names a manifest by its kind and name, or by its place where these differ too.
func nameOf(i int, a, b *unstructured.Unstructured) string {
	if a.GetKind() != b.GetKind() || a.GetName() != b.GetName() {
		return fmt.Sprintf("object %d", i+1)
	}
	return a.GetKind() + " " + a.GetName()
}

// difference returns the path of the first field, in the order of their names, that two values differ in.
func difference(a, b any, path string) (string, bool) {
	switch a := a.(type) {
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok {
			return path, true
		}
		for _, key := range slices.Sorted(maps.Keys(a)) {
			at := key
			if path != "" {
				at = path + "." + key
			}
			other, ok := b[key]
			if !ok {
				return at, true
			}
			if found, differs := difference(a[key], other, at); differs {
				return found, true
			}
		}
		return path, len(a) != len(b)
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return path, true
		}
		for i := range a {
			if found, differs := difference(a[i], b[i], path+"["+strconv.Itoa(i)+"]"); differs {
				return found, true
			}
		}
		return "", false
	default:
		return path, !reflect.DeepEqual(a, b)
	}
}
