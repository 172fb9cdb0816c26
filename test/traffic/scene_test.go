package traffic

import (
	"context"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/dataplane"
	"iter8.tools/operator/test/env"
)

// scene is a namespace of one test, and the data plane that its clients call through.
type scene struct {
	*testing.T
	*gomega.WithT
	plane      plane
	namespace  string
	kubeconfig string
}

func newScene(t *testing.T, p plane) *scene {
	t.Helper()
	s := &scene{T: t, WithT: gomega.NewWithT(t), plane: p, kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "traffic-"}}
	s.create(namespace)
	s.namespace = namespace.Name
	t.Cleanup(func() { _ = k8s.Delete(context.Background(), namespace) })
	s.Expect(cluster.Kubeconfig(s.kubeconfig)).To(gomega.Succeed())
	return s
}

// in is the scene for a part of the test.
func (s *scene) in(t *testing.T) *scene {
	part := *s
	part.T, part.WithT = t, gomega.NewWithT(t)
	return &part
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

// plugin runs kubectl's plugin, and returns what it prints.
func (s *scene) plugin(args ...string) string {
	s.Helper()
	path, err := cluster.Binary("kubectl-iter8", "run make build")
	s.Expect(err).NotTo(gomega.HaveOccurred())
	output, err := exec.CommandContext(s.Context(), path, args...).Output()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	return string(output)
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
	return s.deployFor(workload, dataplane.HTTP1)
}

// deployFor is deploy, with a Service whose port is for a protocol.
func (s *scene) deployFor(workload string, protocol dataplane.Protocol) (*appsv1.Deployment, *corev1.Service) {
	s.Helper()
	app, version, _ := strings.Cut(workload, "-")
	labels := map[string]string{"app": app, "version": version}
	service := env.Service(s.namespace, workload, labels)
	if protocol == dataplane.H2C {
		h2c := "kubernetes.io/h2c"
		service.Spec.Ports[0].AppProtocol = &h2c
	}
	s.create(service)
	deployment := s.deployment(workload, labels)
	s.Eventually(s.pods(workload)).Should(gomega.HaveLen(1))
	return deployment, service
}

func (s *scene) workload(name string) dataplane.Workload {
	return dataplane.Workload{Namespace: s.namespace, Name: name}
}

// pods polls the Pods of a workload that are served.
func (s *scene) pods(workload string) func() []string {
	return func() []string { return pods.Of(s.workload(workload)) }
}

// received is all that has reached a workload.
func (s *scene) received(workload string) []dataplane.Received {
	return pods.Received(s.workload(workload))
}

// count polls how many requests have reached a workload.
func (s *scene) count(workload string) func() int {
	return func() int { return pods.Count(s.workload(workload)) }
}

// forget empties the log of workloads.
func (s *scene) forget(workloads ...string) {
	for _, w := range workloads {
		pods.Forget(s.workload(w))
	}
}

// behave changes how a workload's Pods answer, until the end of the test.
func (s *scene) behave(workload string, behavior dataplane.Behavior) {
	pods.Behave(s.workload(workload), behavior)
	s.Cleanup(func() { pods.Behave(s.workload(workload), dataplane.Behavior{}) })
}

// httpClient is a caller by way of an Envoy whose configuration can be looked at.
type httpClient struct {
	*dataplane.Caller
	scene *scene
	envoy *dataplane.Envoy
}

// calling starts the scene's data plane, with a client of httpbin.
func (s *scene) calling() *httpClient {
	s.Helper()
	return s.callingAt(s.plane.envoy(s), s.plane.host(s.namespace), dataplane.HTTP1)
}

// callingAt returns a client of a host. At the end of the test the Envoy must have taken every configuration that it got.
func (s *scene) callingAt(v *dataplane.Envoy, host string, protocol dataplane.Protocol) *httpClient {
	c := &httpClient{Caller: dataplane.NewCaller(v.Address, host, protocol), scene: s, envoy: v}
	s.Cleanup(func() {
		c.Close()
		rejected, err := v.Stats(context.Background(), `update_rejected$`)
		s.Expect(err).NotTo(gomega.HaveOccurred())
		for name, times := range rejected {
			s.Expect(times).To(gomega.BeZero(), name)
		}
	})
	return c
}

// load sends a request over and over, until the end of the test at the latest.
func (s *scene) load(c *httpClient, request *http.Request) *dataplane.Load {
	l := c.Load(request)
	s.Cleanup(func() { l.End() })
	return l
}

// batchHeader of requests tells them from all others of a test.
const batchHeader = "Batch"

// expectMirrored expects v1 to answer, and v2 to get one copy of each request; or none.
func (s *scene) expectMirrored(c *httpClient, mirrored bool) {
	s.Helper()
	const times = 100
	batch := strconv.FormatInt(time.Now().UnixNano(), 36)
	copies := func() (n int) {
		for _, r := range s.received("httpbin-v2") {
			if r.Header.Get(batchHeader) == batch {
				n++
			}
		}
		return n
	}
	request := c.Request(http.MethodPost, "/post", "a body", batchHeader, batch)
	s.Expect(c.Send(times, request)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
	if mirrored {
		s.Eventually(copies).Should(gomega.Equal(times), "the mirror is there")
		return
	}
	s.Consistently(copies, "200ms").Should(gomega.BeZero(), "the mirror is gone")
}

// routing polls what the Envoy does with requests to the host, as Pods.Describe has it.
func (c *httpClient) routing() string {
	routing, err := c.envoy.Routing(c.scene.Context(), c.Host)
	if err != nil {
		return err.Error()
	}
	return pods.Describe(routing)
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

// states polls what the status has of a policy's mirrors, as "target percent% state".
func (s *scene) states(policy *iter8v1alpha1.RoutingPolicy) func() ([]string, error) {
	return func() ([]string, error) {
		err := k8s.Get(s.Context(), client.ObjectKeyFromObject(policy), policy)
		states := []string{}
		for _, m := range policy.Status.Mirrors {
			states = append(states, fmt.Sprintf("%s %s%% %s", m.To, m.Percent, m.State))
		}
		return states, err
	}
}
