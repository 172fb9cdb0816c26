package routingpolicy

import (
	"context"
	"errors"
	"fmt"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/render"
)

// request says what is to be rendered.
func (r *Reconciler) request(_ context.Context, s *scope) outcome {
	const condition = iter8v1alpha1.ConditionRendered
	cluster, err := r.Capabilities.Cluster()
	if err != nil {
		return s.fail(condition, iter8v1alpha1.ReasonDiscoveryFailed, fmt.Errorf("asking what the cluster serves: %w", err))
	}
	s.state.Cluster = cluster
	if s.requested, err = s.state.Request(); err != nil {
		return s.fail(condition, iter8v1alpha1.ReasonRenderFailed, err)
	}
	return advance
}

// render makes manifests of it all, with every mirror that they ask for.
func (r *Reconciler) render(_ context.Context, s *scope) outcome {
	var err error
	s.manifests, err = r.Renders.Manifests(s.requested)
	switch {
	case errors.Is(err, render.ErrPending):
		return hold
	case err != nil:
		return s.fail(iter8v1alpha1.ConditionRendered, iter8v1alpha1.ReasonRenderFailed, err)
	}
	return advance
}
