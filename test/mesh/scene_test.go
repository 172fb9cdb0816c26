package mesh

import (
	"context"
	"fmt"
	"hash/fnv"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
	"iter8.tools/operator/test/mesh/proxy"
)

// scene is a namespace of one test.
type scene struct {
	*testing.T
	*gomega.WithT
	namespace  string
	kubeconfig string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{T: t, WithT: gomega.NewWithT(t), kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "mesh-"}}
	s.create(namespace)
	s.namespace = namespace.Name
	t.Cleanup(func() { _ = k8s.Delete(context.Background(), namespace) })
	s.Expect(cluster.Kubeconfig(s.kubeconfig)).To(gomega.Succeed())
	return s
}

func (s *scene) create(objects ...client.Object) {
	s.Helper()
	for _, o := range objects {
		if o.GetNamespace() == "" {
			o.SetNamespace(s.namespace)
		}
		s.Expect(k8s.Create(s.Context(), o)).To(gomega.Succeed())
	}
}

func (s *scene) delete(objects ...client.Object) {
	s.Helper()
	for _, o := range objects {
		s.Expect(k8s.Delete(s.Context(), o)).To(gomega.Succeed())
	}
}

// patch changes an object as its owner would, whatever others write meanwhile.
func patch[T client.Object](s *scene, object T, change func(T)) {
	s.Helper()
	s.Expect(k8s.Get(s.Context(), client.ObjectKeyFromObject(object), object)).To(gomega.Succeed())
	before := object.DeepCopyObject().(client.Object)
	change(object)
	s.Expect(k8s.Patch(s.Context(), object, client.MergeFrom(before))).To(gomega.Succeed())
}

func (s *scene) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: s.namespace, Name: name}
}

// kubectl runs kubectl as an administrator, in the scene's namespace.
func (s *scene) kubectl(args ...string) string {
	s.Helper()
	kubectl := exec.CommandContext(s.Context(), cluster.KubectlPath(), append([]string{"--kubeconfig", s.kubeconfig, "--namespace", s.namespace}, args...)...)
	output, err := kubectl.CombinedOutput()
	s.Expect(err).NotTo(gomega.HaveOccurred(), string(output))
	return string(output)
}

// manifest applies YAML, as one who follows a document does.
func (s *scene) manifest(yaml string) {
	s.Helper()
	kubectl := exec.CommandContext(s.Context(), cluster.KubectlPath(), "--kubeconfig", s.kubeconfig, "--namespace", s.namespace, "apply", "-f", "-")
	kubectl.Stdin = strings.NewReader(yaml)
	output, err := kubectl.CombinedOutput()
	s.Expect(err).NotTo(gomega.HaveOccurred(), string(output))
}

// sample is the path of a file in config/samples.
func sample(name string) string {
	return filepath.Join(cluster.ModuleRoot(), "config", "samples", filepath.FromSlash(name))
}

// deployment creates a Deployment whose Pods have these labels.
func (s *scene) deployment(name string, labels map[string]string) *appsv1.Deployment {
	s.Helper()
	d := env.Deployment(s.namespace, name, labels)
	s.create(d)
	return d
}

// deploy creates the Deployment and the Service of a workload, APP-VERSION, and waits for its Pod.
func (s *scene) deploy(workload string) (*appsv1.Deployment, *corev1.Service) {
	s.Helper()
	app, version, _ := strings.Cut(workload, "-")
	labels := map[string]string{"app": app, "version": version}
	service := env.Service(s.namespace, workload, labels)
	s.create(service)
	deployment := s.deployment(workload, labels)
	s.Eventually(s.pods(workload)).Should(gomega.HaveLen(1))
	return deployment, service
}

// pods polls the Pods of a workload that are served.
func (s *scene) pods(workload string) func() []string {
	return func() []string { return servers.pods(variant{s.namespace, workload}) }
}

// received is all that has reached a workload.
func (s *scene) received(workload string) []received {
	return servers.received(variant{s.namespace, workload})
}

// count polls how many requests have reached a workload.
func (s *scene) count(workload string) func() int {
	return func() int { return len(s.received(workload)) }
}

// sidecar starts a test proxy for clients in the scene's namespace.
func (s *scene) sidecar() *proxy.Proxy {
	s.Helper()
	return s.proxy(proxy.Node{Namespace: s.namespace, Pod: "client", IP: clientAddress})
}

// clientAddress is the last of those that Pods may have, and nobody's.
const clientAddress = "10.244.255.254"

func (s *scene) proxy(node proxy.Node) *proxy.Proxy {
	s.Helper()
	dice := fnv.New64a() // of the test's name: other choices in other tests, and the same each time
	_, _ = dice.Write([]byte(s.Name()))
	p, err := proxy.Start(proxy.Options{XDSAddress: istiod.XDSAddress, Node: node, Dice: dice.Sum64()})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Cleanup(func() {
		s.Expect(p.Refusals()).To(gomega.BeEmpty(), "configuration that the test proxy can't read")
		s.Expect(p.Close()).To(gomega.Succeed())
	})
	return p
}

// applied is a policy that kubectl has applied, or another function.
func (s *scene) applied(name string) *iter8v1alpha1.RoutingPolicy {
	return &iter8v1alpha1.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name}}
}

// condition polls a condition of a Subject or policy, as "status reason: message".
func (s *scene) condition(object client.Object, conditionType string) func() (string, error) {
	return func() (string, error) {
		if err := k8s.Get(s.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			return "", err
		}
		var conditions []metav1.Condition
		switch o := object.(type) {
		case *iter8v1alpha1.Subject:
			conditions = o.Status.Conditions
		case *iter8v1alpha1.RoutingPolicy:
			conditions = o.Status.Conditions
		}
		c := meta.FindStatusCondition(conditions, conditionType)
		if c == nil || c.ObservedGeneration != object.GetGeneration() {
			return "", nil
		}
		return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message), nil
	}
}
