package charts

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

func TestTheAPIAcceptsTheSamples(t *testing.T) {
	g := NewWithT(t)
	cluster := controlPlane(t).Client()
	files, err := filepath.Glob(inRepository("config", "samples", "*.yaml"))
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
}
