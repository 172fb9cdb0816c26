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
// isn't triggered by; what was last rendered, for those that can't be judged. A built-in chart makes a percentage of a weight, so
// that a variant whose weight is not valid counts as not available to it: nothing is mirrored there, and not everything.
func (r *Reconciler) trigger(_ context.Context, s *scope) outcome {
	triggering, err := triggeringVariants(s.policy, s.subject)
	if err != nil {
		return s.interrupt(iter8v1alpha1.ReasonVariantNotFound, err.Error())
	}
	rendered := map[string]bool{}
	for _, v := range s.policy.Status.Variants {
		rendered[v.Name] = v.Available
	}
	var unknown, invalid []string
	unweighed := false
	s.unknownBecause = iter8v1alpha1.ReasonVariantStateUnknown
	for i := range s.subject.Spec.Variants {
		v, observed := &s.subject.Spec.Variants[i], s.observation.Variants[i]
		variant := renderedVariant(v, i+1, observed)
		if slices.Contains(triggering, v.Name) {
			variant.Available = observed.Available()
			if !observed.Known() {
				variant.Available = rendered[v.Name]
				s.neverRead = s.neverRead || observed.Unread
				unweighed = unweighed || variant.Available && observed.WeightUnread
				problem := decisive(observed.Problems)
				if problem.State == observe.Invalid {
					s.unknownBecause = iter8v1alpha1.ReasonSubjectInvalid
				}
				unknown = append(unknown, fmt.Sprintf("variant %s counts as %s, as it was last known: %s",
					v.Name, availability(variant.Available), problem.Message))
			}
		}
		if chart := s.policy.Spec.Chart; chart != nil && chart.Repository == "" && slices.Contains(triggering, v.Name) {
			if what := noPercentage(variant, observed); what != "" {
				if variant.Available {
					invalid = append(invalid, fmt.Sprintf("nothing is mirrored to variant %s: %s, and takes a whole number from 0 to 100", v.Name, what))
				}
				variant.Available, variant.Weight, variant.Weighted = false, 1, false
			}
		}
		s.variants = append(s.variants, variant)
	}
	s.stateUnknown, s.invalidWeights = strings.Join(unknown, "; "), strings.Join(invalid, "; ")
	if unweighed {
		// Without the weight that its first resource may be annotated with, more would be mirrored than before.
		return s.interrupt(s.unknownBecause, s.stateUnknown)
	}
	return advance
}

// renderedVariant returns what a chart is told of a variant that is available.
func renderedVariant(v *iter8v1alpha1.Variant, number int, observed observe.Variant) render.Variant {
	variant := render.Variant{Name: v.Name, Number: number, Available: true}
	variant.Weight, variant.Weighted = weightOf(v, observed)
	for i, ref := range v.Resources {
		resource := render.Resource{Kind: ref.Kind, Name: ref.Name}
		if observed.PodLabels != nil {
			resource.PodLabels = observed.PodLabels[i]
		}
		variant.Resources = append(variant.Resources, resource)
	}
	return variant
}

// noPercentage says which weight of a variant is not a percentage; nothing, where it is one or there is none.
func noPercentage(variant render.Variant, observed observe.Variant) string {
	switch {
	case observed.InvalidWeight != "":
		return observed.InvalidWeight
	case variant.Weight > 100:
		return fmt.Sprintf("its weight is %d", variant.Weight)
	default:
		return ""
	}
}

// decisive returns the problem by which a variant can't be judged: one that only a change of the Subject ends, if there is one.
func decisive(problems []observe.Problem) observe.Problem {
	if i := slices.IndexFunc(problems, func(p observe.Problem) bool { return p.State == observe.Invalid }); i >= 0 {
		return problems[i]
	}
	return problems[0]
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
