package routingpolicy

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
)

// restarted forgets what the process knew of the routes that the cluster holds.
func (w *world) restarted(t *testing.T) {
	t.Helper()
	routes := apply.NewCache(t.Context(), apply.CacheOptions{Client: w.cluster, Mapper: w.reconciler.Executor.Mapper,
		Versions: w.reconciler.Capabilities.Versions})
	w.reconciler.Routes, w.reconciler.Executor.Cache = routes, routes
}

func TestWhatGatewaysSayIsKnownAfterARestartOfAPolicyThatDoesNotGetToApplying(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*iter8v1alpha1.RoutingPolicy)
		ready string
	}{
		"it is suspended":         {func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend = true }, "True Suspended"},
		"its template is no good": {func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates[0].Template = "{{" }, "False RenderFailed"},
		"its template renders a Secret": {func(p *iter8v1alpha1.RoutingPolicy) {
			p.Spec.Templates[0].Template = "{apiVersion: v1, kind: Secret, metadata: {name: a}}"
		}, "False ForbiddenManifest"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, simple(), templated("web"))
			w.settled(t, "True Succeeded")
			w.change(t, test.spoil)
			before := w.settled(t, test.ready)
			accepted := meta.FindStatusCondition(before.Status.Conditions, iter8v1alpha1.ConditionAccepted)
			w.Expect(accepted).To(HaveField("Reason", iter8v1alpha1.ReasonNotReported), "the route has no parent")
			w.written()

			w.restarted(t)
			kind := httpRoutes.GroupVersion().WithKind("HTTPRoute")
			w.Eventually(func() bool {
				_, err := w.reconcileOnce(t)
				w.Expect(err).NotTo(HaveOccurred())
				return w.reconciler.Routes.State(kind, "test").Synced
			}).Should(BeTrue(), "the routes are watched")
			_, err := w.reconcileOnce(t)
			w.Expect(err).NotTo(HaveOccurred())
			w.Expect(w.written()).To(BeEmpty())
		})
	}
}

func TestNothingIsAcceptedWhereNothingCouldBeApplied(t *testing.T) {
	w := newWorld(t, simple(), templated("web"))
	w.answer("apply", errors.New("not today"))
	policy := w.settled(t, "False ApplyFailed: applying HTTPRoute web: not today")
	accepted := meta.FindStatusCondition(policy.Status.Conditions, iter8v1alpha1.ConditionAccepted)
	w.Expect(accepted).To(And(HaveField("Status", metav1.ConditionUnknown), HaveField("Reason", iter8v1alpha1.ReasonSkipped)))
}

func TestNothingIsAcceptedWithoutASubject(t *testing.T) {
	w := newWorld(t, templated("web"))
	policy := w.settled(t, "False SubjectNotFound: Subject web does not exist; nothing is applied without it")
	accepted := meta.FindStatusCondition(policy.Status.Conditions, iter8v1alpha1.ConditionAccepted)
	w.Expect(accepted).To(And(HaveField("Status", metav1.ConditionUnknown), HaveField("Reason", iter8v1alpha1.ReasonSkipped)),
		"one who waits for it must not go on")
}
