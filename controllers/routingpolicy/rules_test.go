package routingpolicy

import (
	"errors"
	"slices"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// meshSubject is a Subject whose variants have a Deployment each, whose Pods are told apart by their label version.
func meshSubject() *iter8v1alpha1.Subject {
	variant := func(name string) iter8v1alpha1.Variant {
		return iter8v1alpha1.Variant{Name: name, Resources: []iter8v1alpha1.ResourceReference{{APIVersion: "apps/v1", Kind: "Deployment", Name: "web-" + name}}}
	}
	return aSubject(variant("v1"), variant("v2"), variant("v3"))
}

func deploymentOf(name string) *unstructured.Unstructured {
	d := aDeployment("True")
	d.SetName("web-" + name)
	d.Object["spec"] = map[string]any{"template": map[string]any{"metadata": map[string]any{"labels": map[string]any{"version": name}}}}
	return d
}

// routedBy has a policy render a VirtualService whose clients go to a subset, with further fields, and a DestinationRule by which
// the subset a is variant 1 and b the one that is given.
func routedBy(clients, more, b string) func(*iter8v1alpha1.RoutingPolicy) {
	return func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Templates = []iter8v1alpha1.InlineTemplate{
			{Name: "rule", Template: "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: subsets}, spec: {host: web, subsets: " +
				"[{name: a, labels: {version: v1}}, {name: b, labels: {version: " + b + "}}]}}"},
			{Name: "service", Template: "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: {hosts: [web], http: " +
				"[{route: [{destination: {host: web, subset: " + clients + "}}]" + more + "}]}}"},
		}
	}
}

const copiesToB = ", mirrors: [{destination: {host: web, subset: b}}]"

// newMeshed is a world whose clients go to the subset b, which is variant 3.
func newMeshed(t *testing.T) *world {
	t.Helper()
	policy := aPolicy()
	routedBy("b", "", "v3")(policy)
	w := newWorld(t, meshSubject(), policy)
	w.clockAt(now.Time)
	w.reconciler.Kinds = append(slices.Clone(routeKinds), schema.GroupKind{Group: "networking.istio.io", Kind: "DestinationRule"})
	for _, name := range []string{"v1", "v2", "v3"} {
		w.Expect(w.cluster.Tracker().Create(deployments, deploymentOf(name), "test")).To(Succeed())
	}
	w.subjects.OnAdd(meshSubject(), false)
	w.settled(t, "True Succeeded")
	w.written()
	return w
}

// copies returns the mirrors of the VirtualService.
func (w *world) copies() []any {
	mirrors, _, err := unstructured.NestedSlice(w.object(virtualServices, "web").Object, "spec", "http")
	w.Expect(err).NotTo(HaveOccurred())
	copies, _ := mirrors[0].(map[string]any)["mirrors"].([]any)
	return copies
}

// Where the last write to the DestinationRule fails, copies to the subset go on to the Pods that it was before.
func TestCopiesToASubsetThatChangesGoByWhatStandsToo(t *testing.T) {
	becomesV2 := routedBy("a", copiesToB, "v2")
	gone := func(t *testing.T, w *world) {
		t.Helper()
		w.Expect(w.cluster.Tracker().Delete(deployments, "test", "web-v3")).To(Succeed())
		w.observedAs(t, "v3", false)
	}
	t.Run("the variant that the subset was is available: they come at once", func(t *testing.T) {
		w := newMeshed(t)
		w.change(t, becomesV2)
		w.settled(t, "True Succeeded")
		w.Expect(w.copies()).To(HaveLen(1))
	})
	t.Run("it isn't, and the last write fails: no copies, however often it is tried", func(t *testing.T) {
		w := newMeshed(t)
		gone(t, w)
		w.answer("apply subsets", errors.New("it is unwell"))
		w.change(t, becomesV2)
		for range 3 {
			_, err := w.reconcileOnce(t)
			w.Expect(err).To(HaveOccurred())
			w.Expect(w.copies()).To(BeEmpty())
		}
		w.Expect(w.written()).NotTo(ContainElement(HavePrefix("edit")))

		w.answer("apply subsets", nil)
		_, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.settled(t, "True Succeeded: 2 objects applied")
		w.Expect(w.copies()).To(HaveLen(1))
	})
	t.Run("it goes after the last write has failed: they are taken out", func(t *testing.T) {
		w := newMeshed(t)
		w.answer("apply subsets", errors.New("it is unwell"))
		w.change(t, becomesV2)
		_, err := w.reconcileOnce(t)
		w.Expect(err).To(HaveOccurred())
		w.Expect(w.copies()).To(HaveLen(1))
		gone(t, w)
		_, _ = w.reconcileOnce(t)
		w.Expect(w.copies()).To(BeEmpty())
	})
	t.Run("it isn't, and every write goes well: they come with the next look, which is soon", func(t *testing.T) {
		w := newMeshed(t)
		gone(t, w)
		w.change(t, becomesV2)
		result, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(w.copies()).To(BeEmpty())
		w.Expect(result.RequeueAfter).To(Equal(conflictRetry))
		result, err = w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
		w.Expect(w.copies()).To(HaveLen(1))
		w.Expect(result.RequeueAfter).To(Equal(10*time.Minute), "the Service that clients call, which isn't there, is looked for again")
	})
}
