// Package guard decides whether rendered manifests are what a policy may apply. It is pure.
package guard

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/validate/content"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/conditions"
)

const (
	// MaxObjects is how many objects a policy may render.
	MaxObjects = 50
	// maxName is how long an object's name may be; see the API conventions.
	maxName = 253
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
	if len(manifests) > MaxObjects {
		return []string{fmt.Sprintf("%d objects are rendered, and at most %d are allowed", len(manifests), MaxObjects)}
	}
	if size := size(manifests); size > MaxBytes {
		return []string{fmt.Sprintf("%d bytes are rendered, and at most %d are allowed", size, MaxBytes)}
	}
	var violations []string
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
	return m.GetKind() + " " + conditions.Truncate(m.GetName(), maxName)
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
	} else if wrong := content.IsPathSegmentName(m.GetName()); len(wrong) > 0 || len(m.GetName()) > maxName {
		add("has a metadata.name that no object can have")
	}
	if m.GetGenerateName() != "" {
		add("sets metadata.generateName")
	}
	if ns := m.GetNamespace(); ns != "" && ns != rules.Namespace {
		add("is in namespace %s, and a policy of namespace %s may only render objects of its own", ns, rules.Namespace)
	}
	metadata, _ := m.Object["metadata"].(map[string]any)
	if _, isText := metadata["namespace"].(string); metadata["namespace"] != nil && !isText {
		add("has a metadata.namespace that is not a string")
	}
	for _, field := range []string{"labels", "annotations"} {
		if _, _, err := unstructured.NestedStringMap(metadata, field); err != nil && metadata[field] != nil {
			add("has metadata.%s whose values are not all text", field)
		}
	}
	for _, f := range forbiddenFields {
		if isSet(metadata[f.name]) {
			add("sets metadata.%s%s", f.name, f.why)
		}
	}
	if by, set := m.GetLabels()[iter8v1alpha1.ManagedByLabel]; set && by != iter8v1alpha1.FieldManager {
		add("sets the label %s to %s, which is the operator's to set", iter8v1alpha1.ManagedByLabel, by)
	}
	annotations := m.GetAnnotations()
	for _, name := range slices.Sorted(maps.Keys(annotations)) {
		if why, forbidden := forbiddenAnnotation(name); forbidden {
			add("sets the annotation %s, %s", name, why)
		}
	}
	if _, set := m.Object["status"]; set {
		add("sets status")
	}
	return broken
}

// forbiddenFields of metadata are what somebody else sets.
var forbiddenFields = []struct{ name, why string }{
	{"ownerReferences", ", which are the operator's to set"},
	{"finalizers", ""},
	{"uid", apiserver},
	{"resourceVersion", apiserver},
	{"generation", apiserver},
	{"creationTimestamp", apiserver},
	{"deletionTimestamp", apiserver},
	{"managedFields", apiserver},
	{"selfLink", apiserver},
}

const apiserver = ", which is the apiserver's to set"

// isSet tells whether a field has anything in it.
func isSet(value any) bool {
	switch value := value.(type) {
	case nil:
		return false
	case []any:
		return len(value) > 0
	case map[string]any:
		return len(value) > 0
	default:
		return true
	}
}

// forbiddenAnnotation says why a rendered object may not carry an annotation.
func forbiddenAnnotation(name string) (why string, forbidden bool) {
	switch {
	case strings.HasPrefix(name, "helm.sh/hook"):
		return "and Helm's hooks are not run", true
	case name == "helm.sh/resource-policy":
		return "which the operator doesn't keep to: what leaves the render is deleted", true
	case strings.HasPrefix(name, "meta.helm.sh/"):
		return "which says that Helm manages the object", true
	case name == "kubectl.kubernetes.io/last-applied-configuration":
		return "which would have kubectl apply remove what others set", true
	case name == iter8v1alpha1.AdoptAnnotation:
		return "which hands the object over to other policies; that is for a person to do", true
	case name == iter8v1alpha1.ConvertedFromAnnotation, name == iter8v1alpha1.ConvertedFromUIDAnnotation:
		return "which is the operator's to set", true
	}
	return "", false
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
