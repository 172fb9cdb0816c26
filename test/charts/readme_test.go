package charts

import (
	"os"
	"regexp"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"iter8.tools/operator/controllers/render"
)

var (
	yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")
	becomes   = regexp.MustCompile("(?s)```yaml\n([^`]*)```\n\nbecomes, while `([a-z0-9]+)` is\\s+available,\n\n```yaml\n([^`]*)```")
)

func TestChartsRenderWhatTheirREADMEsShow(t *testing.T) {
	for chart, key := range map[string]string{"mirror": "rules", "mirror-istio": "http"} {
		t.Run(chart, func(t *testing.T) {
			g := NewWithT(t)
			shown := becomes.FindSubmatch(readme(t, chart))
			g.Expect(shown).NotTo(BeNil())
			manifests, err := renderFor(t, chart, string(shown[1]), render.Variant{
				Name: "candidate", Available: true, Weight: 1, Resources: []render.Resource{{Kind: "Service", Name: string(shown[2])}},
			})
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(manifests[0].Object["spec"]).To(HaveKeyWithValue(key, object(t, shown[3])[key]))
		})
	}
}

func TestTheAPIAcceptsThePoliciesOfREADMEs(t *testing.T) {
	cluster := controlPlane(t).Client()
	for _, chart := range []string{"mirror", "mirror-istio"} {
		t.Run(chart, func(t *testing.T) {
			g := NewWithT(t)
			block := yamlBlock.FindSubmatch(readme(t, chart))
			g.Expect(block).NotTo(BeNil())
			policy := &unstructured.Unstructured{Object: object(t, block[1])}
			g.Expect(policy.GetKind()).To(Equal("RoutingPolicy"))
			policy.SetNamespace("default")
			g.Expect(cluster.Create(t.Context(), policy, client.DryRunAll, client.FieldValidation("Strict"))).To(Succeed())

			values, _, err := unstructured.NestedMap(policy.Object, "spec", "values")
			g.Expect(err).NotTo(HaveOccurred())
			_, err = render.Manifests(render.Input{Chart: builtIn(t, chart), Values: values, Namespace: "default", Policy: policy.GetName()})
			g.Expect(err).NotTo(HaveOccurred())
		})
	}
}

func readme(t *testing.T, chart string) []byte {
	t.Helper()
	content, err := os.ReadFile(inRepository("charts", chart, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	return content
}
