package traffic

import (
	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// mirrorAll are rules by which v1 answers, and everything is mirrored to v2.
const mirrorAll = `
rules:
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}}}
  backendRefs: [{name: httpbin-v1, port: 80}]
`

// httpbin is an app whose variants are v1 and others, each of a Service and a Deployment httpbin-VARIANT.
func (s *scene) httpbin(others ...string) {
	s.Helper()
	service := env.Service(s.namespace, "httpbin", map[string]string{"app": "httpbin"})
	service.Spec.Ports[0].Port, service.Spec.Ports[0].TargetPort = 8000, intstr.FromInt32(80)
	subject := &iter8v1alpha1.Subject{ObjectMeta: metav1.ObjectMeta{Name: "httpbin"}}
	for _, name := range append([]string{"v1"}, others...) {
		subject.Spec.Variants = append(subject.Spec.Variants, iter8v1alpha1.Variant{
			Name: name, Resources: []iter8v1alpha1.ResourceReference{
				{APIVersion: "v1", Kind: "Service", Name: "httpbin-" + name},
				{APIVersion: "apps/v1", Kind: "Deployment", Name: "httpbin-" + name},
			},
		})
	}
	s.create(service, subject)
}

// policy of httpbin, triggered by all variants but v1, with a built-in chart and its values in YAML.
func (s *scene) policy(chart, values string) *iter8v1alpha1.RoutingPolicy {
	s.Helper()
	var subject iter8v1alpha1.Subject
	if err := k8s.Get(s.Context(), s.key("httpbin"), &subject); err != nil {
		s.Fatal(err)
	}
	trigger := &iter8v1alpha1.Trigger{}
	for _, v := range subject.Spec.Variants[1:] {
		trigger.Variants = append(trigger.Variants, v.Name)
	}
	policy := &iter8v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "httpbin"},
		Spec: iter8v1alpha1.RoutingPolicySpec{
			SubjectRef: iter8v1alpha1.SubjectReference{Name: "httpbin"},
			Trigger:    trigger,
			Chart:      &iter8v1alpha1.ChartReference{Name: chart},
			Values:     s.values(values),
		},
	}
	s.create(policy)
	return policy
}

// mirrored has v1 answer and everything mirrored to v2, both of which it deploys, and returns a client and v2.
func (s *scene) mirrored() (c *httpClient, v2 *appsv1.Deployment) {
	s.Helper()
	s.httpbin("v2")
	s.deploy("httpbin-v1")
	v2, _ = s.deploy("httpbin-v2")
	s.route(mirrorAll)
	c = s.calling()
	s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"))
	return c, v2
}

// route is policy, with the chart mirror and rules for the scene's data plane.
func (s *scene) route(rules string) *iter8v1alpha1.RoutingPolicy {
	s.Helper()
	return s.policy("mirror", s.plane.parent(s.namespace)+rules)
}

func (s *scene) values(text string) *apiextensionsv1.JSON {
	s.Helper()
	raw, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		s.Fatal(err)
	}
	return &apiextensionsv1.JSON{Raw: raw}
}
