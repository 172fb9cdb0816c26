package routingpolicy

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
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
