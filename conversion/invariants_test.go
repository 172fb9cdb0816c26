package conversion

import (
	"encoding/json"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	apiextensions "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apimetav1validation "k8s.io/apimachinery/pkg/apis/meta/v1/validation"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilvalidation "k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// checkInvariants holds what was made to what an apiserver would: names, labels, and the CRDs' schemas with their
// rules.
func checkInvariants(t testing.TB, result Result) {
	t.Helper()
	if result.Subject == nil && result.Policy == nil {
		t.Error("there is neither an error nor an object")
	}
	for _, object := range result.Objects() {
		kind := object.GetObjectKind().GroupVersionKind().Kind
		accessor, err := meta.Accessor(object)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range utilvalidation.IsDNS1123Subdomain(accessor.GetName()) {
			t.Errorf("%s has the name %q: %s", kind, accessor.GetName(), problem)
		}
		if from := accessor.GetAnnotations()[iter8v1alpha1.ConvertedFromAnnotation]; from != accessor.GetName() {
			t.Errorf("%s %s says that it was made of %q", kind, accessor.GetName(), from)
		}
		for _, problem := range apimetav1validation.ValidateLabels(accessor.GetLabels(), field.NewPath("metadata", "labels")) {
			t.Errorf("%s %s: %s", kind, accessor.GetName(), problem)
		}
		for _, problem := range schemaOf(t, kind).validate(t, object) {
			t.Errorf("%s %s: %s", kind, accessor.GetName(), problem)
		}
	}
}

// crdSchema is the schema of a kind, as the apiserver compiles it.
type crdSchema struct {
	validator  validation.SchemaValidator
	structural *structuralschema.Structural
	rules      *cel.Validator
}

var schemas = map[string]func() (*crdSchema, error){
	"Subject":       sync.OnceValues(func() (*crdSchema, error) { return readSchema("iter8.tools_subjects.yaml") }),
	"RoutingPolicy": sync.OnceValues(func() (*crdSchema, error) { return readSchema("iter8.tools_routingpolicies.yaml") }),
}

func schemaOf(t testing.TB, kind string) *crdSchema {
	t.Helper()
	schema, err := schemas[kind]()
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func readSchema(file string) (*crdSchema, error) {
	data, err := os.ReadFile(filepath.Join("..", "config", "crd", "bases", file))
	if err != nil {
		return nil, err
	}
	crd := &apiextensionsv1.CustomResourceDefinition{}
	if err := yaml.UnmarshalStrict(data, crd); err != nil {
		return nil, err
	}
	internal := &apiextensions.JSONSchemaProps{}
	if err := apiextensionsv1.Convert_v1_JSONSchemaProps_To_apiextensions_JSONSchemaProps(crd.Spec.Versions[0].Schema.OpenAPIV3Schema, internal, nil); err != nil {
		return nil, err
	}
	validator, _, err := validation.NewSchemaValidator(internal)
	if err != nil {
		return nil, err
	}
	structural, err := structuralschema.NewStructural(internal)
	if err != nil {
		return nil, err
	}
	return &crdSchema{validator, structural, cel.NewValidator(structural, true, celconfig.PerCallLimit)}, nil
}

func (s *crdSchema) validate(t testing.TB, object any) field.ErrorList {
	t.Helper()
	data, err := json.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	fields := map[string]any{}
	if err := utiljson.Unmarshal(data, &fields); err != nil {
		t.Fatal(err)
	}
	delete(fields, "status")
	problems := validation.ValidateCustomResource(nil, fields, s.validator)
	problems = append(problems, listtype.ValidateListSetsAndMaps(nil, s.structural, fields)...)
	ruled, _ := s.rules.Validate(t.Context(), nil, s.structural, fields, nil, celconfig.RuntimeCELCostBudget)
	return append(problems, ruled...)
}

func TestTheSchemaRefusesWhatItShould(t *testing.T) {
	weight := int32(-1)
	subject := &iter8v1alpha1.Subject{
		ObjectMeta: metav1.ObjectMeta{Name: "a", CreationTimestamp: metav1.NewTime(time.Unix(0, 0))},
		Spec: iter8v1alpha1.SubjectSpec{Variants: []iter8v1alpha1.Variant{
			{Name: "A", Weight: &weight}, {Name: "A"},
		}},
	}
	problems := schemaOf(t, "Subject").validate(t, subject)
	if len(problems) != 4 { // the weight, the name twice by rule, and the name that stands twice
		t.Errorf("the checks of these tests check less than they should: %v", problems)
	}
}
