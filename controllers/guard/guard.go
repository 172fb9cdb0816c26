// Package guard decides whether rendered manifests are what a policy may apply. It is pure.
package guard

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

const (
	// MaxObjects is how many objects a policy may render.
	MaxObjects = 50
	// MaxBytes is how large they may be together, as JSON.
	MaxBytes = 1 << 20
)

// Rules are what manifests are held against.
type Rules struct {
	// Namespace of the policy, the only one that it may apply to.
	Namespace string
	// Kinds that may be rendered.
	Kinds []schema.GroupKind
}

// Violations gives one sentence for each rule that an object breaks, naming both, in the manifests' order.
// None means that the manifests may be applied.
func Violations(rules Rules, manifests []*unstructured.Unstructured) []string {
	var violations []string
	if len(manifests) > MaxObjects {
		violations = append(violations, fmt.Sprintf("%d objects are rendered, and at most %d are allowed", len(manifests), MaxObjects))
	}
	if size := size(manifests); size > MaxBytes {
		violations = append(violations, fmt.Sprintf("%d bytes are rendered, and at most %d are allowed", size, MaxBytes))
	}
	seen := map[string]bool{}
	for _, m := range manifests {
		for _, broken := range check(rules, m) {
			violations = append(violations, Name(m)+" "+broken)
		}
		key := m.GroupVersionKind().GroupKind().String() + "/" + m.GetName()
		if seen[key] {
			violations = append(violations, Name(m)+" is rendered twice")
		}
		seen[key] = true
	}
	return violations
}

// Name is how messages name a manifest: Kind name.
func Name(m *unstructured.Unstructured) string {
	if m.GetName() == "" {
		return m.GetKind() + " without a name"
	}
	return m.GetKind() + " " + m.GetName()
}

func check(rules Rules, m *unstructured.Unstructured) []string {
	var broken []string
	add := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }

	gk := m.GroupVersionKind().GroupKind()
	switch {
	case m.IsList() || strings.HasSuffix(m.GetKind(), "List") && m.GroupVersionKind().Group == "":
		add("is a list; render its items as documents of their own")
		return broken
	case !slices.Contains(rules.Kinds, gk):
		add("is of a kind that policies may not render: %s; allowed are %s", gk, kindNames(rules.Kinds))
	}
	if m.GetName() == "" {
		add("has no metadata.name")
	}
	if m.GetGenerateName() != "" {
		add("sets metadata.generateName")
	}
	if ns := m.GetNamespace(); ns != "" && ns != rules.Namespace {
		add("is in namespace %s, and a policy of namespace %s may only render objects of its own", ns, rules.Namespace)
	}
	if len(m.GetOwnerReferences()) > 0 {
		add("sets metadata.ownerReferences, which are the operator's to set")
	}
	if len(m.GetFinalizers()) > 0 {
		add("sets metadata.finalizers")
	}
	if by, set := m.GetLabels()[iter8v1alpha1.ManagedByLabel]; set && by != iter8v1alpha1.FieldManager {
		add("sets the label %s to %s, which is the operator's to set", iter8v1alpha1.ManagedByLabel, by)
	}
	if _, hook := m.GetAnnotations()["helm.sh/hook"]; hook {
		add("is a Helm hook")
	}
	for _, field := range []string{"uid", "resourceVersion", "generation", "creationTimestamp", "managedFields"} {
		if metadata, ok := m.Object["metadata"].(map[string]any); ok && metadata[field] != nil {
			add("sets metadata.%s, which is the apiserver's to set", field)
		}
	}
	if _, set := m.Object["status"]; set {
		add("sets status")
	}
	return broken
}

func kindNames(kinds []schema.GroupKind) string {
	names := make([]string, 0, len(kinds))
	for _, k := range kinds {
		names = append(names, k.String())
	}
	return strings.Join(names, ", ")
}

func size(manifests []*unstructured.Unstructured) int {
	total := 0
	for _, m := range manifests {
		data, err := json.Marshal(m.Object)
		if err != nil {
			return MaxBytes + 1
		}
		total += len(data)
	}
	return total
}
