package routingpolicy

import (
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// What is handed over and isn't as it is rendered is left alone. All else of the policy goes on, and so does the adoption once they are the
// same.
func TestWhatIsHandedOverWaitsUntilAdoptingItChangesNothing(t *testing.T) {
	policy := mirroring()
	policy.Spec.Values = valuesOf(`{"others": ["other"], "rules": ` + rulesOf(toV2, toV3) + `}`)
	w := newMirroredBy(t, policy)
	theirs := manifest(t, aRoute("other", "{backendRefs: [{name: theirs, port: 80}]}"))
	theirs.SetNamespace("test")
	theirs.SetUID("uid-of-other")
	theirs.SetGeneration(1)
	theirs.SetResourceVersion("7")
	theirs.SetAnnotations(map[string]string{iter8v1alpha1.AdoptAnnotation: "true"})
	w.Expect(w.cluster.Tracker().Create(httpRoutes, theirs.DeepCopy(), "test")).To(Succeed())

	const refused = "False AdoptionDiffers: HTTPRoute other is handed over and isn't adopted, since that would change spec.rules; " +
		"change the object or what is rendered until they say the same, mirrors apart"
	status := w.settled(t, refused).Status
	w.Expect(meta.IsStatusConditionTrue(status.Conditions, "Stalled")).To(BeTrue())
	w.Expect(status.Applied).To(HaveExactElements(HaveField("Name", "web")), "it isn't the policy's")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)), "the other object goes on")
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
	w.written()

	result, err := w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(result.RequeueAfter).To(Equal(10 * time.Minute))
	w.Expect(w.written()).To(BeEmpty(), "at rest")

	w.goes(t, "v2")
	_, err = w.reconcileOnce(t)
	w.Expect(err).NotTo(HaveOccurred())
	w.Expect(w.written()).NotTo(ContainElement(HaveSuffix("other")), "it isn't asked about again")
	w.Expect(w.mirrors(t)).To(ContainElement(goneV2))
	w.Expect(w.route("other").Object["spec"]).To(Equal(theirs.Object["spec"]))

	edited := w.route("other").DeepCopy()
	w.Expect(unstructured.SetNestedSlice(edited.Object, []any{}, "spec", "rules")).To(Succeed())
	edited.SetGeneration(2)
	edited.SetResourceVersion("8")
	w.Expect(w.cluster.Tracker().Update(httpRoutes, edited, "test")).To(Succeed())
	status = w.settled(t, "True Succeeded: no mirror to web-v2:80").Status
	w.Expect(status.Applied).To(ConsistOf(HaveField("Name", "web"), And(HaveField("Name", "other"), HaveField("UID", BeEquivalentTo("uid-of-other")))))
	w.Expect(w.written()).To(ContainElements("dry-run other", "apply other"))
}

func TestAMirrorGoesBeforeTheApiserverIsAskedWhatAdoptingChanges(t *testing.T) {
	w := newMirrored(t)
	theirs := manifest(t, aRoute("other", "{backendRefs: [{name: theirs, port: 80}]}"))
	theirs.SetNamespace("test")
	theirs.SetUID("uid-of-other")
	theirs.SetAnnotations(map[string]string{iter8v1alpha1.AdoptAnnotation: "true"})
	w.Expect(w.cluster.Tracker().Create(httpRoutes, theirs, "test")).To(Succeed())
	w.goes(t, "v2")
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Values = valuesOf(`{"others": ["other"], "rules": ` + rulesOf(toV2, toV3) + `}`)
	})
	w.settled(t, "False AdoptionDiffers")
	writes := w.written()
	w.Expect(writes).To(ContainElement("dry-run other"))
	for _, write := range writes {
		if write == "dry-run other" {
			break
		}
		w.Expect(write).NotTo(Equal("apply web"))
	}
	w.Expect(writes[0]).To(Equal("edit web"))
}
