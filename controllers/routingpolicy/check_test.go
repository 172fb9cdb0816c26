package routingpolicy

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// What the apiserver says of the route with every mirror in it, while v2 isn't available.
func TestWhatIsAskedForIsCheckedBeforeTheVariantComes(t *testing.T) {
	accepted := []string{"dry-run web", "status web?", "apply web", "status web"}
	const ready = "True Succeeded: no mirror to web-v2:80: Service web-v2 does not exist"
	for name, test := range map[string]struct {
		answer error
		ready  string
		writes []string
		// again reports whether it is checked again at the next reconcile.
		again bool
	}{
		"it is accepted": {nil, ready, accepted, false},
		"it is refused":  {invalid("no"), "False Rejected: with every variant available, applying HTTPRoute web: ", []string{"dry-run web", "status"}, true},
		"a bad request":  {apierrors.NewBadRequest("no"), "False Rejected: with every variant available, applying HTTPRoute web: no", []string{"dry-run web", "status"}, true},
		"the cluster's kind has no such field": {errors.New("failed to create typed patch object: .spec.rules[0].filters[0].requestMirror.percent: field not declared in schema"),
			"False UnsupportedByCluster: with every variant available, applying HTTPRoute web: ", []string{"dry-run web", "status"}, true},
		"the account may not":                     {apierrors.NewForbidden(httpRoutes.GroupResource(), "web", errors.New("no")), ready, accepted, true},
		"a webhook that doesn't support dry runs": {apierrors.NewBadRequest(`admission webhook "a.example.com" does not support dry run`), ready, accepted, false},
		"the apiserver is unwell":                 {apierrors.NewServiceUnavailable("starting"), ready, accepted, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newMirroredBy(t, mirroring())
			w.goes(t, "v2")
			w.answer("dry-run web", test.answer)
			w.settled(t, test.ready)
			w.Expect(w.written()).To(Equal(test.writes))
			if test.writes[1] == "status" {
				w.Expect(w.rules("web")).To(Equal("null"), "nothing is applied")
				w.Expect(w.policy(t).Status.Checked).To(BeEmpty())
			} else {
				w.Expect(w.rules("web")).To(MatchJSON(rulesOf("", toV3)))
			}
			result, err := w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			if test.again {
				w.Expect(w.written()).To(ContainElement("dry-run web"))
			} else {
				w.Expect(w.written()).To(BeEmpty())
			}
			if test.writes[1] == "status" {
				w.Expect(result.RequeueAfter).To(Equal(10*time.Minute), "what refused may be an admission policy")
			}
		})
	}
}

func TestWhatWasAcceptedIsNotCheckedAgain(t *testing.T) {
	w := newMirroredBy(t, mirroring())
	w.goes(t, "v2")
	w.settled(t, "True Succeeded: no mirror to web-v2:80")
	w.Expect(w.written()).To(ContainElement("dry-run web"))
	flip := func() {
		t.Helper()
		w.comes(t, "v2")
		w.settled(t, "True Succeeded: 1 object applied")
		w.goes(t, "v2")
		w.settled(t, "True Succeeded: no mirror to web-v2:80")
	}
	flip()
	w.Expect(w.written()).NotTo(ContainElement("dry-run web"), "accepted before")

	w.startedAgain(t, threeVariants())
	w.afterAStart(t, threeVariants())
	flip()
	w.Expect(w.written()).NotTo(ContainElement("dry-run web"), "by another process, too")

	w.change(t, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Values = valuesOf(`{"rules": ` + rulesOf(toPartOfV2, toV3) + `}`)
	})
	_, _ = w.reconcileOnce(t)
	w.Expect(w.written()).To(ContainElement("dry-run web"), "another spec")

	subject := &iter8v1alpha1.Subject{}
	w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(threeVariants()), subject)).To(Succeed())
	subject.Generation++
	w.Expect(w.client.Update(t.Context(), subject)).To(Succeed())
	w.subjects.OnUpdate(threeVariants(), subject)
	w.Eventually(func() []string { _, _ = w.reconcileOnce(t); return w.written() }).Should(ContainElement("dry-run web"), "another Subject's variants")
}

func TestWhatOnlyRendersWhileAVariantIsGoneIsRefused(t *testing.T) {
	const when = "{{ if (index .Values.iter8.variants 1).available }}"
	for name, test := range map[string]struct{ template, ready string }{
		"it doesn't execute":         {when + `{{ fail "oh" }}{{ end }}` + aRoute("web", ""), "False RenderFailed: with every variant available: "},
		"a mirror in it has no port": {when + aRoute("web", "{backendRefs: [{name: web-v1, port: 80}], filters: ["+mirrorTo("name: web-v2", "")+"]}") + "{{ else }}" + aRoute("web", "") + "{{ end }}", "False InvalidMirror: with every variant available: "},
		"it renders a Secret":        {when + "{apiVersion: v1, kind: Secret, metadata: {name: a}}{{ else }}" + aRoute("web", "") + "{{ end }}", "False ForbiddenManifest: with every variant available: Secret a "},
	} {
		t.Run(name, func(t *testing.T) {
			policy := templated("web")
			policy.Spec.Templates[0].Template = test.template
			w := newMirroredBy(t, policy)
			w.goes(t, "v2")
			w.settled(t, test.ready)
			w.Expect(w.rules("web")).To(Equal("null"))
			w.Expect(w.written()).To(Equal([]string{"status"}))
		})
	}
}
