package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart"
	"iter8.tools/operator/controllers/desired"
	"iter8.tools/operator/controllers/guard"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/observe"
	"iter8.tools/operator/controllers/reason"
	"iter8.tools/operator/controllers/render"
)

// policyRenderer goes the operator's way from a policy to its routes, as far as it goes without a cluster.
type policyRenderer struct {
	config    configv1alpha1.OperatorConfiguration
	charts    *chartSource
	states    stateOptions
	cluster   desired.Cluster
	manifests *manifests
	report    *report
}

// failure is what the operator would report in a condition.
type failure struct{ reason, message string }

// Error returns the reason, and then the message.
func (f failure) Error() string { return f.reason + ": " + f.message }

// failed returns an error as the operator would report it: with the reason that it carries, else with the given one.
func failed(err error, otherwise string) failure {
	if name, ok := reason.Of(err); ok {
		otherwise = name
	}
	return failure{otherwise, err.Error()}
}

// render renders a policy in all its states. It reports what fails, and whether there is anything to show.
func (r *policyRenderer) render(policy policyManifest) (renderedPolicy, bool) {
	fail := func(where string, err error) {
		r.report.fail(where, fmt.Sprintf("RoutingPolicy %s: %s", policy.name(), err))
	}
	subject, err := r.subjectOf(policy)
	switch {
	case err != nil:
		fail(policy.object.at("spec", "subjectRef"), err)
		return renderedPolicy{}, false
	case subject == nil:
		return renderedPolicy{}, false
	}
	if _, err := desired.Triggers(policy.RoutingPolicy, subject); err != nil {
		fail(policy.object.at("spec", "trigger"), failure{iter8v1alpha1.ReasonVariantNotFound, err.Error()})
		return renderedPolicy{}, false
	}
	states, err := r.states.of(policy.RoutingPolicy, subject)
	if err != nil {
		fail(policy.object.at(), err)
		return renderedPolicy{}, false
	}
	resolved, err := r.chartOf(policy)
	if err != nil {
		fail(policy.object.at("spec", "chart"), err)
		return renderedPolicy{}, false
	}
	result := renderedPolicy{Policy: policy.name().String(), Subject: desired.SubjectName(policy.RoutingPolicy).String()}
	renderer := render.NewRenderer()
	for _, available := range states {
		state := desired.State{
			Policy: policy.RoutingPolicy, Subject: subject, Chart: resolved, Variants: r.variants(subject, available), Cluster: r.cluster,
		}
		rendered := r.renderState(renderer, state)
		rendered.Available, rendered.description = available, describeState(subject, available)
		result.States = append(result.States, rendered)
	}
	r.reportFailures(policy, result.States)
	return result, true
}

// subjectOf returns the Subject that a policy refers to, nil where it was reported as not valid.
func (r *policyRenderer) subjectOf(policy policyManifest) (*iter8v1alpha1.Subject, error) {
	name := desired.SubjectName(policy.RoutingPolicy)
	if name.Namespace != policy.Namespace && !r.config.AllowCrossNamespaceReferences {
		return nil, failure{iter8v1alpha1.ReasonCrossNamespaceReference, fmt.Sprintf(
			"spec.subjectRef is in namespace %s, and the operator's configuration does not allow references to other namespaces; name one that does with --config",
			name.Namespace)}
	}
	subject, ok := r.manifests.subjects[name]
	if !ok {
		return nil, fmt.Errorf("its Subject %s is not in the files; name the file that it is in with -f, too", name)
	}
	return subject, nil
}

// chartOf returns the chart of a policy, nil where it brings its own templates.
func (r *policyRenderer) chartOf(policy policyManifest) (*chart.Chart, error) {
	if policy.Spec.Chart == nil {
		return nil, nil //nolint:nilnil // as desired.State takes it
	}
	resolved, warning, err := r.charts.resolve(*policy.Spec.Chart)
	if warning != "" {
		r.report.warn(policy.object.at("spec", "chart", "version"), fmt.Sprintf("RoutingPolicy %s: %s", policy.name(), warning))
	}
	return resolved, err
}

// variants returns the states of a Subject's variants, with what the resources among the files say of themselves.
func (r *policyRenderer) variants(subject *iter8v1alpha1.Subject, available []string) []desired.Variant {
	variants := make([]desired.Variant, 0, len(subject.Spec.Variants))
	for _, spec := range subject.Spec.Variants {
		variant := desired.Variant{State: mirrors.Available, LastAvailable: true, PodLabels: make([]map[string]string, len(spec.Resources))}
		if !slices.Contains(available, spec.Name) {
			variant = desired.Variant{
				State: mirrors.NotAvailable, Message: fmt.Sprintf("variant %s is not available", spec.Name), PodLabels: variant.PodLabels,
			}
		}
		for i, ref := range spec.Resources {
			resource, ok := r.manifests.resourceOf(subject.Namespace, ref)
			if !ok {
				continue
			}
			variant.PodLabels[i] = observe.PodLabelsOf(resource)
			if i == 0 {
				variant.AnnotatedWeight, variant.Weight = observe.WeightOf(resource)
			}
		}
		variants = append(variants, variant)
	}
	return variants
}

// resourceOf returns the object that a Subject in a namespace names.
func (m *manifests) resourceOf(namespace string, ref iter8v1alpha1.ResourceReference) (*unstructured.Unstructured, bool) {
	if ref.Namespace != "" {
		namespace = ref.Namespace
	}
	kind := schema.FromAPIVersionAndKind(ref.APIVersion, ref.Kind).GroupKind()
	resource, ok := m.resources[resourceKey{kind, types.NamespacedName{Namespace: namespace, Name: ref.Name}}]
	return resource, ok
}

// renderState renders a policy in one state.
func (r *policyRenderer) renderState(renderer *render.Renderer, state desired.State) renderedState {
	objects, gated, err := r.gated(renderer, state)
	if err != nil {
		why := failed(err, iter8v1alpha1.ReasonRenderFailed)
		var is failure
		if errors.As(err, &is) {
			why = is
		}
		return renderedState{Reason: why.reason, Message: why.message, Manifests: []map[string]any{}, Mirrors: []iter8v1alpha1.Mirror{}}
	}
	return renderedState{Manifests: objects, Mirrors: gated}
}

// gated returns the manifests of a state, and what became of the mirrors in them.
func (r *policyRenderer) gated(renderer *render.Renderer, state desired.State) ([]map[string]any, []iter8v1alpha1.Mirror, error) {
	request, err := state.Request()
	if err != nil {
		return nil, nil, err
	}
	rendered, err := renderer.Twice(request.Input)
	if err != nil {
		return nil, nil, err
	}
	namespace := state.Policy.Namespace
	if violations := guard.Violations(guard.Rules{Namespace: namespace, Kinds: r.kinds()}, rendered); len(violations) > 0 {
		return nil, nil, failure{iter8v1alpha1.ReasonForbiddenManifest, strings.Join(violations, "; ")}
	}
	decided := state.Mirrors()
	decided.Manifests, decided.Withheld = rendered, desired.Withheld(state.Policy)
	result, err := mirrors.Gate(rendered, mirrors.Decide(decided))
	if err != nil {
		return nil, nil, failed(state.Explained(err), iter8v1alpha1.ReasonInvalidMirror)
	}
	objects := make([]map[string]any, 0, len(result.Manifests))
	for _, m := range result.Manifests {
		m = m.DeepCopy()
		m.SetNamespace(namespace)
		objects = append(objects, m.Object)
	}
	report := make([]iter8v1alpha1.Mirror, 0, len(result.Mirrors))
	for _, m := range result.Mirrors {
		if m.Withheld() {
			m.State = iter8v1alpha1.MirrorWithheld
		}
		report = append(report, m.Mirror)
	}
	return objects, report, nil
}

// kinds that a policy may render.
func (r *policyRenderer) kinds() []schema.GroupKind {
	kinds := make([]schema.GroupKind, 0, len(r.config.RouteKinds))
	for _, k := range r.config.RouteKinds {
		kinds = append(kinds, schema.GroupKind{Group: k.Group, Kind: k.Kind})
	}
	return kinds
}

// reportFailures reports each way in which states fail, once.
func (r *policyRenderer) reportFailures(policy policyManifest, states []renderedState) {
	var failures []failure
	in := map[failure][]string{}
	for _, s := range states {
		if s.Reason == "" {
			continue
		}
		f := failure{s.Reason, s.Message}
		if in[f] == nil {
			failures = append(failures, f)
		}
		in[f] = append(in[f], s.description)
	}
	for _, f := range failures {
		state := in[f][0]
		if more := len(in[f]) - 1; more > 0 {
			state += fmt.Sprintf(" (and %d more of %d states)", more, len(states))
		}
		r.report.fail(policy.object.at(), fmt.Sprintf("RoutingPolicy %s, with %s: %s", policy.name(), state, f))
	}
}
