package lifecycle

import (
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// standing is what is left of a policy's two objects.
type standing struct {
	Mirror        bool
	Owned, Marked int
	// Route is where clients are sent to.
	Route string
}

// stands polls what stands of a policy's objects.
func (m *mesh) stands(name string) func() (standing, error) {
	return func() (standing, error) {
		var s standing
		for resource := range map[string]bool{"VirtualService": true, "DestinationRule": true} {
			kind := virtualServices
			if resource == "DestinationRule" {
				kind = destinationRules
			}
			o, err := m.dynamic.Resource(kind).Namespace(metav1.NamespaceDefault).Get(m.Context(), name, metav1.GetOptions{})
			if err != nil {
				return s, err
			}
			s.Owned += len(o.GetOwnerReferences())
			if o.GetAnnotations()["iter8.tools/deletion-policy"] == "Orphan" && o.GetLabels()["iter8.tools/policy-uid"] != "" {
				s.Marked++
			}
			if http, ok, _ := unstructured.NestedSlice(o.Object, "spec", "http"); ok {
				rule := http[0].(map[string]any)
				_, s.Mirror = rule["mirror"]
				s.Route, _, _ = unstructured.NestedString(rule["route"].([]any)[0].(map[string]any), "destination", "subset")
			}
		}
		return s, nil
	}
}

// orphaned is a policy whose objects are to stay.
func (m *mesh) orphaned(name string) *iter8v1alpha1.RoutingPolicy {
	p := m.policy(name)
	p.Spec.DeletionPolicy = iter8v1alpha1.DeletionOrphan
	return p
}

const twoApplied = "True Succeeded: 2 objects applied for v1 available"

func TestWhatIsOrphanedStaysWithoutMirrors(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	create := func(p *iter8v1alpha1.RoutingPolicy) {
		m.Helper()
		m.Expect(m.k8s.Create(m.Context(), p)).To(Succeed())
		m.Eventually(m.ready(p.Name)).Should(Equal(twoApplied))
	}
	setDeletion := func(name, policy string) {
		m.Helper()
		m.kubectl("patch", "routingpolicy", name, "--type=merge", `--patch={"spec":{"deletionPolicy":"`+policy+`"}}`)
	}

	create(m.orphaned("up"))
	m.Expect(m.stands("up")()).To(Equal(standing{Mirror: true, Marked: 2, Route: "up"}))
	m.kubectl("delete", "routingpolicy", "up")
	m.Eventually(m.stands("up")).Should(Equal(standing{Route: "up"}))

	m.Logf("a mirror that is put in by whose it is now stays")
	m.kubectl("patch", "virtualservice", "up", "--type=json", `--patch=[{"op":"add","path":"/spec/http/0/mirror","value":{"host":"reviews"}}]`)
	m.Consistently(m.stands("up"), "3s", "200ms").Should(Equal(standing{Mirror: true, Route: "up"}))

	m.Logf("a policy that is made again claims what is handed over")
	m.Expect(m.k8s.Create(m.Context(), m.orphaned("up"))).To(Succeed())
	m.Eventually(m.condition("up", "Applied")).Should(HavePrefix("False OwnershipConflict: "))
	m.kubectl("annotate", "virtualservice", "up", "iter8.tools/adopt=true")
	m.kubectl("annotate", "destinationrule", "up", "iter8.tools/adopt=true")
	m.Eventually(m.ready("up")).Should(Equal(twoApplied))
	m.Expect(m.stands("up")()).To(Equal(standing{Mirror: true, Marked: 2, Route: "up"}))

	m.Logf("the policy goes while no operator runs")
	create(m.orphaned("down"))
	m.Expect(m.operator.Stop(syscall.SIGTERM)).To(Succeed())
	m.kubectl("delete", "routingpolicy", "down")
	m.Expect(m.stands("down")()).To(Equal(standing{Mirror: true, Marked: 2, Route: "down"}))
	m.operator = m.start()
	m.Eventually(m.stands("down")).Should(Equal(standing{Route: "down"}))

	m.Logf("a policy that owns its objects is deleted without them")
	create(m.policy("abandoned"))
	m.kubectl("delete", "routingpolicy", "abandoned", "--cascade=orphan")
	m.Eventually(m.stands("abandoned")).Should(Equal(standing{Route: "abandoned"}))

	m.Logf("to and fro: one write of each object")
	create(m.policy("changes"))
	for _, step := range []struct {
		policy string
		want   standing
	}{{"Orphan", standing{Mirror: true, Marked: 2, Route: "changes"}}, {"Delete", standing{Mirror: true, Owned: 1, Route: "changes"}}} {
		since := time.Now()
		setDeletion("changes", step.policy)
		m.Eventually(m.stands("changes")).Should(Equal(step.want))
		m.Eventually(m.ready("changes")).Should(Equal(twoApplied))
		m.Expect(m.writesOf("changes", since)).To(ConsistOf("patch destinationrules", "patch virtualservices"))
	}

	m.Logf("it is turned to Orphan while another's finalizer holds the policy")
	held := m.policy("held")
	held.Finalizers = []string{"example.com/held"}
	create(held)
	m.kubectl("delete", "routingpolicy", "held", "--wait=false")
	setDeletion("held", "Orphan")
	m.Eventually(m.stands("held")).Should(Equal(standing{Mirror: true, Marked: 2, Route: "held"}))
	m.kubectl("patch", "routingpolicy", "held", "--type=merge", `--patch={"metadata":{"finalizers":null}}`)
	m.Eventually(m.stands("held")).Should(Equal(standing{Route: "held"}))

	m.Logf("it is turned to Orphan while nothing can be applied")
	create(m.policy("stuck"))
	m.kubectl("patch", "routingpolicy", "stuck", "--type=merge", `--patch={"spec":{"subjectRef":{"name":"nowhere"}}}`)
	m.Eventually(m.condition("stuck", "Ready")).Should(HavePrefix("False SubjectNotFound"))
	m.Expect(m.stands("stuck")()).To(Equal(standing{Owned: 1, Route: "stuck"}), "it stays without mirrors in any case")
	setDeletion("stuck", "Orphan")
	m.Eventually(m.stands("stuck")).Should(Equal(standing{Marked: 2, Route: "stuck"}))
	m.kubectl("delete", "routingpolicy", "stuck")
	m.Eventually(m.stands("stuck")).Should(Equal(standing{Route: "stuck"}))

	m.Logf("the Subject goes: what is orphaned stays without mirrors, all else goes with it")
	create(m.orphaned("subjectless"))
	m.kubectl("delete", "subject", "reviews")
	m.Eventually(m.condition("subjectless", "Ready")).Should(HavePrefix("False SubjectNotFound: Subject reviews does not exist; what was applied for it stays, without mirrors"))
	m.Expect(m.stands("subjectless")()).To(Equal(standing{Marked: 2, Route: "subjectless"}))
	m.Eventually(func() (int, error) {
		list, err := m.dynamic.Resource(destinationRules).Namespace(metav1.NamespaceDefault).List(m.Context(), metav1.ListOptions{FieldSelector: "metadata.name=changes"})
		return len(list.Items), err
	}).Should(BeZero())
}

// writesOf are those of the operator to the objects of a policy since a moment.
func (m *mesh) writesOf(name string, since time.Time) ([]string, error) {
	events, err := m.cluster.AuditEvents(func(e env.AuditEvent) bool {
		return e.IsWrite() && e.User == operatorUser && e.Time.After(since) && e.Name == name &&
			(e.Resource == "virtualservices" || e.Resource == "destinationrules")
	})
	writes := []string{}
	for _, e := range events {
		writes = append(writes, e.Verb+" "+e.Resource)
	}
	return writes, err
}
