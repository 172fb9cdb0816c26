package lifecycle

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

const (
	// atOnce is how many policies are deleted in one go.
	atOnce = 100
	// batchTime is how long a batch may take to come or to go, on a busy machine.
	batchTime = 3 * time.Minute
)

var (
	virtualServices  = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "virtualservices"}
	destinationRules = schema.GroupVersionResource{Group: "networking.istio.io", Version: "v1", Resource: "destinationrules"}
)

// mesh is a world whose policies apply a VirtualService, and the DestinationRule of the subset that it names.
type mesh struct {
	*world
	dynamic  dynamic.Interface
	operator *env.Operator
}

func newMesh(t *testing.T) *mesh {
	t.Helper()
	w := newWorld(t, env.Options{IstioCRDs: true})
	w.install()
	client, err := dynamic.NewForConfig(w.cluster.Config())
	w.Expect(err).NotTo(HaveOccurred())
	m := &mesh{world: w, dynamic: client, operator: w.start()} // which waits for its kinds
	m.apply(`
apiVersion: v1
kind: Service
metadata: {name: reviews}
spec: {ports: [{port: 80}]}
---
apiVersion: iter8.tools/v1alpha1
kind: Subject
metadata: {name: reviews}
spec: {variants: [{name: v1}]}
`)
	return m
}

// policy returns one whose rule has a name of its own, and a subset of the same name.
func (m *mesh) policy(name string) *iter8v1alpha1.RoutingPolicy {
	return &iter8v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name},
		Spec: iter8v1alpha1.RoutingPolicySpec{
			SubjectRef: iter8v1alpha1.SubjectReference{Name: "reviews"},
			Templates: []iter8v1alpha1.InlineTemplate{{Name: "routes", Template: fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: %[1]s}
spec:
  hosts: [%[1]s.example.com]
  http: [{route: [{destination: {host: reviews, subset: %[1]s}}], mirror: {host: reviews}}]
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: %[1]s}
spec:
  host: reviews
  subsets: [{name: %[1]s, labels: {version: v1}}]
`, name)}},
		},
	}
}

// count polls how many objects of a resource there are, and how many owner references they have.
func (m *mesh) count(resource schema.GroupVersionResource) func() (string, error) {
	return func() (string, error) {
		list, err := m.dynamic.Resource(resource).Namespace(metav1.NamespaceDefault).List(m.Context(), metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		owned := 0
		for _, o := range list.Items {
			owned += len(o.GetOwnerReferences())
		}
		return fmt.Sprintf("%d, %d owned", len(list.Items), owned), nil
	}
}

// createAll creates the batch, and waits until all of it is applied.
func (m *mesh) createAll() {
	m.Helper()
	for i := range atOnce {
		m.Expect(m.k8s.Create(m.Context(), m.policy(fmt.Sprintf("p%d", i)))).To(Succeed())
	}
	m.Eventually(m.count(virtualServices), batchTime).Should(Equal("100, 100 owned"))
	m.Eventually(m.count(destinationRules), batchTime).Should(Equal("100, 0 owned"))
	m.awaitCollector()
}

// awaitCollector waits until the garbage collector knows of all VirtualServices: what it doesn't know of yet it can't orphan, and deletes
// once it does.
func (m *mesh) awaitCollector() {
	m.Helper()
	m.apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: collected
  ownerReferences: [{apiVersion: v1, kind: ConfigMap, name: never-was, uid: 11111111-2222-3333-4444-555555555555}]
spec: {hosts: [collected.example.com], http: [{route: [{destination: {host: reviews}}]}]}
`)
	m.Eventually(func() bool {
		_, err := m.dynamic.Resource(virtualServices).Namespace(metav1.NamespaceDefault).Get(m.Context(), "collected", metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}, batchTime).Should(BeTrue())
}

// deletions are the ends of objects, by their names: when each came, in the order of the apiserver's writes.
type deletions struct {
	mu sync.Mutex
	at map[schema.GroupVersionResource]map[string]int
}

// watchDeletions takes down what is deleted from now on.
func (m *mesh) watchDeletions() *deletions {
	m.Helper()
	d := &deletions{at: map[schema.GroupVersionResource]map[string]int{virtualServices: {}, destinationRules: {}}}
	for resource := range d.at {
		list, err := m.dynamic.Resource(resource).Namespace(metav1.NamespaceDefault).List(m.Context(), metav1.ListOptions{})
		m.Expect(err).NotTo(HaveOccurred())
		events, err := m.dynamic.Resource(resource).Namespace(metav1.NamespaceDefault).Watch(m.Context(), metav1.ListOptions{ResourceVersion: list.GetResourceVersion()})
		m.Expect(err).NotTo(HaveOccurred())
		m.Cleanup(events.Stop)
		go func() {
			for event := range events.ResultChan() {
				o, ok := event.Object.(*unstructured.Unstructured)
				if !ok || event.Type != watch.Deleted {
					continue
				}
				version, _ := strconv.Atoi(o.GetResourceVersion())
				d.mu.Lock()
				d.at[resource][o.GetName()] = version
				d.mu.Unlock()
			}
		}()
	}
	return d
}

// early returns the rules that went before the VirtualService that names their subset, and how many of both have gone.
func (d *deletions) early() (early []string, services, rules int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, at := range d.at[destinationRules] {
		if service, gone := d.at[virtualServices][name]; !gone || at < service {
			early = append(early, name)
		}
	}
	return early, len(d.at[virtualServices]), len(d.at[destinationRules])
}

// outcome polls what has gone, and whether in order.
func (d *deletions) outcome() string {
	early, services, rules := d.early()
	return fmt.Sprintf("%d VirtualServices, then %d rules, of which %d early", services, rules, len(early))
}

func (m *mesh) deleteAll(propagation metav1.DeletionPropagation) {
	m.Helper()
	m.Expect(m.k8s.DeleteAllOf(m.Context(), &iter8v1alpha1.RoutingPolicy{}, client.InNamespace(metav1.NamespaceDefault), client.PropagationPolicy(propagation))).To(Succeed())
}

// policies polls how many there are.
func (m *mesh) policies() (int, error) {
	var all iter8v1alpha1.RoutingPolicyList
	err := m.k8s.List(m.Context(), &all)
	return len(all.Items), err
}

// deletedBy returns who deleted how many objects of each resource one by one.
func (m *mesh) deletedBy(since time.Time) (map[string]int, error) {
	by := map[string]int{}
	_, err := m.cluster.AuditEvents(func(e env.AuditEvent) bool {
		if e.Verb == "delete" && e.Time.After(since) {
			by[e.Resource+" by "+e.User]++
		}
		return false
	})
	return by, err
}

// mirroring polls how many VirtualServices have a mirror.
func (m *mesh) mirroring() (int, error) {
	all, err := m.dynamic.Resource(virtualServices).Namespace(metav1.NamespaceDefault).List(m.Context(), metav1.ListOptions{})
	if err != nil {
		return 0, err
	}
	mirroring := 0
	for _, o := range all.Items {
		if strings.Contains(fmt.Sprint(o.Object["spec"]), "mirror:") {
			mirroring++
		}
	}
	return mirroring, nil
}

func TestNoRuleGoesBeforeTheVirtualServiceThatNamesIt(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	began := time.Now()
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(m.deletedBy(began))
		}
	})
	for _, propagation := range []metav1.DeletionPropagation{metav1.DeletePropagationBackground, metav1.DeletePropagationForeground, metav1.DeletePropagationOrphan} {
		for _, down := range []bool{false, true} {
			m.Logf("propagation %s, with the operator down: %t", propagation, down)
			m.createAll()
			seen := m.watchDeletions()
			if down {
				m.Expect(m.operator.Stop(syscall.SIGTERM)).To(Succeed())
			}
			m.deleteAll(propagation)
			m.Eventually(m.policies, batchTime).Should(BeZero())
			services := "0, 0 owned"
			if propagation == metav1.DeletePropagationOrphan {
				services = "100, 0 owned"
			}
			m.Eventually(m.count(virtualServices), batchTime).Should(Equal(services))
			if propagation == metav1.DeletePropagationOrphan && !down {
				m.Eventually(m.mirroring, batchTime).Should(BeZero())
			}
			if down {
				m.Expect(m.count(destinationRules)()).To(Equal("100, 0 owned"))
				m.operator = m.start()
			}
			if propagation == metav1.DeletePropagationOrphan {
				m.Consistently(m.count(destinationRules), "5s", "500ms").Should(Equal("100, 0 owned"), "the VirtualServices stand")
				m.Expect(m.dynamic.Resource(virtualServices).Namespace(metav1.NamespaceDefault).DeleteCollection(m.Context(), metav1.DeleteOptions{}, metav1.ListOptions{})).To(Succeed())
			}
			m.Eventually(m.count(destinationRules), batchTime).Should(Equal("0, 0 owned"))
			m.Eventually(seen.outcome).Should(Equal("100 VirtualServices, then 100 rules, of which 0 early"))
		}
	}
}

func TestAPolicyThatIsMadeAgainWaitsForWhatTheEarlierOneLeft(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	m.Expect(m.k8s.Create(m.Context(), m.policy("again"))).To(Succeed())
	m.Eventually(m.ready("again")).Should(Equal("True Succeeded: 2 objects applied for v1 available"))
	before := m.uids("again")

	m.Logf("a copy of its rule, with its mark, and a rule that says to be of a policy that never was, aren't the operator's to delete")
	copied := m.get(destinationRules, "again")
	for _, name := range []string{"copied", "forged"} {
		m.apply(fmt.Sprintf(`
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata:
  name: %s
  labels: {app.kubernetes.io/managed-by: iter8-operator, iter8.tools/policy-uid: %s}
  annotations: {iter8.tools/policy: again, iter8.tools/deletion-policy: Delete}
spec: {host: reviews, subsets: [{name: %[1]s, labels: {version: v1}}]}
`, name, map[string]string{"copied": copied.GetLabels()["iter8.tools/policy-uid"], "forged": "never-was"}[name]))
	}

	m.Logf("another's VirtualService names its subset, for good")
	m.apply(`
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: others}
spec: {hosts: [others.example.com], http: [{route: [{destination: {host: reviews, subset: again}}]}]}
`)

	m.Logf("the garbage collector can't finish yet")
	m.kubectl("patch", "virtualservice", "again", "--type=merge", `--patch={"metadata":{"finalizers":["example.com/held"]}}`)
	m.kubectl("delete", "routingpolicy", "again")
	m.Expect(m.k8s.Create(m.Context(), m.policy("again"))).To(Succeed())
	m.Eventually(m.condition("again", "Applied")).Should(And(HavePrefix("False Terminating: "),
		ContainSubstring("VirtualService again belongs to an earlier policy of this name, with which it is deleted"), Not(ContainSubstring("DestinationRule"))))
	m.Eventually(func() *metav1.Time { return m.get(virtualServices, "again").GetDeletionTimestamp() }, "90s").ShouldNot(BeNil())
	m.Consistently(func() map[string]string { return m.uids("again") }, "3s", "200ms").Should(Equal(before))

	m.kubectl("patch", "virtualservice", "again", "--type=merge", `--patch={"metadata":{"finalizers":null}}`)
	m.Eventually(m.ready("again")).Should(Equal("True Succeeded: 2 objects applied for v1 available"))
	after := m.uids("again")
	m.Expect(after["VirtualService"]).NotTo(Equal(before["VirtualService"]))
	m.Expect(after["DestinationRule"]).To(Equal(before["DestinationRule"]), "it is taken over as it is")
	m.Expect(m.get(destinationRules, "copied").GetName()).To(Equal("copied"))
	m.Expect(m.get(destinationRules, "forged").GetName()).To(Equal("forged"))

	m.Logf("its namespace goes, with all that is in it")
	m.kubectl("create", "namespace", "going")
	going := m.policy("going")
	going.Namespace = "going"
	m.kubectl("--namespace=going", "apply", "-f", m.manifest("service.yaml", "{apiVersion: v1, kind: Service, metadata: {name: reviews}, spec: {ports: [{port: 80}]}}"))
	m.kubectl("--namespace=going", "apply", "-f", m.manifest("subject.yaml", "{apiVersion: iter8.tools/v1alpha1, kind: Subject, metadata: {name: reviews}, spec: {variants: [{name: v1}]}}"))
	m.Expect(m.k8s.Create(m.Context(), going)).To(Succeed())
	m.Eventually(func() error {
		_, err := m.dynamic.Resource(virtualServices).Namespace("going").Get(m.Context(), "going", metav1.GetOptions{})
		return err
	}).Should(Succeed())
	m.kubectl("delete", "namespace", "going", "--timeout=60s")
}

func (m *mesh) get(resource schema.GroupVersionResource, name string) *unstructured.Unstructured {
	m.Helper()
	o, err := m.dynamic.Resource(resource).Namespace(metav1.NamespaceDefault).Get(m.Context(), name, metav1.GetOptions{})
	m.Expect(err).NotTo(HaveOccurred())
	return o
}

// uids are those of a policy's objects.
func (m *mesh) uids(name string) map[string]string {
	m.Helper()
	return map[string]string{
		"VirtualService":  string(m.get(virtualServices, name).GetUID()),
		"DestinationRule": string(m.get(destinationRules, name).GetUID()),
	}
}

// manifest writes a file for kubectl.
func (m *mesh) manifest(name, text string) string {
	m.Helper()
	file := filepath.Join(m.TempDir(), name)
	m.Expect(os.WriteFile(file, []byte(text), 0o600)).To(Succeed())
	return file
}
