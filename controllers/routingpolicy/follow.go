package routingpolicy

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/runtime/schema"

	"iter8.tools/operator/controllers/apply"
)

// followRoutes has the policy notified of the objects that it is to apply and has applied, which are known from then on.
func (r *Reconciler) followRoutes(_ context.Context, s *scope) outcome {
	kinds, keys := apply.Interests(s.manifests, s.policy.Status.Applied)
	r.Routes.Follow(s.name(), kinds, keys)
	if slices.ContainsFunc(kinds, func(kind schema.GroupVersionKind) bool { return r.Routes.State(kind, s.policy.Namespace).Pending() }) {
		return hold
	}
	return advance
}
