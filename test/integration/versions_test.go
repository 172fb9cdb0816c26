package integration

import (
	"context"
	"testing"

	"github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

const betaServiceTemplate = "apiVersion: networking.istio.io/v1beta1\nkind: VirtualService\nmetadata: {name: app}\n" +
	"spec: {hosts: [app], http: [{route: [{destination: {host: httpbin-v1}}], mirrors: [{destination: {host: httpbin-v2}, percentage: {value: 50}}]}]}\n"

// TestARouteIsFoundAfterItsVersionIsNotServedAnyMore has a CRD drop the version in which a route was applied and is rendered, as it may with
// an upgrade: the objects stay, and are served in another version.
func TestARouteIsFoundAfterItsVersionIsNotServedAnyMore(t *testing.T) {
	s := newScene(t)
	_, v2 := s.deploy("httpbin-v2")
	crd := customResource("networking.istio.io", "v1beta1", "VirtualService")
	crd.Spec.Versions = append(crd.Spec.Versions, *crd.Spec.Versions[0].DeepCopy())
	crd.Spec.Versions[1].Name, crd.Spec.Versions[1].Storage = "v1", false
	s.serve(crd)
	subject, policy := s.subject("app", iter8v1alpha1.Variant{Name: "v1"}, variant("v2", "httpbin-v2")), s.templatePolicy("routes", "app", betaServiceTemplate)
	s.create(subject, policy)
	s.Eventually(s.mirrorsOf("app"), "60s").Should(gomega.HaveLen(1))
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True Succeeded"))
	s.Expect(policy.Status.Applied).To(gomega.HaveExactElements(gomega.HaveField("APIVersion", "networking.istio.io/v1beta1")))

	patch(s, crd, func(c *apiextensionsv1.CustomResourceDefinition) { c.Spec.Versions[0].Served = false })
	s.Eventually(s.condition(policy, "Applied"), "60s").Should(gomega.Equal(
		"False KindNotServed: the cluster does not serve networking.istio.io/v1beta1 VirtualService; install its CustomResourceDefinition"))
	s.Expect(s.mirrorsOf("app")()).To(gomega.HaveLen(1))
	s.delete(v2)
	s.Eventually(s.mirrorsOf("app")).Should(gomega.BeEmpty())
	s.Eventually(s.mirrors(policy)).Should(gomega.HaveExactElements(gomega.And(
		gomega.HaveField("To", "httpbin-v2"), gomega.HaveField("State", iter8v1alpha1.MirrorWithheld), gomega.HaveField("Reason", "VariantNotAvailable"))))

	s.delete(subject)
	s.Eventually(s.virtualService("app")).Should(gomega.BeNil())
	s.Eventually(func() ([]iter8v1alpha1.AppliedObject, error) {
		got, err := get(s, s.key(policy.Name), &iter8v1alpha1.RoutingPolicy{})
		return got.Status.Applied, err
	}).Should(gomega.BeEmpty())
	s.Expect(k8s.Get(context.Background(), s.key(policy.Name), policy)).To(gomega.Succeed())
}

// mirrorsOf polls those of a VirtualService's first rule.
func (s *scene) mirrorsOf(name string) func() ([]any, error) {
	return func() ([]any, error) {
		object, err := s.virtualService(name)()
		if err != nil || object == nil {
			return nil, err
		}
		rules, _, err := unstructured.NestedSlice(object.Object, "spec", "http")
		if err != nil || len(rules) == 0 {
			return nil, err
		}
		mirrors, _, err := unstructured.NestedSlice(rules[0].(map[string]any), "mirrors")
		return mirrors, err
	}
}
