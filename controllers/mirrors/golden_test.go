package mirrors

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/gateway-api/pkg/features"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// goldenState is the first document of a testdata/NAME.in.yaml; the manifests follow.
type goldenState struct {
	BuiltIn         bool            `json:"builtIn"`
	SafeMethodsOnly bool            `json:"safeMethodsOnly"`
	Variants        []goldenVariant `json:"variants"`
	Lacks           []struct {
		Route, Feature, Message string
	} `json:"lacks"`
	Withheld []struct {
		Route, To, Reason, Message string
	} `json:"withheld"`
	Standing []iter8v1alpha1.Mirror `json:"standing"`
}

type goldenVariant struct {
	Name string `json:"name"`
	// State is available, where nothing else is said.
	State   string `json:"state"`
	Message string `json:"message"`
	// Triggers is true, where nothing else is said.
	Triggers *bool   `json:"triggers"`
	Weight   *string `json:"weight"`
	// Resources are KIND NAME, KIND.GROUP NAME or KIND NAMESPACE/NAME; the namespace is default, where nothing else is said.
	Resources []string `json:"resources"`
	// PodLabels are by the name of the resource.
	PodLabels map[string]map[string]string `json:"podLabels"`
}

// namespace of the policies of all tests.
const namespace = "default"

var states = map[string]State{
	"": Available, "available": Available, "not available": NotAvailable, "unknown, was available": UnknownAvailable, "unknown": Unknown,
}

func (s goldenState) input(t testing.TB, manifests []*unstructured.Unstructured) Input {
	t.Helper()
	input := Input{BuiltIn: s.BuiltIn, SafeMethodsOnly: s.SafeMethodsOnly, Namespace: namespace,
		Manifests: manifests, Standing: s.Standing}
	for _, v := range s.Variants {
		state, ok := states[v.State]
		if !ok {
			t.Fatalf("no state %q", v.State)
		}
		variant := Variant{Name: v.Name, State: state, Message: v.Message, Triggers: v.Triggers == nil || *v.Triggers}
		if v.Weight != nil {
			variant.Weight = &Weight{*v.Weight, "weight of " + v.Name}
		}
		for _, text := range v.Resources {
			r := resource(text)
			r.PodLabels = v.PodLabels[r.Name]
			variant.Resources = append(variant.Resources, r)
		}
		input.Variants = append(input.Variants, variant)
	}
	for _, l := range s.Lacks {
		input.Lacks = append(input.Lacks, Lack{Route: l.Route, Feature: features.FeatureName(l.Feature), Message: l.Message})
	}
	for _, w := range s.Withheld {
		input.Withheld = append(input.Withheld, Withholding(w))
	}
	return input
}

func resource(text string) Resource {
	kind, name, _ := strings.Cut(text, " ")
	of := schema.ParseGroupKind(kind)
	in, name, found := strings.Cut(name, "/")
	if !found {
		in, name = namespace, in
	}
	return Resource{Group: of.Group, Kind: of.Kind, Namespace: in, Name: name}
}

// TestGolden gates the manifests of each testdata/NAME.in.yaml. What comes of it is NAME.out.yaml: the manifests and the report,
// or the problems.
func TestGolden(t *testing.T) {
	for name, path := range goldenFiles(t) {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			input, manifests := readGolden(t, path)
			before, _ := readGolden(t, path)
			gated, err := Gate(manifests, Decide(input))
			g.Expect(input).To(Equal(before), "gating changes its input")

			got := describe(t, gated, err)
			golden := strings.TrimSuffix(path, ".in.yaml") + ".out.yaml"
			if os.Getenv("UPDATE_GOLDEN") != "" {
				g.Expect(os.WriteFile(golden, got, 0o600)).To(Succeed())
			}
			want, err := os.ReadFile(golden)
			g.Expect(err).NotTo(HaveOccurred(), "make golden writes it")
			g.Expect(string(got)).To(Equal(string(want)), "make golden rewrites it, if this is meant")
		})
	}
}

func TestEveryGoldenFileHasItsInput(t *testing.T) {
	g := NewWithT(t)
	outputs, err := filepath.Glob(filepath.Join("testdata", "*.out.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	for _, output := range outputs {
		g.Expect(strings.TrimSuffix(output, ".out.yaml") + ".in.yaml").To(BeAnExistingFile())
	}
}

func goldenFiles(t testing.TB) map[string]string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.in.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden inputs: %v", err)
	}
	paths := make(map[string]string, len(files))
	for _, file := range files {
		paths[strings.TrimSuffix(filepath.Base(file), ".in.yaml")] = file
	}
	return paths
}

func readGolden(t testing.TB, path string) (Input, []*unstructured.Unstructured) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	all := documents(t, data)
	var state goldenState
	if err := yaml.UnmarshalStrict(all[0], &state); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	var manifests []*unstructured.Unstructured
	for _, document := range all[1:] {
		manifests = append(manifests, &unstructured.Unstructured{Object: objectOf(t, document)})
	}
	return state.input(t, manifests), manifests
}

// describe writes what Gate returned.
func describe(t testing.TB, gated Gated, err error) []byte {
	t.Helper()
	var all []any
	for _, m := range gated.Manifests {
		all = append(all, m.Object)
	}
	var problems Errors
	switch {
	case errors.As(err, &problems):
		texts := make([]string, 0, len(problems))
		for _, p := range problems {
			texts = append(texts, p.Error())
		}
		all = append(all, map[string]any{"problems": texts})
	case err != nil:
		t.Fatal(err)
	default:
		report := make([]map[string]any, 0, len(gated.Mirrors))
		for _, m := range gated.Mirrors {
			report = append(report, entry(t, m))
		}
		all = append(all, map[string]any{"mirrors": report})
	}
	var out bytes.Buffer
	for i, document := range all {
		if i > 0 {
			out.WriteString("---\n")
		}
		data, err := yaml.Marshal(document)
		if err != nil {
			t.Fatal(err)
		}
		out.Write(data)
	}
	return out.Bytes()
}

// entry is a mirror of the report, without what is empty.
func entry(t testing.TB, m Mirror) map[string]any {
	t.Helper()
	data, err := json.Marshal(m.Mirror)
	if err != nil {
		t.Fatal(err)
	}
	fields := objectOf(t, data)
	fields["path"], fields["asked"] = m.Path, m.Asked
	if len(m.Places) > 0 {
		fields["places"] = strings.Join(m.Places, ", ")
	}
	return fields
}

func documents(t testing.TB, data []byte) [][]byte {
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

// objectOf reads YAML or JSON as the API machinery does: integers stay integers.
func objectOf(t testing.TB, data []byte) map[string]any {
	t.Helper()
	converted, err := yaml.YAMLToJSON(data)
	if err != nil {
		t.Fatal(err)
	}
	object := map[string]any{}
	if err := utiljson.Unmarshal(converted, &object); err != nil {
		t.Fatal(err)
	}
	return object
}
