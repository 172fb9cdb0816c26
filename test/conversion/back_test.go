package conversion

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// The command in the documentation by which routes are given back to Iter8.
var giveBack = regexp.MustCompile(`(?s)( *kubectl get httproutes -A -o json .*?kubectl replace -f -\n)`)

func TestARouteThatIsGivenBackIsIter8sAgain(t *testing.T) {
	g := NewWithT(t)
	namespace := namespaceFor(t)
	guide, err := os.ReadFile("../../docs/migrating-from-iter8.md")
	g.Expect(err).NotTo(HaveOccurred())
	command := giveBack.Find(guide)
	g.Expect(command).NotTo(BeEmpty(), "the guide has the command")

	const hostnames = "hostnames: [httpbin.example.com]"
	const label = "app.kubernetes.io/managed-by: iter8-operator"
	g.Expect(applyRoute(t, namespace, iter8v1alpha1.FieldManager, label, hostnames)).To(HaveKey("hostnames"))
	g.Expect(applyRoute(t, namespace, iter8v1alpha1.LegacyFieldManager, "", "")).To(HaveKey("hostnames"),
		"what the operator owns stays in spite of Iter8, which is why there is that command")

	kubeconfig := t.TempDir() + "/kubeconfig"
	g.Expect(environment.Kubeconfig(kubeconfig)).To(Succeed())
	script := "set -eo pipefail; kubectl() { '" + environment.KubectlPath() + "' \"$@\"; }\n" + string(command)
	shell := exec.CommandContext(t.Context(), "bash", "-c", script)
	shell.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig)
	output, err := shell.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(output))
	g.Expect(string(output)).To(ContainSubstring("replaced"))

	g.Expect(applyRoute(t, namespace, iter8v1alpha1.LegacyFieldManager, "", "")).NotTo(HaveKey("hostnames"))
}

// applyRoute applies a route as a controller would, and gives its spec as the apiserver keeps it.
func applyRoute(t *testing.T, namespace, manager, label, field string) map[string]any {
	t.Helper()
	g := NewWithT(t)
	manifest := fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: httpbin, namespace: %s, labels: {%s}}
spec:
  rules: [{backendRefs: [{name: v1, port: 80}]}]
  %s
`, namespace, label, field)
	route := &unstructured.Unstructured{}
	g.Expect(yaml.Unmarshal([]byte(strings.TrimSpace(manifest)), &route.Object)).To(Succeed())
	g.Expect(environment.Client().Apply(t.Context(), client.ApplyConfigurationFromUnstructured(route),
		client.FieldOwner(manager), client.ForceOwnership)).To(Succeed())
	spec, _, err := unstructured.NestedMap(route.Object, "spec")
	g.Expect(err).NotTo(HaveOccurred())
	return spec
}
