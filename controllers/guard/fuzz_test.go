package guard

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// accepted is what may be left of an object's metadata once nobody objects to it, as the apiserver would read it.
type accepted struct {
	Kind       string         `json:"kind"`
	APIVersion string         `json:"apiVersion"`
	Status     map[string]any `json:"status"`
	Metadata   struct {
		Name              string            `json:"name"`
		GenerateName      string            `json:"generateName"`
		Namespace         string            `json:"namespace"`
		UID               string            `json:"uid"`
		DeletionTimestamp *string           `json:"deletionTimestamp"`
		Labels            map[string]string `json:"labels"`
		Annotations       map[string]string `json:"annotations"`
		OwnerReferences   []any             `json:"ownerReferences"`
		Finalizers        []string          `json:"finalizers"`
		ManagedFields     []any             `json:"managedFields"`
	} `json:"metadata"`
}

// FuzzGuard reads what passes with another reader, and finds nothing in it that must not be there.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		good, route("name: web"), route("name: web, namespace: other"), route("name: web, ownerReferences: {kind: Pod}"),
		route("name: web, labels: {app.kubernetes.io/managed-by: Helm, a: 1}"), route("name: web, annotations: {helm.sh/hook: a}"),
		route("name: a/../b, finalizers: x, generateName: 1"), "apiVersion: v1\nkind: Secret\nmetadata: {name: a}", "metadata: []", "a: &a [*a]", route("name: web, Annotations: {helm.sh/hook: a}"), route("name: web, annotations: {helm.sh/hooks: a}"),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			return
		}
		m := &unstructured.Unstructured{}
		if utiljson.Unmarshal(data, &m.Object) != nil || m.Object == nil {
			return
		}
		violations := Violations(rules, []*unstructured.Unstructured{m, m.DeepCopy()})
		g := NewWithT(t)
		g.Expect(violations).NotTo(BeEmpty(), "the same object twice")
		if violations = Violations(rules, []*unstructured.Unstructured{m}); len(violations) > 0 {
			for _, v := range violations {
				g.Expect(v).To(Or(HavePrefix(Name(m)+" "), ContainSubstring("bytes are rendered")))
			}
			return
		}
		var a accepted
		g.Expect(utiljson.Unmarshal(data, &a)).To(Succeed())
		g.Expect([]string{strings.SplitN(a.APIVersion, "/", 2)[0], a.Kind}).To(Or(
			Equal([]string{"gateway.networking.k8s.io", "HTTPRoute"}), Equal([]string{"networking.istio.io", "VirtualService"})))
		g.Expect(a.Metadata.Namespace).To(Or(BeEmpty(), Equal(rules.Namespace)))
		g.Expect(a.Metadata.Name).NotTo(Or(BeEmpty(), ContainSubstring("/")))
		g.Expect(a.Metadata.OwnerReferences).To(BeEmpty())
		g.Expect(a.Metadata.Finalizers).To(BeEmpty())
		g.Expect(a.Metadata.ManagedFields).To(BeEmpty())
		g.Expect(a.Metadata.GenerateName + a.Metadata.UID).To(BeEmpty())
		g.Expect(a.Metadata.DeletionTimestamp).To(BeNil())
		g.Expect(a.Status).To(BeNil())
		if by, labeled := a.Metadata.Labels["app.kubernetes.io/managed-by"]; labeled {
			g.Expect(by).To(Equal("iter8-operator"))
		}
		for name := range a.Metadata.Annotations {
			g.Expect(name).NotTo(Or(HavePrefix("helm.sh/hook"), HavePrefix("meta.helm.sh/"), Equal("iter8.tools/adopt")))
		}
	})
}
