package env_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// orphanVariable makes the test binary start a control plane with an operator, print its directory, and wait to be killed.
const orphanVariable = "ITER8_TEST_ENV_ORPHAN"

var plane *env.Environment

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard())
	SetDefaultEventuallyTimeout(time.Minute)
	os.Exit(run(m))
}

// run is also the test of Stop, which can only be asked when no test needs the control plane any more.
func run(m *testing.M) int {
	if os.Getenv(deserterVariable) != "" {
		return deserted()
	}
	options := env.Options{CRDs: true, Workloads: true}
	orphan := os.Getenv(orphanVariable) != ""
	if orphan {
		options = env.Options{CRDs: true}
	}
	var err error
	if plane, err = env.Start(context.Background(), options); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if orphan {
		if err := startOrphans(context.Background()); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		fmt.Println(plane.Dir())
		select {}
	}
	code := m.Run()
	refused := env.AllowedError{Parts: []string{"iter8-operator: unknown flag: --no-such-flag"}, Because: "that one must not start"}
	if err := plane.Judge(refused); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := plane.Stop(); err != nil {
		fmt.Fprintln(os.Stderr, "Stop:", err)
		return 1
	}
	left, err := processesOf(plane.Dir())
	if err != nil || left != "" {
		fmt.Fprintln(os.Stderr, "Stop left processes:", left, err)
		return 1
	}
	if _, err := os.Stat(plane.Dir()); !os.IsNotExist(err) {
		fmt.Fprintln(os.Stderr, "Stop left its directory:", plane.Dir(), err)
		return 1
	}
	return code
}

// processesOf lists the processes whose command line mentions a directory, as all of a control plane do.
func processesOf(dir string) (string, error) {
	out, err := exec.Command("ps", "-axww", "-o", "pid=,args=").Output()
	if err != nil {
		return "", fmt.Errorf("listing processes: %w", err)
	}
	var found []string
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, dir) {
			found = append(found, line)
		}
	}
	return strings.Join(found, ""), nil
}

// newNamespace makes a namespace of the test's own.
func newNamespace(t *testing.T) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "env-"}}
	NewWithT(t).Expect(plane.Client().Create(t.Context(), namespace)).To(Succeed())
	return namespace.Name
}

func TestADeploymentBecomesAvailableByItself(t *testing.T) {
	g := NewWithT(t)
	deployment := env.Deployment(newNamespace(t), "httpbin-v1", map[string]string{"app": "httpbin"})
	g.Expect(plane.Client().Create(t.Context(), deployment)).To(Succeed())

	g.Eventually(func(g Gomega) {
		g.Expect(plane.Client().Get(t.Context(), client.ObjectKeyFromObject(deployment), deployment)).To(Succeed())
		g.Expect(deployment.Status.Conditions).To(ContainElement(SatisfyAll(
			HaveField("Type", appsv1.DeploymentAvailable), HaveField("Status", corev1.ConditionTrue))))
	}).Should(Succeed())
}

func TestAnEndpointSliceFillsAndCarriesItsServicesLabels(t *testing.T) {
	g := NewWithT(t)
	namespace, labels := newNamespace(t), map[string]string{"app": "httpbin", "version": "v2"}
	g.Expect(plane.Client().Create(t.Context(), env.Service(namespace, "httpbin-v2", labels))).To(Succeed())
	g.Expect(plane.Client().Create(t.Context(), env.Deployment(namespace, "httpbin-v2", labels))).To(Succeed())

	g.Eventually(func(g Gomega) {
		var slices discoveryv1.EndpointSliceList
		g.Expect(plane.Client().List(t.Context(), &slices, client.InNamespace(namespace),
			client.MatchingLabels{discoveryv1.LabelServiceName: "httpbin-v2"})).To(Succeed())
		g.Expect(slices.Items).To(HaveLen(1))
		g.Expect(slices.Items[0].Labels).To(HaveKeyWithValue(v1alpha1.DetectLabel, "true"))
		g.Expect(slices.Items[0].Endpoints).To(HaveLen(1))
		g.Expect(slices.Items[0].Endpoints[0].Conditions.Ready).To(HaveValue(BeTrue()))
	}).Should(Succeed())
}

func TestAServiceAccountHasNoRightsButThoseItIsGiven(t *testing.T) {
	g := NewWithT(t)
	namespace := newNamespace(t)
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "nobody"}}
	g.Expect(plane.Client().Create(t.Context(), account)).To(Succeed())

	file := filepath.Join(t.TempDir(), "kubeconfig")
	g.Expect(plane.ServiceAccountKubeconfig(t.Context(), namespace, "nobody", file)).To(Succeed())
	config, err := clientcmd.BuildConfigFromFlags("", file)
	g.Expect(err).NotTo(HaveOccurred())
	nobody, err := client.New(config, client.Options{Scheme: env.Scheme()})
	g.Expect(err).NotTo(HaveOccurred())

	err = nobody.List(t.Context(), &v1alpha1.SubjectList{}, client.InNamespace(namespace))
	g.Expect(apierrors.IsForbidden(err)).To(BeTrue(), "listing Subjects: %v", err)
	g.Expect(err).To(MatchError(ContainSubstring("system:serviceaccount:" + namespace + ":nobody")))

	_, err = plane.ServiceAccountConfig(t.Context(), namespace, "missing")
	g.Expect(apierrors.IsNotFound(err)).To(BeTrue(), "asking for a token of an account that isn't there: %v", err)
}

func TestTheGarbageCollectorDeletesTheChildOfADeletedOwner(t *testing.T) {
	g := NewWithT(t)
	namespace := newNamespace(t)
	policy := &v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "httpbin-route"},
		Spec: v1alpha1.RoutingPolicySpec{
			SubjectRef: v1alpha1.SubjectReference{Name: "httpbin"},
			Chart:      &v1alpha1.ChartReference{Name: "mirror"},
		},
	}
	g.Expect(plane.Client().Create(t.Context(), policy)).To(Succeed())
	route := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{
		Namespace: namespace, Name: "httpbin",
		OwnerReferences: []metav1.OwnerReference{
			*metav1.NewControllerRef(policy, v1alpha1.GroupVersion.WithKind("RoutingPolicy")),
		},
	}}
	g.Expect(plane.Client().Create(t.Context(), route)).To(Succeed())
	g.Expect(plane.Client().Delete(t.Context(), policy)).To(Succeed())

	g.Eventually(func() bool {
		return apierrors.IsNotFound(plane.Client().Get(t.Context(), client.ObjectKeyFromObject(route), route))
	}).Should(BeTrue(), "the route is still there")
}

func TestTheAuditLogCountsWrites(t *testing.T) {
	g := NewWithT(t)
	namespace := newNamespace(t)
	object := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "written-once"}}
	g.Expect(plane.Client().Create(t.Context(), object.DeepCopy(), client.DryRunAll)).To(Succeed())
	g.Expect(plane.Client().Create(t.Context(), object)).To(Succeed())
	g.Expect(plane.Client().Get(t.Context(), client.ObjectKeyFromObject(object), object)).To(Succeed())

	writes, err := plane.AuditEvents(func(a env.AuditEvent) bool {
		return a.IsWrite() && a.Namespace == namespace && a.Resource == "configmaps" && a.Name == object.Name
	})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(writes).To(HaveLen(1))
	g.Expect(writes[0]).To(SatisfyAll(
		HaveField("Verb", "create"), HaveField("Code", 201), HaveField("User", "admin"), HaveField("Group", ""),
		HaveField("Version", "v1"), HaveField("UserAgent", Not(BeEmpty())),
		HaveField("Time", BeTemporally("~", time.Now(), time.Minute))))

	rotated := filepath.Join(plane.Dir(), "audit-2026-11-28T18-15-14.000.log") // as the apiserver names it
	g.Expect(os.WriteFile(rotated, nil, 0o600)).To(Succeed())
	defer os.Remove(rotated)
	_, err = plane.AuditEvents(nil)
	g.Expect(err).To(MatchError(ContainSubstring("rotated")))
}

func TestTheAdministratorsKubeconfigWorksWithKubectl(t *testing.T) {
	g := NewWithT(t)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	g.Expect(plane.Kubeconfig(file)).To(Succeed())
	out, err := exec.CommandContext(t.Context(), plane.KubectlPath(), "--kubeconfig", file, "get", "nodes", "-o", "name").CombinedOutput()
	g.Expect(string(out), err).To(Equal("node/" + env.NodeName + "\n"))
}

func TestAProgramThatEndsEarlyIsReportedWithTheEndOfItsLog(t *testing.T) {
	g := NewWithT(t)
	assets := t.TempDir()
	t.Setenv("KUBEBUILDER_ASSETS", assets)
	_, err := env.Start(t.Context(), env.Options{})
	g.Expect(err).To(MatchError(env.ErrNotBuilt))

	for _, name := range []string{"etcd", "kube-apiserver"} {
		script := "#!/bin/sh\necho " + name + " has no disk\nexit 1\n"
		g.Expect(os.WriteFile(filepath.Join(assets, name), []byte(script), 0o700)).To(Succeed())
	}
	_, err = env.Start(t.Context(), env.Options{})
	g.Expect(err).To(MatchError(ContainSubstring("etcd has no disk")))
}
