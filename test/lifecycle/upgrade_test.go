package lifecycle

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

const policiesCRD = "routingpolicies.iter8.tools"

func TestAnUpgradeBringsNewCRDsAndTouchesNeitherPoliciesNorRoutes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, env.Options{})
	w.helm("install", env.Release, w.olderChart(), "--namespace", systemNamespace, "--create-namespace", "--set", "logLevel=debug")
	operator := w.start()
	w.tutorial()
	w.Expect(w.suspend()).To(MatchError(ContainSubstring(`unknown field "spec.suspend"`)))
	w.Expect(w.kubectl("get", "routingpolicies")).To(MatchRegexp(`^NAME +AGE\n`))
	older, before, since := w.crd(), w.versions(), time.Now()

	w.install("--set", "logLevel=info")
	w.Eventually(w.suspend).Should(Succeed())
	w.Eventually(func() string { return w.kubectl("get", "routingpolicies") }).Should(MatchRegexp(`^NAME +SUBJECT +MIRRORS +READY +ACCEPTED +STATUS +AGE\nhttpbin-route +httpbin +httpbin-v2:80 +True +Unknown +1 object applied for v2 available +`))
	w.Expect(w.crd().UID).To(Equal(older.UID), "a CRD that is made again takes all policies with it")
	w.Expect(w.crd().Labels).To(HaveKeyWithValue("helm.sh/chart", "iter8-operator-0.1.0"))
	w.restart(operator)
	w.Consistently(w.operatorWrites(since), "5s", "500ms").Should(BeEmpty())
	w.Expect(w.versions()).To(Equal(before))
	w.followsV2()
}

// olderChart is the operator's chart as it may have been once: without spec.suspend, and without columns.
func (w *world) olderChart() string {
	w.Helper()
	chart := filepath.Join(w.TempDir(), "iter8-operator")
	w.Expect(os.CopyFS(chart, os.DirFS(filepath.Join(w.cluster.ModuleRoot(), "charts", "iter8-operator")))).To(Succeed())
	w.edit(filepath.Join(chart, "Chart.yaml"), func(content map[string]any) { content["version"] = "0.0.9" })
	crds, err := filepath.Glob(filepath.Join(chart, "files", "crds", "*.yaml"))
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(crds).To(HaveLen(2))
	for _, file := range crds {
		w.edit(file, func(crd map[string]any) {
			version := crd["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)
			delete(version, "additionalPrinterColumns")
			if strings.HasSuffix(file, "routingpolicies.yaml") {
				spec := []string{"schema", "openAPIV3Schema", "properties", "spec", "properties"}
				fields, ok, err := unstructured.NestedFieldNoCopy(version, spec...)
				w.Expect(err).NotTo(HaveOccurred())
				w.Expect(ok).To(BeTrue())
				w.Expect(fields).To(HaveKey("suspend"))
				delete(fields.(map[string]any), "suspend")
			}
		})
	}
	return chart
}

// edit changes a file of YAML.
func (w *world) edit(file string, change func(map[string]any)) {
	w.Helper()
	data, err := os.ReadFile(file)
	w.Expect(err).NotTo(HaveOccurred())
	var content map[string]any
	w.Expect(yaml.Unmarshal(data, &content)).To(Succeed())
	change(content)
	data, err = yaml.Marshal(content)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(os.WriteFile(file, data, 0o600)).To(Succeed())
}

// suspend tries whether the API knows the field.
func (w *world) suspend() error {
	policy := &iter8v1alpha1.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "httpbin-route"}}
	return w.k8s.Patch(w.Context(), policy, client.RawPatch(types.MergePatchType, []byte(`{"spec":{"suspend":true}}`)),
		client.DryRunAll, client.FieldValidation(metav1.FieldValidationStrict))
}

func (w *world) crd() *apiextensionsv1.CustomResourceDefinition {
	w.Helper()
	crd := &apiextensionsv1.CustomResourceDefinition{}
	w.Expect(w.k8s.Get(w.Context(), types.NamespacedName{Name: policiesCRD}, crd)).To(Succeed())
	return crd
}
