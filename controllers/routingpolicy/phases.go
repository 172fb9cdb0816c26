package routingpolicy

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/guard"
	"iter8.tools/operator/controllers/observe"
	"iter8.tools/operator/controllers/render"
)

// suspend leaves everything as it is.
func (r *Reconciler) suspend(_ context.Context, s *scope) outcome {
	if s.policy.Spec.Suspend {
		return s.stop(iter8v1alpha1.ReasonSuspended, "spec.suspend is set: what is applied stays as it is")
	}
	return proceed
}

// observe finds the Subject and the state of its variants.
func (r *Reconciler) observe(ctx context.Context, s *scope) outcome {
	name := subjectName(s.policy)
	if name.Namespace != s.policy.Namespace && !r.AllowCrossNamespace {
		return s.stop(iter8v1alpha1.ReasonCrossNamespaceReference, fmt.Sprintf(
			"spec.subjectRef is in namespace %s, and this operator does not allow references to other namespaces", name.Namespace))
	}
	s.subject = &iter8v1alpha1.Subject{}
	switch err := r.Client.Get(ctx, name, s.subject); {
	case apierrors.IsNotFound(err):
		s.subject = nil
		return r.withdraw(ctx, s)
	case err != nil:
		s.retry = err
		return await
	}
	s.observation = r.Observer.Observe(s.subject)
	if s.observation.Pending() {
		return await
	}
	return proceed
}

// withdraw takes away what was applied, since the Subject that it was applied for is gone.
func (r *Reconciler) withdraw(ctx context.Context, s *scope) outcome {
	if o := r.apply(ctx, s); o == await {
		return await
	}
	return s.stop(iter8v1alpha1.ReasonSubjectNotFound, fmt.Sprintf(
		"Subject %s does not exist; nothing is applied without it", s.policy.Spec.SubjectRef.Name))
}

// trigger says what the chart is to be told of each variant: that it is available, for those that the policy
// isn't triggered by; what was last rendered, for those that can't be judged.
func (r *Reconciler) trigger(_ context.Context, s *scope) outcome {
	triggering, err := triggeringVariants(s.policy, s.subject)
	if err != nil {
		return s.stop(iter8v1alpha1.ReasonVariantNotFound, err.Error())
	}
	rendered := map[string]bool{}
	for _, v := range s.policy.Status.Variants {
		rendered[v.Name] = v.Available
	}
	var unknown []string
	unweighed := false
	for i, v := range s.subject.Spec.Variants {
		observed := s.observation.Variants[i]
		variant := render.Variant{Name: v.Name, Number: i + 1, Available: true}
		variant.Weight, variant.Weighted = weightOf(&s.subject.Spec.Variants[i], observed)
		for j, ref := range v.Resources {
			resource := render.Resource{Kind: ref.Kind, Name: ref.Name}
			if observed.PodLabels != nil {
				resource.PodLabels = observed.PodLabels[j]
			}
			variant.Resources = append(variant.Resources, resource)
		}
		if slices.Contains(triggering, v.Name) {
			variant.Available = observed.Available()
			if !observed.Known() {
				variant.Available = rendered[v.Name]
				s.unread = s.unread || observed.Unread
				unweighed = unweighed || variant.Available && observed.WeightUnread
				unknown = append(unknown, fmt.Sprintf("variant %s counts as %s, as it was last known: %s",
					v.Name, availability(variant.Available), observed.Problems[0].Message))
			}
		}
		s.variants = append(s.variants, variant)
	}
	s.unknown = strings.Join(unknown, "; ")
	if unweighed {
		// Without the weight that its first resource may be annotated with, more would be mirrored than before.
		return s.stop(s.whyUnknown(), s.unknown)
	}
	return proceed
}

func triggeringVariants(policy *iter8v1alpha1.RoutingPolicy, subject *iter8v1alpha1.Subject) ([]string, error) {
	names := make([]string, 0, len(subject.Spec.Variants))
	for _, v := range subject.Spec.Variants {
		names = append(names, v.Name)
	}
	if policy.Spec.Trigger == nil {
		return names, nil
	}
	for _, name := range policy.Spec.Trigger.Variants {
		if !slices.Contains(names, name) {
			return nil, fmt.Errorf("spec.trigger names variant %q, and Subject %s has %s", name, subject.Name, strings.Join(names, ", "))
		}
	}
	return policy.Spec.Trigger.Variants, nil
}

// weightOf gives the weight that the variant's first resource is annotated with, else the one that the Subject
// gives it, else 1; and whether it was given.
func weightOf(v *iter8v1alpha1.Variant, observed observe.Variant) (weight int32, given bool) {
	switch {
	case observed.Weight != nil:
		return *observed.Weight, true
	case v.Weight != nil:
		return *v.Weight, true
	default:
		return 1, false
	}
}

func availability(available bool) string {
	if available {
		return "available"
	}
	return "not available"
}

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
		return await
	case err != nil:
		return s.fail(condition, iter8v1alpha1.ReasonRenderFailed, err)
	}
	return proceed
}

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
