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
	"testing"

	. "github.com/onsi/gomega"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/charts"
	"iter8.tools/operator/controllers/chart"
	"iter8.tools/operator/controllers/render"
)

// A mirrorCase is what a NAME.in.yaml holds: a Subject, a RoutingPolicy, and the state of the cluster.
type mirrorCase struct {
	Subject iter8v1alpha1.Subject
	Policy  iter8v1alpha1.RoutingPolicy
	Cluster struct {
		// Available are the variants that are.
		Available []string `json:"available"`
		// APIVersions that the cluster serves; none where it isn't known.
		APIVersions []string `json:"apiVersions"`
	}
	// manifests are the Subject and the RoutingPolicy as they are written.
	manifests []*unstructured.Unstructured
}

func TestMirrorRendersWhatItsGoldenFilesSay(t *testing.T) {
	for name, in := range mirrorCases(t) {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			input := in.input(t)
			manifests, err := render.Manifests(input)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(input).To(Equal(in.input(t)), "rendering changes its input")

			got := marshal(t, manifests)
			golden := filepath.Join("testdata", "mirror", name+".out.yaml")
			if os.Getenv("UPDATE_GOLDEN") != "" {
				g.Expect(os.WriteFile(golden, got, 0o600)).To(Succeed())
			}
			want, err := os.ReadFile(golden)
			g.Expect(err).NotTo(HaveOccurred(), "make golden writes it")
			g.Expect(string(got)).To(Equal(string(want)), "make golden rewrites it, if this is meant")
		})
	}
}

func TestEveryMirrorGoldenFileHasItsInput(t *testing.T) {
	g := NewWithT(t)
	outputs, err := filepath.Glob(filepath.Join("testdata", "mirror", "*.out.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	for _, output := range outputs {
		g.Expect(strings.TrimSuffix(output, ".out.yaml") + ".in.yaml").To(BeAnExistingFile())
	}
}

func TestTheAPIAcceptsWhatMirrorRenders(t *testing.T) {
	cluster := controlPlane(t).Client()
	for name, in := range mirrorCases(t) {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			for _, manifest := range in.manifests {
				g.Expect(cluster.Create(t.Context(), manifest, client.DryRunAll)).To(Succeed())
			}

			golden, err := os.ReadFile(filepath.Join("testdata", "mirror", name+".out.yaml"))
			g.Expect(err).NotTo(HaveOccurred())
			for _, document := range documents(t, golden) {
				sent := &unstructured.Unstructured{Object: object(t, document)}
				sent.SetNamespace(in.Policy.Namespace)
				kept := sent.DeepCopy()
				g.Expect(cluster.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(kept),
					client.DryRunAll, client.FieldOwner(iter8v1alpha1.FieldManager))).To(Succeed())
				g.Expect(equality.Semantic.DeepDerivative(sent.Object, kept.Object)).To(BeTrue(),
					"the API keeps\n%v\nof\n%v", kept.Object, sent.Object)
			}
		})
	}
}

func TestMirrorRefusesValuesThatCannotBe(t *testing.T) {
	const rule = "rules: [{filters: [%s]}]"
	mirror := func(more string) string {
		return strings.Replace(rule, "%s", "{type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}"+more+"}}", 1)
	}
	filter := func(filter string) string { return strings.Replace(rule, "%s", filter, 1) }

	for name, test := range map[string]struct{ values, message string }{
		"no values":                                {"{}", "rules: minItems: got 0, want 1"},
		"no rules":                                 {"rules: []", "rules: minItems: got 0, want 1"},
		"a value that the chart doesn't have":      {"rules: [{}]\nrule: []", "additional properties 'rule' not allowed"},
		"rules that are no list":                   {"rules: all", "rules: got string, want array"},
		"hostnames that are no strings":            {"rules: [{}]\nhostnames: [1]", "hostnames.0: got number, want string"},
		"parentRefs that are no objects":           {"rules: [{}]\nparentRefs: [httpbin]", "parentRefs.0: got string, want object"},
		"a filter without a type":                  {filter("{}"), "rules.0.filters.0: missing property 'type'"},
		"a filter of an unknown type":              {filter("{type: Mirror}"), "rules.0.filters.0.type: value must be one of"},
		"a mirror without its requestMirror":       {filter("{type: RequestMirror}"), "missing property 'requestMirror'"},
		"a mirror without a backend":               {filter("{type: RequestMirror, requestMirror: {percent: 1}}"), "missing property 'backendRef'"},
		"a mirror whose backend has no name":       {filter("{type: RequestMirror, requestMirror: {backendRef: {port: 80}}}"), "missing property 'name'"},
		"a mirror of a backendRef without backend": {"rules: [{backendRefs: [{name: v1, filters: [{type: RequestMirror}]}]}]", "rules.0.backendRefs.0.filters.0: missing property 'requestMirror'"},
		"more than all requests":                   {mirror(", percent: 101"), "percent: maximum: got 101, want 100"},
		"less than no request":                     {mirror(", percent: -1"), "percent: minimum: got -1, want 0"},
		"half a percent":                           {mirror(", percent: 0.5"), "percent: got number, want integer"},
		"a negative numerator":                     {mirror(", fraction: {numerator: -1}"), "numerator: minimum: got -1, want 0"},
		"a denominator of zero":                    {mirror(", fraction: {numerator: 1, denominator: 0}"), "denominator: minimum: got 0, want 1"},
		"a fraction without a numerator":           {mirror(", fraction: {denominator: 10}"), "fraction: missing property 'numerator'"},
		"both a percentage and a fraction":         {mirror(", percent: 1, fraction: {numerator: 1}"), "'not' failed"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			_, err := render.Manifests(render.Input{
				Chart:     mirrorChart(t),
				Values:    object(t, []byte(test.values)),
				Namespace: "default",
				Policy:    "httpbin-route",
				Subject:   types.NamespacedName{Namespace: "default", Name: "httpbin"},
			})
			g.Expect(err).To(MatchError(render.ErrInvalidValues))
			g.Expect(err).To(MatchError(ContainSubstring(test.message)))
		})
	}
}

func mirrorCases(t *testing.T) map[string]*mirrorCase {
	t.Helper()
	g := NewWithT(t)
	files, err := filepath.Glob(filepath.Join("testdata", "mirror", "*.in.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(files).NotTo(BeEmpty())

	cases := make(map[string]*mirrorCase, len(files))
	for _, file := range files {
		data, err := os.ReadFile(file)
		g.Expect(err).NotTo(HaveOccurred())
		parts := documents(t, data)
		g.Expect(parts).To(HaveLen(3), "%s: a Subject, a RoutingPolicy and the state of the cluster", file)
		in := &mirrorCase{}
		for i, part := range []any{&in.Subject, &in.Policy, &in.Cluster} {
			g.Expect(yaml.UnmarshalStrict(parts[i], part)).To(Succeed(), file)
		}
		for _, part := range parts[:2] {
			in.manifests = append(in.manifests, &unstructured.Unstructured{Object: object(t, part)})
		}
		cases[strings.TrimSuffix(filepath.Base(file), ".in.yaml")] = in
	}
	return cases
}

// input is what the operator would render for the case.
func (in *mirrorCase) input(t *testing.T) render.Input {
	t.Helper()
	input := render.Input{
		Chart:       mirrorChart(t),
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
		for _, resource := range variant.Resources {
			state.Resources = append(state.Resources, render.Resource{Kind: resource.Kind, Name: resource.Name})
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

// mirrorChart is the chart as it is built into the operator.
func mirrorChart(t *testing.T) *helmchart.Chart {
	t.Helper()
	builtIn, err := chart.LoadBuiltIn(charts.FS)
	if err != nil {
		t.Fatal(err)
	}
	mirror, err := builtIn.Resolve(iter8v1alpha1.ChartReference{Name: "mirror", Version: "0.14.x"})
	if err != nil {
		t.Fatal(err)
	}
	return mirror.Helm
}
