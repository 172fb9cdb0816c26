package routingpolicy

import (
	"context"
	"fmt"
	"slices"
	"strings"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/observe"
	"iter8.tools/operator/controllers/render"
)

// trigger says what the chart is to be told of each variant: that it is available, for those that the policy
// isn't triggered by; what was last rendered, for those that can't be judged.
func (r *Reconciler) trigger(_ context.Context, s *scope) outcome {
	triggering, err := triggeringVariants(s.policy, s.subject)
	if err != nil {
		return s.interrupt(iter8v1alpha1.ReasonVariantNotFound, err.Error())
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
				s.neverRead = s.neverRead || observed.Unread
				unweighed = unweighed || variant.Available && observed.WeightUnread
				unknown = append(unknown, fmt.Sprintf("variant %s counts as %s, as it was last known: %s",
					v.Name, availability(variant.Available), observed.Problems[0].Message))
			}
		}
		s.variants = append(s.variants, variant)
	}
	s.stateUnknown = strings.Join(unknown, "; ")
	if unweighed {
		// Without the weight that its first resource may be annotated with, more would be mirrored than before.
		return s.interrupt(s.whyUnknown(), s.stateUnknown)
	}
	return advance
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

// weightOf returns the weight that the variant's first resource is annotated with, else the one that the Subject
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

// whyUnknown is the reason where a variant can't be judged: that the Subject can't work as it stands, or not.
func (s *scope) whyUnknown() string {
	for _, v := range s.observation.Variants {
		for _, problem := range v.Problems {
			if problem.State == observe.Invalid {
				return iter8v1alpha1.ReasonSubjectInvalid
			}
		}
	}
	return iter8v1alpha1.ReasonVariantStateUnknown
}
