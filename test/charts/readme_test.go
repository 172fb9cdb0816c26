package charts

import (
	"encoding/json"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/render"
)

var (
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	becomes   = regexp.MustCompile("(?s)```yaml\n([^`]*)```\n\nbecomes, while `([a-z0-9-]+)` is\\s+available,\n\n```yaml\n([^`]*)```")
	// valueRow is a row of a README's table of values, of which the first column has names.
	valueRow = regexp.MustCompile("(?m)^\\| ((?:`[a-zA-Z0-9]+`(?:, )?)+) \\|")
)

// TestMirroringShowsWhatComesOfValues takes the examples of docs/mirroring.md through what the operator takes them through.
func TestMirroringShowsWhatComesOfValues(t *testing.T) {
	document, err := os.ReadFile(inRepository("docs", "mirroring.md"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	examples := becomes.FindAllSubmatch(document, -1)
	NewWithT(t).Expect(examples).To(HaveLen(2))
	for i, test := range []struct{ chart, key string }{{"mirror", "rules"}, {"mirror-istio", "http"}} {
		t.Run(test.chart, func(t *testing.T) {
			g := NewWithT(t)
			values, variant, want := string(examples[i][1]), string(examples[i][2]), examples[i][3]
			manifests, err := renderFor(t, test.chart, values)
			g.Expect(err).NotTo(HaveOccurred())
			gated, err := mirrors.Gate(manifests, mirrors.Decide(mirrors.Input{
				BuiltIn: true, SafeMethodsOnly: true, Namespace: "default",
				Variants: []mirrors.Variant{{Name: "candidate", State: mirrors.Available, Triggers: true,
					Resources: []mirrors.Resource{{Kind: "Service", Namespace: "default", Name: variant}}}},
			}))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(gated.Manifests).To(HaveLen(1))
			g.Expect(gated.Manifests[0].Object["spec"]).To(HaveKeyWithValue(test.key, object(t, want)[test.key]))
		})
	}
}

func TestREADMEsAndSchemasHaveAllValues(t *testing.T) {
	for _, chart := range []string{"mirror", "mirror-istio"} {
		t.Run(chart, func(t *testing.T) {
			g := NewWithT(t)
			var values map[string]any
			var schema struct{ Properties map[string]any }
			g.Expect(yaml.Unmarshal(read(t, chart, "values.yaml"), &values)).To(Succeed())
			g.Expect(json.Unmarshal(read(t, chart, "values.schema.json"), &schema)).To(Succeed())
			var documented []string
			for _, row := range valueRow.FindAllStringSubmatch(string(read(t, chart, "README.md")), -1) {
				documented = append(documented, strings.Split(strings.ReplaceAll(row[1], "`", ""), ", ")...)
			}
			all := slices.Collect(maps.Keys(values))
			g.Expect(documented).To(ConsistOf(all))
			g.Expect(slices.Collect(maps.Keys(schema.Properties))).To(ConsistOf(all))
		})
	}
}

func TestTheAPIAcceptsThePoliciesOfREADMEs(t *testing.T) {
	cluster := controlPlane(t).Client()
	for _, chart := range []string{"mirror", "mirror-istio"} {
		t.Run(chart, func(t *testing.T) {
			g := NewWithT(t)
			block := yamlBlock.FindSubmatch(read(t, chart, "README.md"))
			g.Expect(block).NotTo(BeNil())
			policy := &unstructured.Unstructured{Object: object(t, block[1])}
			g.Expect(policy.GetKind()).To(Equal("RoutingPolicy"))
			policy.SetNamespace("default")
			g.Expect(cluster.Create(t.Context(), policy, client.DryRunAll, client.FieldValidation("Strict"))).To(Succeed())

			values, _, err := unstructured.NestedMap(policy.Object, "spec", "values")
			g.Expect(err).NotTo(HaveOccurred())
			_, err = render.NewRenderer().Manifests(render.Input{Chart: builtIn(t, chart), Values: values, Namespace: "default", Policy: policy.GetName()})
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
}

// read reads a file of a chart.
func read(t *testing.T, chart, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(inRepository("charts", chart, file))
	if err != nil {
		t.Fatal(err)
	}
	return content
}
