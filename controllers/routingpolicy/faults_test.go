package routingpolicy

import (
	"cmp"
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
)

// enqueued is how soon a policy is to be reconciled again, whatever its reconcile returns.
type enqueued []time.Duration

func (w *world) enqueuing() *enqueued {
	all := &enqueued{}
	w.reconciler.enqueueAfter = func(_ ctrl.Request, after time.Duration) { *all = append(*all, after) }
	return all
}

func TestHowSoonAPolicyIsLookedAtThoughNothingTells(t *testing.T) {
	for name, test := range map[string]struct {
		write    string
		answer   error
		took     time.Duration
		from, to time.Duration
	}{
		"at rest, within half an hour":                        {"", nil, 0, 10 * time.Minute, 30 * time.Minute},
		"where a write times out, within seconds":             {"apply", errors.New("timeout"), 0, 10 * time.Second, 15 * time.Second},
		"where the apiserver is unwell, within seconds":       {"apply", apierrors.NewInternalError(errors.New("unwell")), 0, 10 * time.Second, 15 * time.Second},
		"where it has too much to do, within seconds":         {"apply", apierrors.NewTooManyRequests("later", 0), 0, 10 * time.Second, 15 * time.Second},
		"where the status can't be written, within seconds":   {"status", errors.New("timeout"), 0, 10 * time.Second, 15 * time.Second},
		"where a try takes long, with the queue's delays":     {"apply", errors.New("timeout"), 3 * time.Second, 10 * time.Minute, 30 * time.Minute},
		"where rights are missing, with the queue's delays":   {"apply", apierrors.NewForbidden(httpRoutes.GroupResource(), "web", errors.New("no")), 0, 10 * time.Minute, 30 * time.Minute},
		"where the apiserver refuses, with the next interval": {"apply", apierrors.NewBadRequest("no"), 0, 10 * time.Minute, 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simple(), templated("web"))
			w.reconciler.Resync = 20 * time.Minute
			w.subjects.OnAdd(simple(), false)
			if test.answer != nil {
				w.answer(test.write, test.answer)
			}
			w.Eventually(func() []string {
				_, _ = w.reconcileOnce(t)
				return w.written()
			}).Should(ContainElement(HavePrefix(cmp.Or(test.write, "apply"))))

			all, begun := w.enqueuing(), false
			w.reconciler.now = func() time.Time {
				if begun {
					return time.Now().Add(test.took)
				}
				begun = true
				return time.Now()
			}
			_, _ = w.reconcileOnce(t)
			w.Expect(*all).To(HaveExactElements(And(BeNumerically(">=", test.from), BeNumerically("<=", test.to))))
		})
	}
}

// TestALookAtWhatIsAsItShouldBeCostsNothing is about the looks that nothing tells of, which find what was missed.
func TestALookAtWhatIsAsItShouldBeCostsNothing(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	w.reconciler.Resync = 20 * time.Minute
	w.subjects.OnAdd(simple(), false)
	w.settled(t, "True Succeeded")
	w.written()
	w.read()
	calls := len(w.cluster.Actions())
	all := w.enqueuing()
	for range 10 {
		_, err := w.reconcileOnce(t)
		w.Expect(err).NotTo(HaveOccurred())
	}
	w.Expect(*all).To(HaveLen(10))
	w.Expect(w.written()).To(BeEmpty())
	w.Expect(w.read()).To(BeEmpty())
	w.Expect(w.cluster.Actions()).To(HaveLen(calls))

	w.Expect(w.cluster.Tracker().Delete(httpRoutes, "test", "web")).To(Succeed()) // of which no policy is told in this world
	w.Eventually(func() []string { _, _ = w.reconcileOnce(t); return w.written() }).Should(ContainElement("apply web"))
	w.Expect(w.route("web")).NotTo(BeNil())
}
