package sources

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/repository"
)

// packed are charts that were packaged, by their versions.
var packed sync.Map

// mirror is charts/mirror as helm package makes it, as some version.
func mirror(t *testing.T, version string) []byte {
	t.Helper()
	if archive, ok := packed.Load(version); ok {
		return archive.([]byte)
	}
	g := NewWithT(t)
	dir := t.TempDir()
	output, err := exec.CommandContext(t.Context(), cluster.HelmPath(), "package", filepath.Join(cluster.ModuleRoot(), "charts", "mirror"),
		"--version", version, "--destination", dir).CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(output))
	archive, err := os.ReadFile(filepath.Join(dir, "mirror-"+version+".tgz"))
	g.Expect(err).NotTo(HaveOccurred())
	packed.Store(version, archive)
	return archive
}

// route is a template of a route that has the name of its Subject, with more fields of its metadata.
func route(metadata string) string {
	return "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata:\n  name: {{ .Values.iter8.subject.name }}\n" + metadata +
		"\nspec:\n  rules:\n  - backendRefs:\n    - {name: app-v1, port: 80}\n"
}

// small is a chart of one template.
func small(t *testing.T, name, version, template string) []byte {
	t.Helper()
	return repository.Chart(t, name, version, map[string]string{"templates/route.yaml": template})
}

// serve starts a chart repository.
func serve(t *testing.T) *repository.Server {
	t.Helper()
	return repository.Serve(t, repository.Options{Address: home})
}

// serveRegistry starts a registry.
func serveRegistry(t *testing.T) *repository.Registry {
	t.Helper()
	return repository.ServeRegistry(t, repository.Options{Address: home})
}

// from is a reference to a chart at an address, whose certificates are in the Secret ca.
func from(address, name, version string) *iter8v1alpha1.ChartReference {
	return &iter8v1alpha1.ChartReference{Repository: address, Name: name, Version: version, CASecretRef: &iter8v1alpha1.SecretReference{Name: "ca"}}
}

// charts is the folder of a registry that charts are in.
func charts(r *repository.Registry) string { return "oci://" + r.Host + "/charts" }

// anonymous has a word stand for an address that differs with each run.
func anonymous(text func() string, address string) func() string {
	return func() string { return strings.ReplaceAll(text(), strings.TrimPrefix(address, "https://"), "HOST") }
}
