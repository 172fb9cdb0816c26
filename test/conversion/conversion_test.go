package conversion

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"iter8.tools/operator/test/env"
)

var environment *env.Environment

func TestMain(m *testing.M) {
	os.Exit(env.Suite{Options: env.Options{CRDs: true}, Prepare: func(_ context.Context, e *env.Environment) error {
		environment = e
		return nil
	}}.Run(m))
}

func TestTheAPIAcceptsWhatConfigMapsBecome(t *testing.T) {
	for name, documents := range golden(t, "*.out.yaml") {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			namespace := namespaceFor(t)
			for _, document := range documents {
				sent := &unstructured.Unstructured{}
				json, err := yaml.YAMLToJSON(document)
				g.Expect(err).NotTo(HaveOccurred())
				g.Expect(sent.UnmarshalJSON(json)).To(Succeed())
				kept := sent.DeepCopy()
				kept.SetNamespace(namespace)
				g.Expect(environment.Client().Create(t.Context(), kept, client.DryRunAll, client.FieldValidation("Strict"))).To(Succeed())
				g.Expect(kept.GetLabels()).To(Equal(sent.GetLabels()))
				g.Expect(equality.Semantic.DeepDerivative(sent.Object["spec"], kept.Object["spec"])).To(BeTrue(),
					"the API keeps\n%v\nof\n%v", kept.Object, sent.Object)
			}
		})
	}
}

func TestThePluginConvertsWhatIsInTheCluster(t *testing.T) {
	g := NewWithT(t)
	kubectl := pluginRunner(t)
	shop, other := namespaceFor(t), namespaceFor(t)
	routemap := func(namespace, shortName string) *corev1.ConfigMap {
		return &corev1.ConfigMap{
			ObjectMeta: metav1.ObjectMeta{Name: "books", Namespace: namespace, Labels: map[string]string{
				"app.kubernetes.io/managed-by": "iter8", "iter8.tools/kind": "routemap", "iter8.tools/version": "v1.1",
			}},
			Data: map[string]string{"strSpec": "versions:\n- resources:\n  - gvrShort: " + shortName + "\n    name: books\n" +
				"routingTemplates:\n  books:\n    gvrShort: httproute\n    template: |\n      {{- if gt (index .Weights 0) 0 }} \n      {{- end }}\n"},
		}
	}
	unrelated := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "unrelated", Namespace: shop}}
	for _, configMap := range []*corev1.ConfigMap{routemap(shop, "svc"), routemap(other, "ksvc"), unrelated} {
		g.Expect(environment.Client().Create(t.Context(), configMap)).To(Succeed())
	}

	out, errOut, err := kubectl("iter8", "convert", "-n", shop)
	g.Expect(err).NotTo(HaveOccurred(), errOut)
	g.Expect(errOut).To(BeEmpty())
	g.Expect(out).To(And(
		ContainSubstring("kind: Subject\nmetadata:\n  name: books\n  namespace: "+shop+"\n"),
		ContainSubstring("    template: |\n      {{- if gt (index .Weights 0) 0 }} \n      {{- end }}\n"),
		Not(ContainSubstring("iter8.tools/converted-from")), Not(ContainSubstring("creationTimestamp")),
	))

	everywhere, errOut, err := kubectl("iter8", "convert", "-A")
	var exit *exec.ExitError
	g.Expect(errors.As(err, &exit)).To(BeTrue())
	g.Expect(exit.ExitCode()).To(Equal(1))
	g.Expect(errOut).To(HavePrefix("configmap " + other + "/books: error: data.strSpec line 3, versions[0].resources[0].gvrShort: \"ksvc\" is not a short name"))
	g.Expect(everywhere).To(Equal(out), "what can be converted is")

	file := filepath.Join(t.TempDir(), "iter8.yaml")
	g.Expect(os.WriteFile(file, []byte(out), 0o600)).To(Succeed())
	applied, errOut, err := kubectl("apply", "-f", file)
	g.Expect(err).NotTo(HaveOccurred(), errOut)
	g.Expect(applied).To(Equal("subject.iter8.tools/books created\nroutingpolicy.iter8.tools/books created\n"))
	again, _, err := kubectl("apply", "-f", file)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(again).To(Equal("subject.iter8.tools/books unchanged\nroutingpolicy.iter8.tools/books unchanged\n"))
}

func TestTheLegacySamplesAreStoredAndConverted(t *testing.T) {
	g := NewWithT(t)
	kubectl := pluginRunner(t)
	namespace := namespaceFor(t)
	samples := filepath.Join("..", "..", "config", "samples", "legacy")
	_, errOut, err := kubectl("create", "-n", namespace, "-f", samples, "--validate=strict")
	g.Expect(err).NotTo(HaveOccurred(), errOut)

	fromCluster, errOut, err := kubectl("iter8", "convert", "-n", namespace)
	g.Expect(err).NotTo(HaveOccurred(), errOut)
	fromFiles, errOut, err := kubectl("iter8", "convert", "-n", namespace, "-f", samples)
	g.Expect(err).NotTo(HaveOccurred(), errOut)
	g.Expect(errOut).To(BeEmpty())
	g.Expect(strings.Split(fromFiles, "---\n")).To(ConsistOf(strings.Split(fromCluster, "---\n")))
	g.Expect(strings.Count(fromFiles, "\nkind: Subject\n")).To(Equal(2))
	g.Expect(strings.Count(fromFiles, "\nkind: RoutingPolicy\n")).To(Equal(2))
}

// pluginRunner builds the plugin, and runs kubectl with it at hand.
func pluginRunner(t *testing.T) func(args ...string) (out, errOut string, err error) {
	t.Helper()
	g := NewWithT(t)
	folder := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(folder, "kubectl-iter8"), "iter8.tools/operator/cmd/kubectl-iter8")
	output, err := build.CombinedOutput()
	g.Expect(err).NotTo(HaveOccurred(), string(output))
	kubeconfig := filepath.Join(folder, "kubeconfig")
	g.Expect(environment.Kubeconfig(kubeconfig)).To(Succeed())
	return func(args ...string) (string, string, error) {
		command := exec.CommandContext(t.Context(), environment.KubectlPath(), args...)
		command.Env = append(os.Environ(), "KUBECONFIG="+kubeconfig, "PATH="+folder+string(os.PathListSeparator)+os.Getenv("PATH"))
		var out, errOut bytes.Buffer
		command.Stdout, command.Stderr = &out, &errOut
		err := command.Run()
		return out.String(), errOut.String(), err
	}
}

// namespaceFor makes a namespace whose ConfigMaps go with the test.
func namespaceFor(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "conversion-"}}
	if err := environment.Client().Create(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // no controller empties the namespace, and what is converted everywhere is all there is
		if err := environment.Client().DeleteAllOf(context.Background(), &corev1.ConfigMap{}, client.InNamespace(namespace.Name)); err != nil {
			t.Error(err)
		}
	})
	return namespace.Name
}

// golden gives the documents of the conversion's golden files, by the name of the file.
func golden(t *testing.T, pattern string) map[string][][]byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("..", "..", "conversion", "testdata", pattern))
	if err != nil || len(files) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	all := map[string][][]byte{}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for reader := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(data))); ; {
			document, err := reader.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			all[filepath.Base(file)] = append(all[filepath.Base(file)], document)
		}
	}
	return all
}
