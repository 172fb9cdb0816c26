package routingpolicy

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart"
)

var secrets = corev1.SchemeGroupVersion.WithResource("secrets")

// followChart finds the policy's chart, and has the policy notified of its changes, unless it brings its own templates. While a repository is down its last good
// chart goes on being rendered, so that routes follow the variants.
func (r *Reconciler) followChart(_ context.Context, s *scope) outcome {
	const condition = iter8v1alpha1.ConditionChartResolved
	if s.policy.Spec.Chart == nil {
		r.Charts.Forget(s.name())
		return s.succeed(condition, iter8v1alpha1.ReasonInlineTemplates, "the policy brings its own templates")
	}
	resolution := r.Charts.Resolve(chart.Request{
		Policy:    s.name(),
		Chart:     *s.policy.Spec.Chart,
		Interval:  interval(s.policy),
		Reconcile: s.policy.Annotations[iter8v1alpha1.ReconcileAnnotation],
		Account:   s.policy.Spec.ServiceAccountName,
		Secrets:   r.secretsOf(s.policy),
	})
	switch {
	case resolution.Pending && wasResolved(s.policy):
		return hold // just after a start, what the status says stands
	case resolution.Pending:
		s.reports[condition] = report{status: metav1.ConditionUnknown, reason: iter8v1alpha1.ReasonResolving,
			message: fmt.Sprintf("chart %s is being fetched from %s", s.policy.Spec.Chart.Name, s.policy.Spec.Chart.Repository)}
		return conclude
	case resolution.Chart == nil:
		return s.fail(condition, chart.Reason(resolution.Err), resolution.Err)
	}
	s.state.Chart = resolution.Chart
	if resolution.Err != nil {
		s.fail(condition, chart.Reason(resolution.Err), fmt.Errorf("%w; %s, which was found before, is used", resolution.Err, describe(s.state.Chart.Resolved)))
	} else {
		s.succeed(condition, iter8v1alpha1.ReasonSucceeded, describe(s.state.Chart.Resolved))
	}
	return advance
}

func describe(resolved iter8v1alpha1.ResolvedChart) string {
	return fmt.Sprintf("chart %s, version %s", resolved.Name, resolved.Version)
}

// wasResolved tells whether the status says of the spec as it is what became of its chart.
func wasResolved(policy *iter8v1alpha1.RoutingPolicy) bool {
	c := meta.FindStatusCondition(policy.Status.Conditions, iter8v1alpha1.ConditionChartResolved)
	return c != nil && c.ObservedGeneration == policy.Generation
}

// secretsOf gives what reads the Secrets that a policy's chart names, as the policy's account.
func (r *Reconciler) secretsOf(policy *iter8v1alpha1.RoutingPolicy) func(context.Context) (chart.Credentials, error) {
	namespace, serviceAccount, ref := policy.Namespace, policy.Spec.ServiceAccountName, *policy.Spec.Chart
	return func(ctx context.Context) (chart.Credentials, error) {
		account, err := r.Accounts.For(namespace, serviceAccount)
		if err != nil {
			return chart.Credentials{}, err
		}
		return chart.ReadSecrets(ref, func(name string) (map[string][]byte, error) {
			found, err := account.Client.Resource(secrets).Namespace(namespace).Get(ctx, name, metav1.GetOptions{})
			if err != nil {
				return nil, err
			}
			var secret corev1.Secret
			if err := runtime.DefaultUnstructuredConverter.FromUnstructured(found.Object, &secret); err != nil {
				return nil, fmt.Errorf("reading what it holds: %w", err)
			}
			return secret.Data, nil
		})
	}
}
