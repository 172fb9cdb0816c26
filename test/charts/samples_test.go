package charts

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"iter8.tools/operator/controllers/render"
)

func TestTheAPIAcceptsTheSamples(t *testing.T) {
	cluster := controlPlane(t).Client()
	for name, folder := range map[string]string{
		"the Gateway API's": inRepository("config", "samples"),
		"Istio's":           inRepository("config", "samples", "istio"),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
			g.Expect(err).NotTo(HaveOccurred())

			var samples []string
			var listed struct {
				Resources []string `json:"resources"`
			}
			for _, file := range files {
				data, err := os.ReadFile(file)
				g.Expect(err).NotTo(HaveOccurred())
				if filepath.Base(file) == "kustomization.yaml" {
					g.Expect(yaml.Unmarshal(data, &listed)).To(Succeed())
					continue
				}
				samples = append(samples, filepath.Base(file))
				for _, document := range documents(t, data) {
					sample := &unstructured.Unstructured{Object: object(t, document)}
					sample.SetNamespace("default")
					g.Expect(cluster.Create(t.Context(), sample, client.DryRunAll, client.FieldValidation("Strict"))).To(Succeed(), file)
				}
			}
			g.Expect(listed.Resources).To(ConsistOf(samples), "kustomization.yaml lists every sample")
		})
	}
}

func TestSamplesRenderWhatGoldenFilesSay(t *testing.T) {
	for name, test := range map[string]struct{ folder, golden string }{
		"the Gateway API's": {"", "mirror/plain"},
		"Istio's":           {"istio", "mirror-istio/plain"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			data, err := os.ReadFile(inRepository("config", "samples", test.folder, "routingpolicy.yaml"))
			g.Expect(err).NotTo(HaveOccurred())
			golden := goldenCases(t)[test.golden]
			sample := readCase(t, golden.output, data)
			sample.Policy.Namespace = golden.Policy.Namespace
			manifests, err := render.NewRenderer().Manifests(sample.input(t))
			g.Expect(err).NotTo(HaveOccurred())
			want, err := os.ReadFile(golden.output)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(string(marshal(t, manifests))).To(Equal(string(want)))
		})
	}
}
