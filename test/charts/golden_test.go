package charts

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/charts"
	"iter8.tools/operator/controllers/chart"
	"iter8.tools/operator/controllers/render"
)

// A goldenCase is what a testdata/CHART/NAME.in.yaml holds: a RoutingPolicy for that chart and, if it matters, the state of
// the cluster.
type goldenCase struct {
	Policy  iter8v1alpha1.RoutingPolicy
	Cluster struct {
		// Experimental reports whether the objects take the experimental channel of the Gateway API.
		Experimental bool `json:"experimental"`
	}
	// manifest is the RoutingPolicy as it is written.
	manifest *unstructured.Unstructured
	// output is the path of what is to be rendered.
	output string
}

func TestChartsRenderWhatTheirGoldenFilesSay(t *testing.T) {
	for name, in := range goldenCases(t) {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(in.Policy.Spec.Chart.Name).To(Equal(filepath.Base(filepath.Dir(in.output))))
			input := in.input(t)
			manifests, err := render.NewRenderer().Manifests(input)
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

// TestNoStateOfTheVariantsChangesWhatChartsRender is what the annotation says that their Chart.yaml has.
func TestNoStateOfTheVariantsChangesWhatChartsRender(t *testing.T) {
	weighted := func(name string, available bool, weight int32) render.Variant {
		return render.Variant{Name: name, Available: available, Weight: weight, Weighted: true, Resources: []render.Resource{
			{Kind: "Service", Name: name}, {Kind: "Deployment", Name: name},
		}}
	}
	for name, in := range goldenCases(t) {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(builtIn(t, in.Policy.Spec.Chart.Name).Metadata.Annotations).To(HaveKeyWithValue("iter8.tools/stateless", "true"))
			want, err := os.ReadFile(in.output)
			g.Expect(err).NotTo(HaveOccurred(), "make golden writes it")
			for _, available := range []bool{false, true} {
				manifests, err := render.NewRenderer().Manifests(in.input(t, weighted("httpbin-v2", available, 0), weighted("mirror", available, 1000)))
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(string(marshal(t, manifests))).To(Equal(string(want)))
			}
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
			g.Expect(cluster.Create(t.Context(), in.manifest, client.DryRunAll, client.FieldValidation("Strict"))).To(Succeed())
			golden, err := os.ReadFile(in.output)
			g.Expect(err).NotTo(HaveOccurred())
			if in.Cluster.Experimental {
				g.Expect(yaml.UnmarshalStrict(golden, &gatewayv1.HTTPRoute{})).To(Succeed(), "the control plane has the standard channel")
				return
			}
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
		path := strings.TrimSuffix(file, ".in.yaml")
		cases[strings.TrimPrefix(path, "testdata"+string(filepath.Separator))] = readCase(t, path+".out.yaml", data)
	}
	return cases
}

func readCase(t *testing.T, output string, data []byte) *goldenCase {
	t.Helper()
	g := NewWithT(t)
	parts := documents(t, data)
	g.Expect(len(parts)).To(BeElementOf(1, 2), "%s comes of a RoutingPolicy, and the state of the cluster", output)
	in := &goldenCase{output: output, manifest: &unstructured.Unstructured{Object: object(t, parts[0])}}
	for i, into := range []any{&in.Policy, &in.Cluster}[:len(parts)] {
		g.Expect(yaml.UnmarshalStrict(parts[i], into)).To(Succeed(), output)
	}
	return in
}

// input is what the operator would render for the case.
func (in *goldenCase) input(t *testing.T, variants ...render.Variant) render.Input {
	t.Helper()
	return render.Input{
		Chart:     builtIn(t, in.Policy.Spec.Chart.Name),
		Values:    object(t, in.Policy.Spec.Values.Raw),
		Namespace: in.Policy.Namespace,
		Policy:    in.Policy.Name,
		Subject:   types.NamespacedName{Namespace: in.Policy.Namespace, Name: in.Policy.Spec.SubjectRef.Name},
		Variants:  variants,
	}
}

// renderFor renders a chart for values and no more.
func renderFor(t *testing.T, chart, values string, apiVersions ...string) ([]*unstructured.Unstructured, error) {
	t.Helper()
	return render.NewRenderer().Manifests(render.Input{
		Chart:       builtIn(t, chart),
		Values:      object(t, []byte(values)),
		Namespace:   "default",
		Policy:      "httpbin-route",
		Subject:     types.NamespacedName{Namespace: "default", Name: "httpbin"},
		APIVersions: apiVersions,
	})
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
