package conversion

import (
	"errors"
	"maps"
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Each target feeds what a ConfigMap holds to the parser of one format; seeds are the golden inputs, and what once
// broke something, in testdata/fuzz. `make fuzz` runs them.

func FuzzSubject(f *testing.F)       { fuzz(f, FormatSubject, specKey, "subject") }
func FuzzRoutingPolicy(f *testing.F) { fuzz(f, FormatRoutingPolicy, specKey, "routingpolicy") }
func FuzzRoutemap(f *testing.F)      { fuzz(f, FormatRoutemap, strSpecKey, "routemap") }
func FuzzSubjectWithTemplates(f *testing.F) {
	fuzz(f, FormatSubjectWithTemplates, strSpecKey, "subject")
}

func fuzz(f *testing.F, format Format, key, kind string) {
	for _, configMap := range goldenInputs(f) {
		for _, text := range configMap.Data {
			f.Add(text)
		}
	}
	f.Fuzz(func(t *testing.T, text string) {
		configMap := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Name:      "fuzzed",
				Namespace: "default",
				UID:       "7f0c1f0e-6a29-4f0b-9a40-0f2d7b2d3d11",
				Labels:    map[string]string{iter8v1alpha1.ManagedByLabel: ManagedByValue, KindLabel: kind},
			},
			Data: map[string]string{key: text},
		}
		// A subject in data.spec may be of either format.
		if recognised, ok := Recognise(configMap); !ok || recognised != format && key != specKey {
			t.Errorf("is recognised as %q", recognised)
		}
		check(t, configMap)
	})
}

// FuzzConfigMap goes by the shape, under any name and label.
func FuzzConfigMap(f *testing.F) {
	for _, configMap := range goldenInputs(f) {
		for _, key := range slices.Sorted(maps.Keys(configMap.Data)) {
			f.Add(configMap.Name, configMap.Namespace, configMap.Labels[KindLabel], "team", key, configMap.Data[key])
		}
	}
	f.Fuzz(func(t *testing.T, name, namespace, kind, label, key, text string) {
		configMap := &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{
				Name:      name,
				Namespace: namespace,
				Labels:    map[string]string{label: kind, iter8v1alpha1.ManagedByLabel: ManagedByValue},
			},
			Data: map[string]string{key: text},
		}
		if kind != "" {
			configMap.Labels[KindLabel] = kind
		}
		check(t, configMap)
	})
}

func check(t *testing.T, configMap *corev1.ConfigMap) {
	t.Helper()
	before := configMap.DeepCopy()
	result, err := Convert(configMap, Options{})
	if !equal(before, configMap) {
		t.Error("converting changes its input")
	}
	if err != nil {
		var problems Errors
		if !errors.Is(err, ErrNotIter8) && (!errors.As(err, &problems) || len(problems) == 0 || len(problems) > maxFindings) {
			t.Errorf("the error is %#v", err)
		}
		if result.Subject != nil || result.Policy != nil {
			t.Error("with an error come objects")
		}
		return
	}
	if len(result.Warnings) > maxFindings {
		t.Errorf("there are %d warnings", len(result.Warnings))
	}
	checkInvariants(t, result)
	if _, err := result.Manifests(); err != nil {
		t.Error(err)
	}
}
