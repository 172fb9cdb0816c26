package charts

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
)

func TestOperatorConfigurationSaysWhatTheValuesSay(t *testing.T) {
	for name, test := range map[string]struct {
		values string
		want   func(*configv1alpha1.OperatorConfiguration)
	}{
		"by default, the default": {want: func(*configv1alpha1.OperatorConfiguration) {}},
		"with all values set": {values: everything, want: func(c *configv1alpha1.OperatorConfiguration) {
			c.WatchNamespaces = []string{"team-a", "team-b"}
			c.AllowCrossNamespaceReferences = true
			c.Readiness = []configv1alpha1.KindReadiness{{
				GroupKind:  configv1alpha1.GroupKind{Group: "example.com", Kind: "Model"},
				Conditions: []string{"Loaded", "Warm"},
			}}
			c.RouteKinds = append(c.RouteKinds, configv1alpha1.GroupKind{Group: "gateway.networking.k8s.io", Kind: "TLSRoute"})
		}},
		"with Iter8's objects": {values: legacy, want: func(c *configv1alpha1.OperatorConfiguration) {
			c.Legacy.Enabled, c.Legacy.RemoveFinalizers = true, true
			c.Legacy.GracePeriod.Duration = 30 * time.Second
			c.Legacy.NamespaceSelector = &metav1.LabelSelector{MatchLabels: map[string]string{"iter8": "operator"}}
			c.Legacy.ResourceTypes["model"] = configv1alpha1.ResourceType{Group: "example.com", Version: "v1", Kind: "Model",
				Conditions: []configv1alpha1.ResourceCondition{{Name: "Loaded", Status: metav1.ConditionTrue}}}
			c.Legacy.ChartRepositoryAliases = []configv1alpha1.ChartRepositoryAlias{
				{Repository: "https://charts.example.com", Chart: "shadow", BuiltIn: "mirror"}}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			want := configv1alpha1.Default()
			test.want(&want)
			files := kinds[corev1.ConfigMap](t, installed(t, test.values), "ConfigMap")
			g.Expect(files).To(HaveLen(1))
			got, err := configv1alpha1.Parse([]byte(files[0].Data["config.yaml"]))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(got).To(Equal(want))
		})
	}
}

func TestOperatorRestartsWhenItsConfigurationChanges(t *testing.T) {
	g := NewWithT(t)
	checksum := func(values string) string {
		return deployment(t, values).Spec.Template.Annotations["checksum/config"]
	}
	g.Expect(checksum("")).NotTo(BeEmpty())
	g.Expect(checksum("allowCrossNamespaceReferences: true")).NotTo(Equal(checksum("")))
	g.Expect(deployment(t, "replicas: 3").Spec.Template).To(Equal(deployment(t, "").Spec.Template))
}

func TestOperatorDeployment(t *testing.T) {
	g := NewWithT(t)

	d := deployment(t, "")
	g.Expect(*d.Spec.Replicas).To(Equal(int32(2)))
	pod := d.Spec.Template.Spec
	g.Expect(pod.Containers).To(HaveLen(1))
	g.Expect(pod.Containers[0].Image).To(Equal("iter8-operator:0.1.0"))
	g.Expect(pod.Containers[0].Args).To(Equal([]string{
		"--config=/etc/iter8/config.yaml",
		"--leader-elect",
		"--leader-election-namespace=$(POD_NAMESPACE)",
		"--metrics-bind-address=:8443",
		"--health-probe-bind-address=:8081",
		"--log-level=info",
	}))
	g.Expect(pod.Containers[0].Env).To(ContainElement(HaveField("Name", "GOMEMLIMIT")))
	g.Expect(*pod.Containers[0].SecurityContext.ReadOnlyRootFilesystem).To(BeTrue())
	g.Expect(pod.TopologySpreadConstraints).To(ConsistOf(
		HaveField("LabelSelector.MatchLabels", Equal(d.Spec.Selector.MatchLabels))))

	g.Expect(deployment(t, "impersonation: {defaultServiceAccount: router}").Spec.Template.Spec.Containers[0].Args).
		To(ContainElement("--default-service-account=router"))

	d = deployment(t, everything)
	g.Expect(d.Name).To(Equal("iter8"))
	pod = d.Spec.Template.Spec
	g.Expect(pod.ServiceAccountName).To(Equal("iter8"))
	g.Expect(pod.Containers[0].Image).To(HavePrefix("registry.example.com/iter8/operator@sha256:"))
	g.Expect(pod.Containers[0].Args).To(ContainElements("--log-level=debug", "--concurrent-policies=16"))
	g.Expect(pod.TopologySpreadConstraints).To(ConsistOf(
		HaveField("LabelSelector.MatchLabels", Equal(map[string]string{"team": "routing"}))))

	g.Expect(deployment(t, "resources: {limits: {memory: null}}").Spec.Template.Spec.Containers[0].Env).
		NotTo(ContainElement(HaveField("Name", "GOMEMLIMIT")))
}

func TestOperatorIsDisruptedOnlyWhereAnotherReplicaStands(t *testing.T) {
	g := NewWithT(t)
	budgets := func(values string) []policyv1.PodDisruptionBudget {
		return kinds[policyv1.PodDisruptionBudget](t, installed(t, values), "PodDisruptionBudget")
	}
	g.Expect(budgets("")).To(ConsistOf(HaveField("Spec.MinAvailable.IntVal", int32(1))))
	g.Expect(budgets("replicas: 1")).To(BeEmpty())
	g.Expect(budgets("podDisruptionBudget: {enabled: false}")).To(BeEmpty())
}

func TestOperatorCRDs(t *testing.T) {
	g := NewWithT(t)
	crds := func(values string) []apiextensionsv1.CustomResourceDefinition {
		return kinds[apiextensionsv1.CustomResourceDefinition](t, installed(t, values), "CustomResourceDefinition")
	}
	const keep = "helm.sh/resource-policy"
	g.Expect(crds("")).To(HaveLen(2))
	g.Expect(crds("")).To(HaveEach(HaveField("Annotations", HaveKeyWithValue(keep, "keep"))))
	g.Expect(crds("crds: {keep: false}")).To(HaveEach(HaveField("Annotations", Not(HaveKey(keep)))))
	g.Expect(crds("crds: {enabled: false}")).To(BeEmpty())

	for _, crd := range crds("") {
		source, err := os.ReadFile(filepath.Join(chartFolder, "files", "crds", crd.Spec.Group+"_"+crd.Spec.Names.Plural+".yaml"))
		g.Expect(err).NotTo(HaveOccurred())
		var want apiextensionsv1.CustomResourceDefinition
		g.Expect(yaml.UnmarshalStrict(source, &want)).To(Succeed())
		g.Expect(crd.Spec).To(Equal(want.Spec), "a CRD goes through the chart as it is")
	}
}

func TestOperatorFilesAreCopiesOfWhatIsGenerated(t *testing.T) {
	g := NewWithT(t)
	copies := map[string]string{filepath.Join("files", "role.yaml"): inRepository("config", "rbac", "role.yaml")}
	for _, pattern := range []string{inRepository("config", "crd", "bases", "*.yaml"), filepath.Join(chartFolder, "files", "crds", "*.yaml")} {
		found, err := filepath.Glob(pattern)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(found).NotTo(BeEmpty())
		for _, file := range found {
			name := filepath.Base(file)
			copies[filepath.Join("files", "crds", name)] = inRepository("config", "crd", "bases", name)
		}
	}
	for name, source := range copies {
		want, err := os.ReadFile(source)
		g.Expect(err).NotTo(HaveOccurred())
		got, err := os.ReadFile(filepath.Join(chartFolder, name))
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(string(got)).To(Equal(string(want)), "make manifests copies %s to the chart", source)
	}
}

func TestTheAPIAcceptsWhatOperatorRenders(t *testing.T) {
	cluster := controlPlane(t).Client()
	for _, name := range []string{namespace, "team-a", "team-b"} {
		ns := &corev1.Namespace{}
		ns.Name = name
		ns.Labels = map[string]string{"pod-security.kubernetes.io/enforce": "restricted"}
		NewWithT(t).Expect(cluster.Create(t.Context(), ns)).To(Succeed())
	}
	for name, values := range valueSets {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			for _, object := range installed(t, values) {
				g.Expect(cluster.Apply(t.Context(), client.ApplyConfigurationFromUnstructured(object),
					client.DryRunAll, client.ForceOwnership, client.FieldOwner("helm"))).To(Succeed())
			}
			// The namespace admits Pods that fulfil the restricted Pod Security Standard only.
			pod := &corev1.Pod{Spec: deployment(t, values).Spec.Template.Spec}
			pod.Namespace, pod.GenerateName = namespace, "operator-"
			pod.Spec.PriorityClassName = ""
			g.Expect(cluster.Create(t.Context(), pod, client.DryRunAll)).To(Succeed())
		})
	}
}

func TestOperatorRefusesValuesThatCannotBe(t *testing.T) {
	for name, test := range map[string]struct{ values, message string }{
		"an unknown value":                                 {"replicaCount: 2", "additional properties 'replicaCount' not allowed"},
		"an unknown value further in":                      {"crds: {install: true}", "additional properties 'install' not allowed"},
		"a number of replicas in words":                    {"replicas: two", "at '/replicas': got string, want integer"},
		"an image without a name":                          {`image: {repository: ""}`, "at '/image/repository': minLength"},
		"an unknown level of logging":                      {"logLevel: loud", "at '/logLevel': value must be one of"},
		"a wildcard among the resources":                   {`appResources: [{group: apps, resource: "*"}]`, "at '/appResources/0/resource': '*' does not match pattern"},
		"a wildcard among the groups":                      {`appResources: [{group: "*", resource: pods}]`, "at '/appResources/0/group': '*' does not match pattern"},
		"a route of the core group":                        {`routes: [{group: "", kind: Pod, resource: pods}]`, "at '/routes/0/group': minLength"},
		"a route without its resource":                     {"routes: [{group: example.com, kind: Route}]", "at '/routes/0': missing property 'resource'"},
		"a readiness without conditions":                   {"readiness: [{group: example.com, kind: Model, conditions: []}]", "at '/readiness/0/conditions': minItems"},
		"a default account without the right to act as it": {"impersonation: {enabled: false, defaultServiceAccount: router}", "at '/impersonation/enabled': value must be true"},
		"all namespaces by an asterisk":                    {`watchNamespaces: ["*"]`, "at '/watchNamespaces/0': '*' does not match pattern"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := install(t, test.values)
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(test.message)))
		})
	}
}

func TestOperatorReadmeTellsOfEveryValue(t *testing.T) {
	g := NewWithT(t)
	readme, err := os.ReadFile(filepath.Join(chartFolder, "README.md"))
	g.Expect(err).NotTo(HaveOccurred())
	values, err := os.ReadFile(filepath.Join(chartFolder, "values.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	for key, value := range object(t, values) {
		table, _ := value.(map[string]any)
		if len(table) == 0 || strings.HasSuffix(key, "ecurityContext") {
			g.Expect(string(readme)).To(ContainSubstring("`" + key + "`"))
			continue
		}
		for inner := range table {
			g.Expect(string(readme)).To(ContainSubstring("`" + key + "." + inner + "`"))
		}
	}
}

func TestHelmFindsNothingToCriticize(t *testing.T) {
	for _, name := range []string{"mirror", "mirror-istio", "iter8-operator"} {
		t.Run(name, func(t *testing.T) {
			lint := exec.CommandContext(t.Context(), "go", "tool", "-modfile=test/tools/go.mod", "helm", "lint", "--strict", "charts/"+name)
			lint.Dir = inRepository()
			output, err := lint.CombinedOutput()
			NewWithT(t).Expect(err).NotTo(HaveOccurred(), "%s", output)
		})
	}
}
