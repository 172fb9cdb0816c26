package charts

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/charts"
	"iter8.tools/operator/controllers/chart"
	"iter8.tools/operator/controllers/render"
)

// A goldenCase is what a testdata/CHART/NAME.in.yaml holds: a Subject, a RoutingPolicy for that chart, and the state
// of the cluster.
type goldenCase struct {
	Subject iter8v1alpha1.Subject
	Policy  iter8v1alpha1.RoutingPolicy
	Cluster struct {
		// Available are the variants that are.
		Available []string `json:"available"`
		// APIVersions that the cluster serves; none where it isn't known.
		APIVersions []string `json:"apiVersions"`
		// PodLabels of the Deployments that exist, by name.
		PodLabels map[string]map[string]string `json:"podLabels"`
	}
	// manifests are the Subject and the RoutingPolicy as they are written.
	manifests []*unstructured.Unstructured
	// output is the path of what is to be rendered.
	output string
}

func TestChartsRenderWhatTheirGoldenFilesSay(t *testing.T) {
	for name, in := range goldenCases(t) {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(in.Policy.Spec.Chart.Name).To(Equal(filepath.Base(filepath.Dir(in.output))))
			input := in.input(t)
			manifests, err := render.Manifests(input)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(input).To(Equal(in.input(t)), "rendering changes its input")

			got := marshal(t, manifests)
			if os.Getenv("UPDATE_GOLDEN") != "" {
				g.Expect(os.WriteFile(in.output, got, 0o600)).To(Succeed())
			}
			want, err := os.ReadFile(in.output)
			g.Expect(err).NotTo(HaveOccurred(), "make golden writes it")
			g.Expect(string(got)).To(Equal(string(want)), "make golden rewrites it, if this is meant")
		})
	}
}

func TestEveryGoldenFileHasItsInput(t *testing.T) {
	g := NewWithT(t)
	outputs, err := filepath.Glob(filepath.Join("testdata", "*", "*.out.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	for _, output := range outputs {
		g.Expect(strings.TrimSuffix(output, ".out.yaml") + ".in.yaml").To(BeAnExistingFile())
	}
}

func TestTheAPIAcceptsWhatChartsRender(t *testing.T) {
	cluster := controlPlane(t).Client()
	for name, in := range goldenCases(t) {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			for _, manifest := range in.manifests {
				g.Expect(cluster.Create(t.Context(), manifest, client.DryRunAll, client.FieldValidation("Strict"))).To(Succeed())
			}

			golden, err := os.ReadFile(in.output)
			g.Expect(err).NotTo(HaveOccurred())
			for _, document := range documents(t, golden) {
				sent := &unstructured.Unstructured{Object: object(t, document)}
				sent.SetNamespace(in.Policy.Namespace)
				kept := sent.DeepCopy()
				g.Expect(cluster.Patch(t.Context(), kept, client.Apply, //nolint:staticcheck // client.Apply() has no strict validation
					client.DryRunAll, client.FieldOwner(iter8v1alpha1.FieldManager), client.FieldValidation("Strict"))).To(Succeed())
				g.Expect(equality.Semantic.DeepDerivative(sent.Object, kept.Object)).To(BeTrue(),
					"the API keeps\n%v\nof\n%v", kept.Object, sent.Object)
			}
		})
	}
}

// goldenCases are all pairs of testdata, by CHART/NAME.
func goldenCases(t *testing.T) map[string]*goldenCase {
	t.Helper()
	g := NewWithT(t)
	files, err := filepath.Glob(filepath.Join("testdata", "*", "*.in.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(files).NotTo(BeEmpty())

	cases := make(map[string]*goldenCase, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		parts := documents(t, data)
		g.Expect(parts).To(HaveLen(3), "%s: a Subject, a RoutingPolicy and the state of the cluster", file)
		path := strings.TrimSuffix(file, ".in.yaml")
		in := &goldenCase{output: path + ".out.yaml"}
		for i, part := range []any{&in.Subject, &in.Policy, &in.Cluster} {
			g.Expect(yaml.UnmarshalStrict(parts[i], part)).To(Succeed(), file)
		}
		for _, part := range parts[:2] {
			in.manifests = append(in.manifests, &unstructured.Unstructured{Object: object(t, part)})
		}
		cases[strings.TrimPrefix(path, "testdata"+string(filepath.Separator))] = in
	}
	return cases
}

// input is what the operator would render for the case.
func (in *goldenCase) input(t *testing.T) render.Input {
	t.Helper()
	input := render.Input{
		Chart:       builtIn(t, in.Policy.Spec.Chart.Name),
		Values:      object(t, in.Policy.Spec.Values.Raw),
		Namespace:   in.Policy.Namespace,
		Policy:      in.Policy.Name,
		Subject:     client.ObjectKeyFromObject(&in.Subject),
		APIVersions: in.Cluster.APIVersions,
	}
	for i, variant := range in.Subject.Spec.Variants {
		triggers := in.Policy.Spec.Trigger == nil || slices.Contains(in.Policy.Spec.Trigger.Variants, variant.Name)
		state := render.Variant{
			Name:      variant.Name,
			Number:    i + 1,
			Available: !triggers || slices.Contains(in.Cluster.Available, variant.Name),
			Weight:    1,
		}
		if variant.Weight != nil {
			state.Weight, state.Weighted = *variant.Weight, true
		}
		for _, resource := range variant.Resources {
			rendered := render.Resource{Kind: resource.Kind, Name: resource.Name}
			if resource.Kind == "Deployment" {
				rendered.PodLabels = in.Cluster.PodLabels[resource.Name]
			}
			state.Resources = append(state.Resources, rendered)
		}
		input.Variants = append(input.Variants, state)
	}
	return input
}

func marshal(t *testing.T, manifests []*unstructured.Unstructured) []byte {
	t.Helper()
	var out bytes.Buffer
	for i, manifest := range manifests {
		if i > 0 {
			out.WriteString("---\n")
		}
		data, err := yaml.Marshal(manifest.Object)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	return out.Bytes()
}

func documents(t *testing.T, data []byte) [][]byte {
	t.Helper()
	var all [][]byte
	for reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data))); ; {
		document, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, document)
	}
}

// object reads YAML or JSON as the API machinery does: integers stay integers.
func object(t *testing.T, data []byte) map[string]any {
	t.Helper()
	json, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	object := map[string]any{}
	if err := utiljson.Unmarshal(json, &object); err != nil {
		t.Fatal(err)
	}
	return object
}

// builtIn is a chart as it is built into the operator.
func builtIn(t *testing.T, name string) *helmchart.Chart {
	t.Helper()
	all, err := builtInCharts()
	if err != nil {
		t.Fatal(err)
	}
	resolved, err := all.Resolve(iter8v1alpha1.ChartReference{Name: name, Version: "0.14.x"})
	if err != nil {
		t.Fatal(err)
	}
	return resolved.Helm
}

var builtInCharts = sync.OnceValues(func() (*chart.BuiltIn, error) { return chart.LoadBuiltIn(charts.FS) })
