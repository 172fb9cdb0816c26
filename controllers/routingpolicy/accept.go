package routingpolicy

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/routes"
)

// accept finds what the gateways say of the objects that stand, whatever became of the newest ones.
func (r *Reconciler) accept(s *scope) {
	inventory := s.inventory()
	watched := r.watchedVersions(s, inventory)
	verdicts := make([]routes.Verdict, 0, len(inventory))
	for _, entry := range inventory {
		live := r.Routes.Get(watched[apply.KeyOf(entry).GroupKind], types.NamespacedName{Namespace: s.policy.Namespace, Name: entry.Name})
		if live != nil && live.UID == entry.UID {
			verdicts = append(verdicts, live.Acceptance)
		}
	}
	switch verdict := routes.Worst(verdicts); {
	case verdict.Status == "" && (s.interruption != nil || s.suspended != "" || s.result == nil || len(s.result.Failures) > 0):
		// Nothing is known to stand, and what ended the reconcile says why.
	case verdict.Status == "":
		s.succeed(iter8v1alpha1.ConditionAccepted, iter8v1alpha1.ReasonAccepted, "nothing is applied that a gateway reports on")
	case verdict.Status == metav1.ConditionFalse:
		s.reports[iter8v1alpha1.ConditionAccepted] = report{status: metav1.ConditionFalse, byGateway: true, reason: verdict.Reason, message: verdict.Message}
	case verdict.Status == metav1.ConditionTrue:
		s.succeed(iter8v1alpha1.ConditionAccepted, verdict.Reason, verdict.Message)
	default:
		s.reports[iter8v1alpha1.ConditionAccepted] = report{status: metav1.ConditionUnknown, reason: verdict.Reason, message: verdict.Message}
	}
}
