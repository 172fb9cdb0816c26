package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	strictjson "sigs.k8s.io/json"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/conversion"
)

// manifests are what render takes from files.
type manifests struct {
	policies []policyManifest
	// subjects by name, nil for those that were reported as not valid.
	subjects map[types.NamespacedName]*iter8v1alpha1.Subject
	// resources are all other objects, of which Subjects may name some.
	resources map[resourceKey]*unstructured.Unstructured
	// namespace of what names none.
	namespace string
}

// policyManifest is a RoutingPolicy and where it was found.
type policyManifest struct {
	*iter8v1alpha1.RoutingPolicy
	object object
}

func (p policyManifest) name() types.NamespacedName {
	return types.NamespacedName{Namespace: p.Namespace, Name: p.Name}
}

// resourceKey identifies an object of any kind, in whatever version.
type resourceKey struct {
	schema.GroupKind
	types.NamespacedName
}

func readManifests(files fileOptions, namespace string, stdin io.Reader, r *report) *manifests {
	m := &manifests{
		namespace: namespace,
		subjects:  map[types.NamespacedName]*iter8v1alpha1.Subject{},
		resources: map[resourceKey]*unstructured.Unstructured{},
	}
	files.read(stdin, r, func(o object) { m.add(o, r) })
	return m
}

// add adds an object, or reports what is wrong with it.
func (m *manifests) add(o object, r *report) {
	u := &unstructured.Unstructured{Object: o.fields}
	name := types.NamespacedName{Namespace: u.GetNamespace(), Name: u.GetName()}
	if name.Namespace == "" {
		name.Namespace = m.namespace
	}
	kind := u.GroupVersionKind().GroupKind()
	ours := kind.Group == iter8v1alpha1.GroupVersion.Group && (kind.Kind == "Subject" || kind.Kind == "RoutingPolicy")
	switch {
	case !ours:
		m.resources[resourceKey{kind, name}] = u
		r.note(o.at(), fmt.Sprintf("%s is left out: it is neither a Subject nor a RoutingPolicy", o))
	case name.Name == "":
		r.fail(o.at("metadata"), fmt.Sprintf("the %s has no metadata.name; give it one", kind.Kind))
	case kind.Kind == "Subject":
		m.addSubject(name, o, r)
	default:
		m.addPolicy(name, o, r)
	}
}

func (m *manifests) addSubject(name types.NamespacedName, o object, r *report) {
	if _, twice := m.subjects[name]; twice {
		r.fail(o.at(), fmt.Sprintf("Subject %s is there twice; remove one of them", name))
		return
	}
	m.subjects[name] = nil
	subject := &iter8v1alpha1.Subject{}
	if o.decode(subject, r) {
		subject.Namespace = name.Namespace
		m.subjects[name] = subject
	}
}

func (m *manifests) addPolicy(name types.NamespacedName, o object, r *report) {
	if slices.ContainsFunc(m.policies, func(other policyManifest) bool { return other.name() == name }) {
		r.fail(o.at(), fmt.Sprintf("RoutingPolicy %s is there twice; remove one of them", name))
		return
	}
	policy := policyManifest{&iter8v1alpha1.RoutingPolicy{}, o}
	if !o.decode(policy.RoutingPolicy, r) {
		return
	}
	policy.Namespace = name.Namespace
	switch hasChart, hasTemplates := policy.Spec.Chart != nil, len(policy.Spec.Templates) > 0; {
	case hasChart && hasTemplates:
		r.fail(o.at("spec", "templates"), "spec takes exactly one of chart and templates, and has both; remove one of them")
	case !hasChart && !hasTemplates:
		r.fail(o.at("spec"), "spec takes exactly one of chart and templates, and has neither; add one of them")
	default:
		m.policies = append(m.policies, policy)
	}
}

// decode reads an object as the apiserver does with kubectl's --validate=strict, and reports what it doesn't take.
func (o object) decode(into any, r *report) bool {
	if version, _ := o.fields["apiVersion"].(string); version != iter8v1alpha1.GroupVersion.String() {
		r.fail(o.at("apiVersion"), fmt.Sprintf("apiVersion %s is not known; use %s", version, iter8v1alpha1.GroupVersion))
		return false
	}
	data, err := json.Marshal(o.fields)
	if o.document.json && len(o.steps) == 0 {
		data, err = []byte(o.document.text), nil // in which keys may stand twice
	}
	if err != nil {
		r.fail(o.at(), err.Error())
		return false
	}
	unknown, err := strictjson.UnmarshalStrict(data, into)
	if err != nil {
		r.fail(o.at(), fmt.Sprintf("%s is not one that an apiserver accepts: %s", o, explain(err)))
		return false
	}
	if !o.document.json {
		if _, err := yaml.YAMLToJSONStrict([]byte(o.document.text)); err != nil {
			line, message := conversion.ExplainSyntaxError(o.document.text, err)
			r.fail(o.document.at(o.file, line), "the document "+message)
			return false
		}
	}
	for _, err := range unknown {
		where := o.at()
		var field strictjson.FieldError
		if errors.As(err, &field) {
			where = o.at(stepsOf(field.FieldPath())...)
		}
		r.fail(where, fmt.Sprintf("%s: %s; correct or remove it", o, err))
	}
	return len(unknown) == 0
}

var pathStep = regexp.MustCompile(`[^.\[\]]+`)

// stepsOf splits the path of a field, such as spec.variants[0].name.
func stepsOf(path string) []any {
	var steps []any
	for _, step := range pathStep.FindAllString(path, -1) {
		if i, err := strconv.Atoi(step); err == nil {
			steps = append(steps, i)
			continue
		}
		steps = append(steps, step)
	}
	return steps
}
