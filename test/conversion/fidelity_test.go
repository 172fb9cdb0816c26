// Package conversion tests that what Iter8's ConfigMaps are converted to routes as Iter8 did.
package conversion

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/template"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"iter8.tools/operator/controllers/render"
	"iter8.tools/operator/conversion"
)

// iter8 is a routemap as Iter8's controller saw it, and as it gave it to the templates.
type iter8 struct {
	Name, Namespace string
	Labels          map[string]string
	Versions        []iter8Version
	Templates       map[string]iter8Template

	weights []uint32
}

type iter8Version struct {
	Weight *uint32 `json:"weight"`
}

type iter8Template struct {
	Template string `json:"template"`
}

// Weights is what templates call.
func (r *iter8) Weights() []uint32 { return r.weights }

// NormalizedWeights is what the templates of Iter8 0.13 read.
func (r *iter8) NormalizedWeights() []uint32 { return r.weights }

// Variants is another name of the versions.
func (r *iter8) Variants() []iter8Version { return r.Versions }

// weigh follows the description: an unavailable version weighs 0; else the annotation, else the version's
// weight, else 1; all zero gives the first version 1.
func (r *iter8) weigh(available []bool, annotated []*uint32) {
	r.weights = make([]uint32, len(r.Versions))
	total := uint32(0)
	for i, v := range r.Versions {
		switch {
		case !available[i]:
		case annotated[i] != nil:
			r.weights[i] = *annotated[i]
		case v.Weight != nil:
			r.weights[i] = *v.Weight
		default:
			r.weights[i] = 1
		}
		total += r.weights[i]
	}
	if total == 0 {
		r.weights[0] = 1
	}
}

// apply gives what Iter8 would have applied, by the name of the object.
func (r *iter8) apply(t *testing.T) map[string]map[string]any {
	t.Helper()
	g := NewWithT(t)
	applied := map[string]map[string]any{}
	for name, rt := range r.Templates {
		parsed, err := template.New(name).Option("missingkey=zero").Parse(rt.Template)
		g.Expect(err).NotTo(HaveOccurred())
		var out bytes.Buffer
		g.Expect(parsed.Execute(&out, r)).To(Succeed())
		object := map[string]any{}
		g.Expect(utilyaml.Unmarshal(out.Bytes(), &object)).To(Succeed())
		if len(object) > 0 {
			u := unstructured.Unstructured{Object: object}
			applied[u.GetKind()+"/"+u.GetName()] = object
		}
	}
	return applied
}

// read reads a routemap's ConfigMap as Iter8 did; false where it holds no templates.
func read(t *testing.T, configMap *corev1.ConfigMap) (*iter8, bool) {
	t.Helper()
	var spec struct {
		Versions         []iter8Version           `json:"versions"`
		Variants         []iter8Version           `json:"variants"`
		RoutingTemplates map[string]iter8Template `json:"routingTemplates"`
		SSAs             map[string]iter8Template `json:"ssas"`
	}
	text, ok := configMap.Data["strSpec"]
	if !ok || yaml.Unmarshal([]byte(text), &spec) != nil {
		return nil, false
	}
	r := &iter8{Name: configMap.Name, Namespace: configMap.Namespace, Labels: configMap.Labels,
		Versions: append(spec.Versions, spec.Variants...), Templates: spec.RoutingTemplates}
	if spec.SSAs != nil {
		r.Templates = spec.SSAs
	}
	for _, t := range r.Templates {
		if !strings.Contains(t.Template, "kind:") {
			return nil, false // it was no object in Iter8 either
		}
	}
	return r, len(r.Templates) > 0 && len(r.Versions) > 0
}

func TestRoutemapsRouteAsTheyDidInIter8ForEveryCombinationOfAvailability(t *testing.T) {
	inputs, err := filepath.Glob(filepath.Join("..", "..", "conversion", "testdata", "*.in.yaml"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	compared := 0
	for _, input := range inputs {
		data, err := os.ReadFile(input)
		NewWithT(t).Expect(err).NotTo(HaveOccurred())
		configMap := &corev1.ConfigMap{}
		if yaml.Unmarshal(data, configMap) != nil {
			continue
		}
		routemap, ok := read(t, configMap)
		result, err := conversion.Convert(configMap, conversion.Options{})
		if !ok || err != nil || result.Policy == nil {
			continue
		}
		compared++
		t.Run(strings.TrimSuffix(filepath.Base(input), ".in.yaml"), func(t *testing.T) {
			for combination := range 1 << len(routemap.Versions) {
				for _, annotation := range []*uint32{nil, ptr(0), ptr(42)} {
					compare(t, routemap, result, combination, annotation)
				}
			}
		})
	}
	NewWithT(t).Expect(compared).To(BeNumerically(">=", 7), "routemaps with templates in the conversion's testdata")
}

// compare renders one state of the versions both ways. The annotation is on the last version.
func compare(t *testing.T, routemap *iter8, result conversion.Result, combination int, annotation *uint32) {
	t.Helper()
	g := NewWithT(t)
	last := len(routemap.Versions) - 1
	available, annotated := make([]bool, last+1), make([]*uint32, last+1)
	annotated[last] = annotation
	variants := make([]render.Variant, 0, last+1)
	for i, v := range result.Subject.Spec.Variants {
		// A version without resources was always available, and nothing can be annotated.
		available[i] = combination&(1<<i) != 0 || len(v.Resources) == 0
		if len(v.Resources) == 0 {
			annotated[i] = nil
		}
		weight := int32(1)
		switch {
		case annotated[i] != nil:
			weight = int32(*annotated[i]) //nolint:gosec // 0 or 42
		case v.Weight != nil:
			weight = *v.Weight
		}
		variants = append(variants, render.Variant{Name: v.Name, Number: i + 1, Available: available[i], Weight: weight})
	}
	routemap.weigh(available, annotated)

	manifests, err := render.NewRenderer().Manifests(render.Input{
		Templates: result.Policy.Spec.Templates,
		Namespace: result.Policy.Namespace,
		Policy:    result.Policy.Name,
		Labels:    routemap.Labels,
		Subject:   types.NamespacedName{Namespace: result.Policy.Namespace, Name: result.Policy.Spec.SubjectRef.Name},
		Variants:  variants,
	})
	what := fmt.Sprintf("available %v, the last annotated %v", available, annotation)
	g.Expect(err).NotTo(HaveOccurred(), what)
	rendered := map[string]map[string]any{}
	for _, m := range manifests {
		rendered[m.GetKind()+"/"+m.GetName()] = m.Object
	}
	wanted := routemap.apply(t)
	g.Expect(keys(rendered)).To(Equal(keys(wanted)), what)
	for name := range wanted {
		g.Expect(normal(t, rendered[name])).To(MatchYAML(normal(t, wanted[name])), what+": "+name)
	}
}

func normal(t *testing.T, object map[string]any) []byte {
	t.Helper()
	data, err := yaml.Marshal(object)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return data
}

func keys(objects map[string]map[string]any) []string {
	names := []string{}
	for name := range objects {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

func ptr(n uint32) *uint32 { return &n }
