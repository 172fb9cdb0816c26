package routingpolicy

import (
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// What others write into a status is put right by the next reconcile, after which there is nothing to do.
func TestAStatusThatAnotherWroteIsPutRight(t *testing.T) {
	for name, spoil := range map[string]func(*iter8v1alpha1.RoutingPolicyStatus){
		"it was emptied":                func(s *iter8v1alpha1.RoutingPolicyStatus) { *s = iter8v1alpha1.RoutingPolicyStatus{} },
		"a condition was changed":       func(s *iter8v1alpha1.RoutingPolicyStatus) { s.Conditions[4].Status = metav1.ConditionFalse },
		"the conditions were taken out": func(s *iter8v1alpha1.RoutingPolicyStatus) { s.Conditions = nil },
		"the generation was changed":    func(s *iter8v1alpha1.RoutingPolicyStatus) { s.ObservedGeneration = 1 },
		"a mirror was changed":          func(s *iter8v1alpha1.RoutingPolicyStatus) { s.Mirrors[0].Percent = "1" },
		"the mirrors were taken out":    func(s *iter8v1alpha1.RoutingPolicyStatus) { s.Mirrors, s.MirrorTargets = nil, "" },
		"a mirror was made up": func(s *iter8v1alpha1.RoutingPolicyStatus) {
			s.Mirrors = append(s.Mirrors, s.Mirrors[0])
			s.Mirrors[2].To = "web-v9:80"
		},
		"the inventory was emptied": func(s *iter8v1alpha1.RoutingPolicyStatus) { s.Applied = nil },
		"an entry was taken out":    func(s *iter8v1alpha1.RoutingPolicyStatus) { s.Applied = s.Applied[:1] },
		"an entry was made up": func(s *iter8v1alpha1.RoutingPolicyStatus) {
			s.Applied = append(s.Applied, s.Applied[0])
			s.Applied[2].Name = "gone"
		},
		"the Subject was changed": func(s *iter8v1alpha1.RoutingPolicyStatus) { s.Subject.UID = "other" },
		"a variant was changed":   func(s *iter8v1alpha1.RoutingPolicyStatus) { s.Variants[1].Available = false },
		"the chart was taken out": func(s *iter8v1alpha1.RoutingPolicyStatus) { s.Chart = nil },
	} {
		t.Run(name, func(t *testing.T) {
			policy := mirroring()
			policy.Spec.Values = valuesOf(`{"others": ["other"], "rules": ` + rulesOf(toV2, toV3) + `}`)
			w := newMirroredBy(t, policy)
			const ready = "True Succeeded: 2 objects applied"
			before := w.settled(t, ready).Status
			w.written()

			spoilt := w.policy(t)
			spoil(&spoilt.Status)
			w.Expect(w.client.Status().Update(t.Context(), spoilt)).To(Succeed())
			_, err := w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			after := w.policy(t).Status
			w.Expect(after.Conditions).To(Equal(before.Conditions))
			w.Expect(mirrorsAsText(after.Mirrors)).To(Equal([]string{mirroredToV2, mirroredToV3}))
			w.Expect(after.MirrorTargets).To(Equal("web-v2:80,web-v3:80"))
			w.Expect(after.ObservedGeneration).To(BeEquivalentTo(3))
			w.Expect(after.Applied).To(HaveLen(2))
			w.Expect(after.Subject).To(Equal(before.Subject))
			w.Expect(after.Variants).To(Equal(before.Variants))
			w.Expect(after.Chart).To(Equal(before.Chart))

			w.written()
			_, err = w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.written()).To(BeEmpty(), "at rest")
		})
	}
}

// Without its inventory, what a policy controls would stay behind when it leaves the render.
func TestWhatAPolicyControlsIsFoundAgainWithoutItsInventory(t *testing.T) {
	w := newWorld(t, simple(), templated("one", "two", "three"))
	w.subjects.OnAdd(simple(), false)
	w.settled(t, "True Succeeded: 3 objects applied")
	anothers := w.route("three")
	anothers.SetName("another's")
	anothers.SetUID("another's")
	anothers.SetOwnerReferences([]metav1.OwnerReference{{APIVersion: "iter8.tools/v1alpha1", Kind: "RoutingPolicy", Name: "b", UID: "b", Controller: new(true)}})
	w.Expect(w.cluster.Tracker().Create(httpRoutes, anothers, "test")).To(Succeed())
	w.written()
	w.Eventually(func() int {
		return len(w.reconciler.Routes.Controlled(httpRoutes.GroupVersion().WithKind("HTTPRoute"), "test", w.policy(t).UID))
	}).Should(Equal(3), "as the watch shows")

	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates = p.Spec.Templates[:2] })
	spoilt := w.policy(t)
	spoilt.Status = iter8v1alpha1.RoutingPolicyStatus{}
	w.Expect(w.client.Status().Update(t.Context(), spoilt)).To(Succeed())
	w.settled(t, "True Succeeded: 2 objects applied")
	w.Expect(w.route("one")).NotTo(BeNil())
	w.Expect(w.route("three")).To(BeNil())
	w.Expect(w.route("another's")).NotTo(BeNil())
	w.Expect(w.written()).To(Equal([]string{"dry-run one", "dry-run two", "apply one", "apply two", "delete three", "status one,two"}))
}
