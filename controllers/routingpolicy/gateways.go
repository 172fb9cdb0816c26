package routingpolicy

import (
	"context"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
)

// followGateways has the policy notified of the Gateways that its routes attach to, which are known from then on where a mirror
// depends on them.
func (r *Reconciler) followGateways(_ context.Context, s *scope) outcome {
	mirrors := false
	for _, m := range s.manifests {
		for _, gateway := range routes.Gateways(m, s.policy.Namespace) {
			if !slices.Contains(s.gateways, gateway) {
				s.gateways = append(s.gateways, gateway)
			}
			mirrors = mirrors || len(routes.Needs(m)) > 0
		}
	}
	r.Gateways.Follow(s.name(), s.gateways)
	if mirrors && r.Gateways.Pending(s.gateways) {
		return hold
	}
	return advance
}

// checkGateways refuses routes that their gateways can't serve as they are meant: a mirror that is left out, or that
// gets all requests in place of some, is worse than one that isn't there and says why. What stands for variants that
// are still there goes on standing; what stands for one that has gone goes with it.
func (r *Reconciler) checkGateways(ctx context.Context, s *scope) outcome {
	lacking := r.lacking(s)
	if lacking == "" {
		return advance
	}
	refusal := report{status: metav1.ConditionFalse, reason: iter8v1alpha1.ReasonUnsupportedByGateway, message: lacking}
	if s.reduce() {
		for _, phase := range []phase{r.render, r.guard, r.followGateways} {
			if o := phase(ctx, s); o != advance {
				return o
			}
		}
		if r.lacking(s) == "" {
			s.unsupported = &refusal
			return advance
		}
	}
	s.reports[iter8v1alpha1.ConditionApplied] = refusal
	return conclude
}

// lacking says what the manifests take that their gateways lack.
func (r *Reconciler) lacking(s *scope) string {
	var lacking []string
	for _, m := range s.manifests {
		lacking = append(lacking, r.Gateways.Lacking(m, s.policy.Namespace)...)
	}
	return strings.Join(lacking, "; ")
}

// reduce has variants count as not available for which nothing stands, and reports whether something stands for one that
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
