package routingpolicy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/guard"
)

// guard refuses manifests that the policy may not apply.
func (r *Reconciler) guard(_ context.Context, s *scope) outcome {
	const condition = iter8v1alpha1.ConditionRendered
	violations := r.violations(s, s.manifests)
	if len(violations) > 0 {
		s.manifests = nil // no later phase is to look at what they name
		return s.fail(condition, iter8v1alpha1.ReasonForbiddenManifest, errors.New(strings.Join(violations, "; ")))
	}
	return s.reportRendered(len(s.manifests))
}

func (r *Reconciler) violations(s *scope, manifests []*unstructured.Unstructured) []string {
	return guard.Violations(guard.Rules{Namespace: s.policy.Namespace, Kinds: r.Kinds}, manifests)
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
