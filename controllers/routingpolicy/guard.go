package routingpolicy

import (
	"context"
	"errors"
	"fmt"
	"strings"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/guard"
)

// guard refuses manifests that the policy may not apply.
func (r *Reconciler) guard(_ context.Context, s *scope) outcome {
	const condition = iter8v1alpha1.ConditionRendered
	violations := guard.Violations(guard.Rules{Namespace: s.policy.Namespace, Kinds: r.Kinds}, s.manifests)
	if len(violations) > 0 {
		s.manifests = nil // no later phase is to look at what they name
		return s.fail(condition, iter8v1alpha1.ReasonForbiddenManifest, errors.New(strings.Join(violations, "; ")))
	}
	return s.succeed(condition, iter8v1alpha1.ReasonSucceeded, fmt.Sprintf("%s rendered", count(len(s.manifests), "object")))
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
