package routingpolicy

import (
	"context"
	"errors"
	"fmt"

	utiljson "k8s.io/apimachinery/pkg/util/json"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/render"
)

// render makes manifests of it all.
func (r *Reconciler) render(_ context.Context, s *scope) outcome {
	const condition = iter8v1alpha1.ConditionRendered
	values := map[string]any{}
	if s.policy.Spec.Values != nil {
		if err := utiljson.Unmarshal(s.policy.Spec.Values.Raw, &values); err != nil {
			return s.fail(condition, iter8v1alpha1.ReasonInvalidValues, fmt.Errorf("spec.values: %w", err))
		}
	}
	apiVersions, err := r.Capabilities.APIVersions()
	if err != nil {
		return s.fail(condition, iter8v1alpha1.ReasonDiscoveryFailed, fmt.Errorf("asking which kinds of routes the cluster serves: %w", err))
	}
	input := render.Input{
		Templates:   s.policy.Spec.Templates,
		Values:      values,
		Namespace:   s.policy.Namespace,
		Policy:      s.policy.Name,
		Labels:      s.policy.Labels,
		Subject:     subjectName(s.policy),
		Variants:    s.variants,
		APIVersions: apiVersions,
	}
	digest := ""
	if s.chart != nil {
		input.Chart, digest = s.chart.Helm, s.chart.Resolved.Digest
		input.BuiltIn = s.policy.Spec.Chart.Repository == ""
	}
	s.manifests, err = r.Renders.Manifests(digest, input)
	switch {
	case errors.Is(err, render.ErrPending):
		return hold
	case err != nil:
		return s.fail(condition, iter8v1alpha1.ReasonRenderFailed, err)
	}
	return advance
}
