package routingpolicy

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// forbid has a kind's objects be unreadable to whatever begins to watch them.
func (w *world) forbid(resource schema.GroupVersionResource) {
	w.cluster.PrependReactor("list", resource.Resource, func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(resource.GroupResource(), "", errors.New("not you"))
	})
}

// Without a Subject no mirror stands; the route goes only with the very Subject that it was applied for.
func TestWhatStandsWithoutASubject(t *testing.T) {
	both := func(reason, message string) []string {
		return []string{
			"web-v2:80 0% Withheld v2 " + reason + ": no mirror to web-v2:80: " + message,
			"web-v3:80 0% Withheld v3 " + reason + ": no mirror to web-v3:80: " + message,
		}
	}
	const noMirrors, notAllowed = "Subject other does not exist; what was applied for another one stays, without mirrors",
		"spec.subjectRef is in namespace elsewhere, and this operator does not allow references to other namespaces"
	for name, test := range map[string]struct {
		change  func(*testing.T, *world)
		rules   string
		mirrors []string
		ready   string
		writes  []string
	}{
		"the reference leads nowhere": {func(t *testing.T, w *world) {
			w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.SubjectRef.Name = "other" })
		}, rulesOf("", ""), both("SubjectNotFound", noMirrors), "False SubjectNotFound: " + noMirrors, []string{"edit web", "status web"}},
		"the reference leads to another namespace, which isn't allowed": {func(t *testing.T, w *world) {
			w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.SubjectRef.Namespace = "elsewhere" })
		}, rulesOf("", ""), both("CrossNamespaceReference", notAllowed), "False CrossNamespaceReference: " + notAllowed, []string{"edit web", "status web"}},
		"the Subject is deleted": {func(t *testing.T, w *world) {
			w.Expect(w.client.Delete(t.Context(), threeVariants())).To(Succeed())
		}, "null", []string{}, "False SubjectNotFound: Subject web does not exist; nothing is applied without it", []string{"delete web", "status"}},
		"the Subject is deleted, and the route can't be": {func(t *testing.T, w *world) {
			w.answer("delete web", errors.New("not today"))
			w.Expect(w.client.Delete(t.Context(), threeVariants())).To(Succeed())
		}, rulesOf("", ""), both("SubjectNotFound", "Subject web does not exist; nothing is applied without it"),
			"False SubjectNotFound: Subject web does not exist", []string{"delete web", "edit web", "status web"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			test.change(t, w)
			_, _ = w.reconcileOnce(t)
			w.Expect(w.rules("web")).To(MatchJSON(test.rules))
			w.Expect(w.mirrors(t)).To(Equal(test.mirrors))
			w.Expect(w.policy(t).Status.MirrorTargets).To(BeEmpty())
			w.Expect(w.ready(t)).To(HavePrefix(test.ready))
			w.Expect(w.written()).To(Equal(test.writes))

			w.answer("delete web", nil)
			_, err := w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.ready(t)).To(HavePrefix(test.ready))
		})
	}
}

func TestMirrorsComeBackWithTheReference(t *testing.T) {
	w := newMirrored(t)
	before := w.policy(t).Status.DeepCopy()
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.SubjectRef.Name = "other" })
	got := w.settled(t, "False SubjectNotFound")
	w.Expect(got.Status.Variants).To(Equal(before.Variants), "they are still those of the Subject that is named beside them")
	w.Expect(got.Status.Subject).To(Equal(before.Subject))
	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.SubjectRef.Name = "web" })
	w.settled(t, "True Succeeded")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
}

// A Subject that is made again is another one, of whose variants nothing is known.
func TestNothingIsInheritedByASubjectThatIsMadeAgain(t *testing.T) {
	for name, test := range map[string]struct {
		uid   string
		stood bool
	}{
		"the same Subject": {"subject-uid", true},
		"another Subject":  {"another-uid", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirrored(t)
			w.forbid(deployments)
			w.Expect(w.client.Delete(t.Context(), threeVariants())).To(Succeed())
			again := threeVariants()
			again.UID, again.Generation = "another-uid", 1
			if test.stood {
				again.UID = "subject-uid"
			}
			again.Spec.Variants[1].Resources = append(again.Spec.Variants[1].Resources, iter8v1alpha1.ResourceReference{APIVersion: "apps/v1", Kind: "Deployment", Name: "web-v2"})
			w.Expect(w.client.Create(t.Context(), again)).To(Succeed())
			w.subjects.OnUpdate(threeVariants(), again)
			if test.stood {
				w.settled(t, "False VariantStateUnknown: variant v2 counts as available, as it was last known: Deployment web-v2 can't be read")
				w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
				w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
				return
			}
			got := w.settled(t, "False VariantStateUnknown: variant v2 counts as not available, as it was last known: Deployment web-v2 can't be read")
			w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
			w.Expect(w.mirrors(t)).To(HaveExactElements(HavePrefix("web-v2:80 0% Withheld v2 VariantStateUnknown: no mirror to web-v2:80: Deployment web-v2 can't be read"), mirroredToV3))
			w.Expect(got.Status.Subject.UID).To(BeEquivalentTo("another-uid"))
		})
	}
}
