package routingpolicy

import (
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
)

// support refuses routes that their gateways can't serve as they are meant: a mirror that is left out, or that
// gets all requests in place of some, is worse than one that isn't there and says why. What stands for variants that
// are still there goes on standing; what stands for one that has gone goes with it.
func (r *Reconciler) support(ctx context.Context, s *scope) outcome {
	lacking, o := r.lacking(s)
	if o == await || lacking == "" {
		return o
	}
	refusal := finding{failed: true, reason: iter8v1alpha1.ReasonUnsupportedByGateway, message: lacking}
	if !s.reduce() {
		s.found[iter8v1alpha1.ConditionApplied] = refusal
		return done
	}
	for _, phase := range []func(context.Context, *scope) outcome{r.render, r.guard} {
		if o := phase(ctx, s); o != proceed {
			return o
		}
	}
	if lacking, o = r.lacking(s); o == await {
		return await
	} else if lacking != "" {
		s.found[iter8v1alpha1.ConditionApplied] = refusal
		return done
	}
	s.withheld = &refusal
	return proceed
}

// lacking says what the manifests take that their gateways lack.
func (r *Reconciler) lacking(s *scope) (string, outcome) {
	var attached []types.NamespacedName
	mirrors := false
	for _, m := range s.manifests {
		for _, gateway := range routes.Gateways(m, s.policy.Namespace) {
			if !slices.Contains(attached, gateway) {
				attached = append(attached, gateway)
			}
			mirrors = mirrors || len(routes.Needs(m)) > 0
		}
	}
	r.Gateways.Follow(s.name(), attached)
	if !mirrors {
		return "", proceed
	}
	if r.Gateways.Pending(attached) {
		return "", await
	}
	var lacking []string
	for _, m := range s.manifests {
		lacking = append(lacking, r.Gateways.Lacking(m, s.policy.Namespace)...)
	}
	return strings.Join(lacking, "; "), proceed
}

// reduce has variants count as not available for which nothing stands, and tells whether something stands for one that
// isn't available any more.
func (s *scope) reduce() bool {
	stands := map[string]bool{}
	for _, v := range s.policy.Status.Variants {
		stands[v.Name] = v.Available
	}
	gone := false
	s.variants = slices.Clone(s.variants)
	for i := range s.variants {
		v := &s.variants[i]
		gone = gone || stands[v.Name] && !v.Available
		v.Available = v.Available && stands[v.Name]
	}
	return gone
}

// accept finds what the gateways say of the objects that stand, whatever became of the newest ones.
func (r *Reconciler) accept(s *scope) outcome {
	inventory := s.policy.Status.Applied
	if s.result != nil {
		inventory = s.result.Inventory
	} else if r.follow(s) == await { // the reconcile may have ended before anybody looked at them
		return await
	}
	verdicts := make([]routes.Verdict, 0, len(inventory))
	for _, entry := range inventory {
		live := r.Routes.Get(schema.FromAPIVersionAndKind(entry.APIVersion, entry.Kind), types.NamespacedName{Namespace: s.policy.Namespace, Name: entry.Name})
		if live != nil && live.UID == entry.UID {
			verdicts = append(verdicts, live.Acceptance)
		}
	}
	switch verdict := routes.Worst(verdicts); {
	case verdict.Status == "" && (s.result == nil || len(s.result.Failures) > 0):
		// Nothing is known to stand, and the phase that ended the reconcile says why.
	case verdict.Status == "":
		s.succeed(iter8v1alpha1.ConditionAccepted, iter8v1alpha1.ReasonAccepted, "nothing is applied that a gateway reports on")
	case verdict.Status == metav1.ConditionFalse:
		s.found[iter8v1alpha1.ConditionAccepted] = finding{failed: true, reported: true, reason: verdict.Reason, message: verdict.Message}
	case verdict.Status == metav1.ConditionTrue:
		s.succeed(iter8v1alpha1.ConditionAccepted, verdict.Reason, verdict.Message)
	default:
		s.found[iter8v1alpha1.ConditionAccepted] = finding{open: true, reason: verdict.Reason, message: verdict.Message}
	}
	return proceed
}

// follow has the policy woken by the objects that it is to apply and has applied, which are known unless it says await.
func (r *Reconciler) follow(s *scope) outcome {
	kinds, keys := interests(s)
	r.Routes.Follow(s.name(), kinds, keys)
	if slices.ContainsFunc(kinds, func(kind schema.GroupVersionKind) bool { return r.Routes.State(kind, s.policy.Namespace).Pending() }) {
		return await
	}
	return proceed
}
