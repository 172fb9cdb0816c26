package traffic

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/onsi/gomega"
)

// validate runs Istio's own validation of files, and returns what it says.
func validate(t *testing.T, files ...string) (string, error) {
	t.Helper()
	program := filepath.Join(cluster.ModuleRoot(), "bin", "istio-validate")
	if _, err := os.Stat(program); err != nil {
		t.Fatalf("%v: run make test-traffic", err)
	}
	output, err := exec.CommandContext(t.Context(), program, files...).CombinedOutput()
	return string(output), err
}

func TestIstioAcceptsWhatTheChartRenders(t *testing.T) {
	g := gomega.NewWithT(t)
	files, err := filepath.Glob(filepath.Join(cluster.ModuleRoot(), "test", "charts", "testdata", "mirror-istio", "*.out.yaml"))
	g.Expect(err).NotTo(gomega.HaveOccurred())
	g.Expect(files).NotTo(gomega.BeEmpty())
	output, err := validate(t, files...)
	g.Expect(err).NotTo(gomega.HaveOccurred(), output)
	g.Expect(output).To(gomega.BeEmpty(), "warnings")
}

func TestIstioRefusesWhatItDoesNotKnow(t *testing.T) {
	for sentence, c := range map[string]struct{ spec, complaint string }{
		"a percentage of more than a hundred": {
			"hosts: [a]\n  http: [{route: [{destination: {host: a}}], mirror: {host: b}, mirrorPercentage: {value: 101}}]", "101",
		},
		"a field of no VirtualService": {"hosts: [a]\n  mirrors: []", `unknown field "mirrors"`},
	} {
		t.Run(sentence, func(t *testing.T) {
			g := gomega.NewWithT(t)
			file := filepath.Join(t.TempDir(), "virtualservice.yaml")
			g.Expect(os.WriteFile(file, []byte("apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  "+c.spec+"\n"), 0o600)).To(gomega.Succeed())
			output, err := validate(t, file)
			g.Expect(err).To(gomega.HaveOccurred())
			g.Expect(output).To(gomega.ContainSubstring("VirtualService a: "))
			g.Expect(output).To(gomega.ContainSubstring(c.complaint))
		})
	}
}
