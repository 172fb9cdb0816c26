package conversion

import (
	corev1 "k8s.io/api/core/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Format is one in which Iter8 kept its objects in ConfigMaps.
type Format string

// The formats; the documentation of the package has an example of each.
const (
	// FormatSubject is a subject with data.spec: short names of kinds, and for each variant the names of its
	// resources.
	FormatSubject Format = "subject"
	// FormatRoutingPolicy is a routing policy with data.spec: a trigger, a chart and its values.
	FormatRoutingPolicy Format = "routing policy"
	// FormatSubjectWithTemplates is a subject with data.strSpec: variants with resources, and the templates
	// (ssas) to be applied.
	FormatSubjectWithTemplates Format = "subject with templates"
	// FormatRoutemap is a routemap with data.strSpec: versions with resources, and routing templates.
	FormatRoutemap Format = "routemap"
	// FormatUnknown is what carries Iter8's label and is in no known format. Convert tells why.
	FormatUnknown Format = "unknown"
)

const (
	// ManagedByValue is the value of the label app.kubernetes.io/managed-by on all of Iter8's ConfigMaps.
	ManagedByValue = "iter8"
	// KindLabel tells, where it is there, what a ConfigMap of Iter8 holds: subject, routemap or routingpolicy.
	KindLabel = "iter8.tools/kind"
	// VersionLabel tells which version of Iter8's controller was to read a ConfigMap.
	VersionLabel = "iter8.tools/version"

	specKey    = "spec"
	strSpecKey = "strSpec"
)

// Recognise tells whether a ConfigMap is one of Iter8's, and in which format: by the label
// app.kubernetes.io/managed-by: iter8, then by iter8.tools/kind, and where that isn't there by the shape of what
// it holds. A ConfigMap of another iter8.tools/kind is none of ours.
func Recognise(configMap *corev1.ConfigMap) (Format, bool) {
	if configMap.Labels[iter8v1alpha1.ManagedByLabel] != ManagedByValue {
		return "", false
	}
	switch kind, given := configMap.Labels[KindLabel]; {
	case !given:
		return formatByShape(fieldsOf(configMap)), true
	case kind == "routemap":
		return FormatRoutemap, true
	case kind == "routingpolicy":
		return FormatRoutingPolicy, true
	case kind == "subject":
		if key, _, _ := specOf(configMap); key == specKey && !hasResources(fieldsOf(configMap)) {
			return FormatSubject, true
		}
		return FormatSubjectWithTemplates, true
	default:
		return "", false
	}
}

// formatByShape goes by fields that only one format has; variants tell by what they are made of.
func formatByShape(fields map[string]any) Format {
	has := func(names ...string) bool {
		for _, name := range names {
			if _, ok := fields[name]; ok {
				return true
			}
		}
		return false
	}
	switch {
	case has("trigger", "chart"):
		return FormatRoutingPolicy
	case has("gvrs"):
		return FormatSubject
	case has("versions", "routingTemplates"):
		return FormatRoutemap
	case has("ssas"), has("variants") && hasResources(fields):
		return FormatSubjectWithTemplates
	case has("variants"):
		return FormatSubject
	default:
		return FormatUnknown
	}
}

// hasResources tells whether variants are mappings, with resources each, rather than lists of names.
func hasResources(fields map[string]any) bool {
	variants, _ := fields["variants"].([]any)
	for _, variant := range variants {
		if _, ok := variant.(map[string]any); ok {
			return true
		}
	}
	return false
}

// fieldsOf are the fields of what a ConfigMap holds; none where that is no YAML mapping.
func fieldsOf(configMap *corev1.ConfigMap) map[string]any {
	_, text, _ := specOf(configMap)
	content, err := decode(text)
	if err != nil {
		return nil
	}
	fields, _ := content.(map[string]any)
	return fields
}

// specOf gives what a ConfigMap holds, under whichever of Iter8's two keys.
func specOf(configMap *corev1.ConfigMap) (key, text string, ok bool) {
	for _, key := range []string{strSpecKey, specKey} {
		if text, ok := configMap.Data[key]; ok {
			return key, text, true
		}
	}
	return "", "", false
}
