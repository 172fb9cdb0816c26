// Package desired says what a policy asks for in a state of its Subject's variants: what is rendered, and what is decided
// about the mirrors in it. It is pure; the reconciler and the kubectl plugin both go by it.
//
//	policy, Subject, chart ──┬─► Request ─► render ──► manifests ──► mirrors.Gate ──► what is applied
//	states of the variants ──┴─► Mirrors ─► mirrors.Decide ─────────────┘
package desired

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/reason"
	"iter8.tools/operator/controllers/render"
)

// errInvalidValues is wrapped where spec.values are not an object.
var errInvalidValues = reason.New(iter8v1alpha1.ReasonInvalidValues, "invalid values")

// State is what a policy's objects depend on.
type State struct {
	Policy  *iter8v1alpha1.RoutingPolicy
	Subject *iter8v1alpha1.Subject
	// Chart to render, or nil: then the policy's templates are.
	Chart *chart.Chart
	// Variants in the order of the Subject.
	Variants []Variant
	Cluster  Cluster
}

// Cluster is what charts and templates are told of it, as render.Input has it.
type Cluster struct {
	APIVersions []string
	KubeVersion string
}

// Variant is the state of a variant as a policy goes by it.
type Variant struct {
	State mirrors.State
	// Message is why it isn't available, or can't be judged: a sentence that names the resource.
	Message string
	// LastAvailable is what charts and templates that look at it are told: whether it is available, or was when that was last known.
	LastAvailable bool
	// AnnotatedWeight is the annotation of its first resource, as it is written; nil without one. Weight is the same as a number, and
	// nil also where it is not valid.
	AnnotatedWeight *string
	Weight          *int32
	// PodLabels are those of the Pods of each resource, by position; nil where none is known.
	PodLabels []map[string]string
}

// BuiltIn reports whether a policy's chart is one of the operator's own.
func BuiltIn(policy *iter8v1alpha1.RoutingPolicy) bool {
	return policy.Spec.Chart != nil && policy.Spec.Chart.Repository == ""
}

// Stateless reports whether one render serves every state of the variants, since the chart's templates don't read it.
func (s State) Stateless() bool {
	return s.Chart != nil && s.Chart.Helm.Metadata.Annotations[iter8v1alpha1.StatelessAnnotation] == "true"
}

// Available returns the same state with every variant available.
func (s State) Available() State {
	s.Variants = slices.Clone(s.Variants)
	for i := range s.Variants {
		s.Variants[i].State, s.Variants[i].LastAvailable = mirrors.Available, true
	}
	return s
}

// Request returns what is to be rendered.
func (s State) Request() (render.Request, error) {
	values, err := valuesOf(s.Policy)
	if err != nil {
		return render.Request{}, err
	}
	input := render.Input{
		Templates:   s.Policy.Spec.Templates,
		Values:      values,
		Namespace:   s.Policy.Namespace,
		Policy:      s.Policy.Name,
		Labels:      s.Policy.Labels,
		Subject:     SubjectName(s.Policy),
		APIVersions: s.Cluster.APIVersions,
		KubeVersion: s.Cluster.KubeVersion,
	}
	if !s.Stateless() {
		input.Variants = s.rendered()
	}
	digest := ""
	if s.Chart != nil {
		input.Chart, input.BuiltIn = s.Chart.Helm, BuiltIn(s.Policy)
		digest = s.Chart.Resolved.Digest
	}
	return render.NewRequest(digest, input)
}

// rendered returns what charts and templates are told of the variants. One that doesn't trigger the policy is always available to them.
func (s State) rendered() []render.Variant {
	triggering, _ := Triggers(s.Policy, s.Subject)
	variants := make([]render.Variant, 0, len(s.Variants))
	for i, state := range s.Variants {
		spec := &s.Subject.Spec.Variants[i]
		variant := render.Variant{Name: spec.Name, Number: i + 1, Available: true, Weight: 1}
		if slices.Contains(triggering, spec.Name) {
			variant.Available = state.LastAvailable
		}
		for _, given := range []*int32{spec.Weight, state.Weight} {
			if given != nil {
				variant.Weight, variant.Weighted = *given, true
			}
		}
		for _, ref := range spec.Resources {
			variant.Resources = append(variant.Resources, render.Resource{Kind: ref.Kind, Name: ref.Name})
		}
		variants = append(variants, variant)
	}
	return variants
}

// Mirrors returns what decides about the policy's mirrors, but for what depends on routes: Manifests, Lacks and Standing.
func (s State) Mirrors() mirrors.Input {
	triggering, missing := Triggers(s.Policy, s.Subject)
	input := mirrors.Input{BuiltIn: BuiltIn(s.Policy), Namespace: s.Policy.Namespace}
	if input.BuiltIn {
		values, err := valuesOf(s.Policy)
		input.SafeMethodsOnly = err == nil && values["mirrorUnsafeMethods"] == false
	}
	for i, state := range s.Variants {
		spec := &s.Subject.Spec.Variants[i]
		input.Variants = append(input.Variants, mirrors.Variant{
			Name: spec.Name, State: state.State, Message: state.Message, Triggers: slices.Contains(triggering, spec.Name),
			Weight: weightOf(spec, state), Resources: resourcesOf(s.Subject.Namespace, spec, state),
		})
	}
	if missing != nil {
		input.Variants = append(input.Variants, mirrors.Variant{State: mirrors.NotAvailable, Message: missing.Error(), Triggers: true})
	}
	return input
}

// Withheld returns what keeps a policy's mirrors out whatever the variants' states.
func Withheld(policy *iter8v1alpha1.RoutingPolicy) []mirrors.Withholding {
	if !policy.Spec.Withdrawn {
		return nil
	}
	return []mirrors.Withholding{{Reason: iter8v1alpha1.ReasonWithdrawn, Message: "spec.withdrawn is set"}}
}

// weightOf returns the weight that the variant's first resource is annotated with, else the one that the Subject gives it.
func weightOf(spec *iter8v1alpha1.Variant, state Variant) *mirrors.Weight {
	switch {
	case state.AnnotatedWeight != nil && len(spec.Resources) > 0:
		first := spec.Resources[0]
		return &mirrors.Weight{Text: *state.AnnotatedWeight, Source: fmt.Sprintf("annotation %s of %s %s", iter8v1alpha1.WeightAnnotation, first.Kind, first.Name)}
	case spec.Weight != nil:
		return &mirrors.Weight{Text: strconv.Itoa(int(*spec.Weight)), Source: "the Subject's"}
	default:
		return nil
	}
}

func resourcesOf(namespace string, spec *iter8v1alpha1.Variant, state Variant) []mirrors.Resource {
	resources := make([]mirrors.Resource, 0, len(spec.Resources))
	for i, ref := range spec.Resources {
		resource := mirrors.Resource{
			Group: schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).Group, Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name,
		}
		if resource.Namespace == "" {
			resource.Namespace = namespace
		}
		if state.PodLabels != nil {
			resource.PodLabels = state.PodLabels[i]
		}
		resources = append(resources, resource)
	}
	return resources
}

// Triggers returns the names of the variants that trigger a policy, and an error where it names some that the Subject doesn't have.
func Triggers(policy *iter8v1alpha1.RoutingPolicy, subject *iter8v1alpha1.Subject) ([]string, error) {
	names := make([]string, 0, len(subject.Spec.Variants))
	for _, v := range subject.Spec.Variants {
		names = append(names, v.Name)
	}
	if policy.Spec.Trigger == nil {
		return names, nil
	}
	for _, name := range policy.Spec.Trigger.Variants {
		if !slices.Contains(names, name) {
			return policy.Spec.Trigger.Variants, fmt.Errorf("spec.trigger names variant %q, and Subject %s has %s", name, subject.Name, strings.Join(names, ", "))
		}
	}
	return policy.Spec.Trigger.Variants, nil
}

// SubjectName returns the Subject that a policy refers to.
func SubjectName(policy *iter8v1alpha1.RoutingPolicy) types.NamespacedName {
	namespace := policy.Spec.SubjectRef.Namespace
	if namespace == "" {
		namespace = policy.Namespace
	}
	return types.NamespacedName{Namespace: namespace, Name: policy.Spec.SubjectRef.Name}
}

func valuesOf(policy *iter8v1alpha1.RoutingPolicy) (map[string]any, error) {
	values := map[string]any{}
	if policy.Spec.Values == nil {
		return values, nil
	}
	if err := utiljson.Unmarshal(policy.Spec.Values.Raw, &values); err != nil {
		return nil, fmt.Errorf("spec.values: %w: %w", errInvalidValues, err)
	}
	return values, nil
}

// Explained returns the errors of Gate as the author of a policy reads them: with the paths of the values of a built-in chart, whose
// shape is that of the route's spec.
func (s State) Explained(err error) error {
	var problems mirrors.Errors
	if !BuiltIn(s.Policy) || !errors.As(err, &problems) {
		return err
	}
	texts := make([]string, 0, len(problems))
	for _, p := range problems {
		texts = append(texts, "spec.values"+strings.TrimPrefix(p.Path.String(), "spec")+": "+p.Message)
	}
	return errors.New(strings.Join(texts, "; "))
}
