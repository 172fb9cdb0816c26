package routingpolicy

import (
	"testing"

	. "github.com/onsi/gomega"
	ctrl "sigs.k8s.io/controller-runtime"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestAStatusIsNotWrittenOverAnotherThatWasWrittenMeanwhile(t *testing.T) {
	for name, test := range map[string]struct {
		// planned: what is about to be applied is recorded already.
		planned bool
		// writes until the conflict, and from there on.
		writes, after []string
	}{
		"while the planned inventory is recorded, and nothing is applied": {
			false, []string{"status one?"}, []string{"status other?,one?", "apply one", "status one"}},
		"while it says what is applied": {
			true, []string{"apply one", "status one"}, []string{"apply one", "status one"}},
	} {
		t.Run(name, func(t *testing.T) {
			subject, policy := simple(), templated("one")
			other := iter8v1alpha1.AppliedObject{APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Name: "other"}
			if test.planned {
				one := other
				one.Name = "one"
				policy.Status.Applied = []iter8v1alpha1.AppliedObject{one}
			}
			w := newWorld(t, subject, policy)
			w.subjects.OnAdd(subject, false)
			listed := func() []string {
				var names []string
				for _, entry := range w.policy(t).Status.Applied {
					names = append(names, entry.Name)
				}
				return names
			}
			w.meanwhile = func() {
				another := w.policy(t)
				another.Status.Applied = append(another.Status.Applied, other)
				w.Expect(w.client.Status().Update(t.Context(), another)).To(Succeed())
			}
			var result ctrl.Result
			w.Eventually(func() (func(), error) { // the first ones only begin to watch
				var err error
				result, err = w.reconcileOnce(t)
				return w.meanwhile, err
			}).Should(BeNil())
			w.Expect(result).To(Equal(ctrl.Result{RequeueAfter: conflictRetry}))
			w.Expect(w.written()).To(Equal(append([]string{}, test.writes...)))
			w.Expect(listed()).To(ContainElement("other"), "of the other status")

			w.settled(t, "True Succeeded")
			w.Expect(listed()).To(Equal([]string{"one"}))
			w.Expect(w.written()).To(Equal(test.after))
		})
	}
}

func TestAStatusIsWrittenWhateverElseOthersWrite(t *testing.T) {
	subject, policy := simple(), templated("one")
	w := newWorld(t, subject, policy)
	w.subjects.OnAdd(subject, false)
	w.meanwhile = func() {
		another := w.policy(t)
		another.Annotations = map[string]string{"example.com/seen": "now"}
		w.Expect(w.client.Update(t.Context(), another)).To(Succeed())
	}
	w.settled(t, "True Succeeded")
	w.Expect(w.meanwhile).To(BeNil(), "it came between the read and the write")
	w.Expect(w.written()).To(Equal([]string{"status one?", "status one?", "apply one", "status one"}), "the first one conflicted; nothing was applied again for it")
	w.Expect(w.policy(t).Annotations).To(HaveKey("example.com/seen"))
}
