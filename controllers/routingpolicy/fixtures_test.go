package routingpolicy

import (
	"encoding/json"
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/desired"
)

func manifest(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	g := NewWithT(t)
	data, err := yaml.YAMLToJSON([]byte(text))
	g.Expect(err).NotTo(HaveOccurred())
	u := &unstructured.Unstructured{}
	g.Expect(utiljson.Unmarshal(data, &u.Object)).To(Succeed())
	return u
}

// aRoute with rules.
func aRoute(name, rules string) string {
	return "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: " + name + "}, spec: {rules: [" + rules + "]}}"
}

// mirrorTo is a filter, with further fields.
func mirrorTo(backend, more string) string {
	return "{type: RequestMirror, requestMirror: {backendRef: {" + backend + "}" + more + "}}"
}

// jsonOf returns a field of a JSON object, by its path.
func jsonOf(g *WithT, data []byte, path ...string) string {
	var object map[string]any
	g.Expect(utiljson.Unmarshal(data, &object)).To(Succeed())
	field, _, err := unstructured.NestedFieldNoCopy(object, path...)
	g.Expect(err).NotTo(HaveOccurred())
	text, err := json.Marshal(field)
	g.Expect(err).NotTo(HaveOccurred())
	return string(text)
}

// nameIn returns the name of an object in the policies' namespace.
func nameIn(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: "test", Name: name}
}

// invalid is an apiserver's answer to what is not valid.
func invalid(message string) error {
	return apierrors.NewInvalid(schema.GroupKind{Group: httpRoutes.Group, Kind: "HTTPRoute"}, "web",
		field.ErrorList{field.Invalid(field.NewPath("spec"), "x", message)})
}

// scopeOf is that of a policy whose Subject has variants in some states.
func scopeOf(policy *iter8v1alpha1.RoutingPolicy, variants ...desired.Variant) *scope {
	s := newScope(policy, now.Time)
	s.subject = aSubject()
	for i := range variants {
		s.subject.Spec.Variants = append(s.subject.Spec.Variants, iter8v1alpha1.Variant{Name: fmt.Sprintf("v%d", i+1)})
	}
	s.state = desired.State{Policy: policy, Subject: s.subject, Variants: variants}
	return s
}
