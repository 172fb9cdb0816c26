package integration

import (
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// withdrawalTime is how long a mirror may stand once its target is known bad.
const withdrawalTime = time.Second

// TestNothingKeepsAMirrorOnAVariantThatIsGone has something else go wrong first, in every way that keeps what is rendered from being
// applied, and variant 2 go then.
func TestNothingKeepsAMirrorOnAVariantThatIsGone(t *testing.T) {
	withMirrors := func(change func(v map[string]any)) func(*scene, *iter8v1alpha1.RoutingPolicy) {
		return func(s *scene, policy *iter8v1alpha1.RoutingPolicy) {
			v := mirrorValues("httpbin-v1", "httpbin-v2", "httpbin-v3")
			change(v)
			patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Values = values(v) })
		}
	}
	filter := func(v map[string]any, i int) map[string]any {
		return v["rules"].([]any)[0].(map[string]any)["filters"].([]any)[i].(map[string]any)["requestMirror"].(map[string]any)
	}
	for name, test := range map[string]struct {
		spoil func(*scene, *iter8v1alpha1.RoutingPolicy)
		ready string
		// left are the mirrors that stay.
		left []string
	}{
		"nothing went wrong": {func(*scene, *iter8v1alpha1.RoutingPolicy) {}, "True Succeeded", []string{"httpbin-v3"}},
		"the values became invalid": {withMirrors(func(v map[string]any) { v["rule"] = "misspelt" }),
			"False InvalidValues", []string{"httpbin-v3"}},
		"another mirror became invalid": {withMirrors(func(v map[string]any) { delete(filter(v, 1)["backendRef"].(map[string]any), "port") }),
			"False InvalidMirror: spec.values.rules[0].filters[1].requestMirror.backendRef.port: ", []string{"httpbin-v3"}},
		"the weight of another variant became invalid": {func(s *scene, _ *iter8v1alpha1.RoutingPolicy) {
			_, service := s.workload("httpbin-v3")
			patch(s, service, func(o *corev1.Service) { o.Annotations = map[string]string{iter8v1alpha1.WeightAnnotation: "5%"} })
		}, "False InvalidWeight: no mirror to httpbin-v3:80: the weight of variant v3 must be a whole number from 0 to 100, and is \"5%\"", nil},
		"the chart can't be resolved": {func(s *scene, policy *iter8v1alpha1.RoutingPolicy) {
			patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Chart.Version = ">=99" })
		}, "False VersionNotFound", []string{"httpbin-v3"}},
		"the trigger names a variant that isn't there": {func(s *scene, policy *iter8v1alpha1.RoutingPolicy) {
			patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Trigger.Variants = []string{"v4"} })
		}, "False VariantNotFound", []string{"httpbin-v3"}},
		"the apiserver refuses the new route": {func(s *scene, policy *iter8v1alpha1.RoutingPolicy) {
			withMirrors(func(v map[string]any) { v["hostnames"] = []any{"Example.com"} })(s, policy)
		}, "False Rejected", []string{"httpbin-v3"}},
		"the gateway refuses the route": {func(s *scene, _ *iter8v1alpha1.RoutingPolicy) {
			s.report("httpbin", condition(gatewayv1.RouteConditionAccepted, metav1.ConditionFalse, "NoMatchingParent", "not ours"))
		}, "False NoMatchingParent", []string{"httpbin-v3"}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			for _, workload := range []string{"httpbin-v1", "httpbin-v3"} {
				s.deploy(workload)
			}
			deployment, _ := s.deploy("httpbin-v2")
			policy := s.mirrorPolicy("httpbin-route", "httpbin")
			policy.Spec.Trigger = &iter8v1alpha1.Trigger{Variants: []string{"v2", "v3"}}
			policy.Spec.Values = values(mirrorValues("httpbin-v1", "httpbin-v2", "httpbin-v3"))
			s.create(s.subject("httpbin", variant("v1", "httpbin-v1"), variant("v2", "httpbin-v2"), variant("v3", "httpbin-v3")), policy)
			s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2", "httpbin-v3"))
			s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True Succeeded"))
			before := s.primary("httpbin")

			test.spoil(s, policy)
			s.Eventually(s.ready(policy)).Should(gomega.HavePrefix(test.ready))
			zero := int32(0)
			patch(s, deployment, func(d *appsv1.Deployment) { d.Spec.Replicas = &zero })
			s.Eventually(s.readyEndpoints("httpbin-v2")).Should(gomega.BeZero())
			s.Eventually(s.route("httpbin"), withdrawalTime).Should(mirrorTo(test.left...))
			s.Expect(s.primary("httpbin")).To(gomega.Equal(before))
			s.Eventually(s.mirrors(policy)).Should(gomega.ContainElement(gomega.And(
				gomega.HaveField("To", "httpbin-v2:80"), gomega.HaveField("State", iter8v1alpha1.MirrorWithheld),
				gomega.HaveField("Reason", "VariantNotAvailable"), gomega.HaveField("Message", "no mirror to httpbin-v2:80: Service httpbin-v2 has no ready endpoint"))))
		})
	}
}

// readyEndpoints polls how many a Service has.
func (s *scene) readyEndpoints(service string) func() (int, error) {
	return func() (int, error) {
		var slices discoveryv1.EndpointSliceList
		ready := 0
		err := k8s.List(s.Context(), &slices, client.InNamespace(s.namespace), client.MatchingLabels{discoveryv1.LabelServiceName: service})
		for _, slice := range slices.Items {
			for _, endpoint := range slice.Endpoints {
				if endpoint.Conditions.Ready == nil || *endpoint.Conditions.Ready {
					ready++
				}
			}
		}
		return ready, err
	}
}

// primary is what of a route is no mirror.
func (s *scene) primary(name string) gatewayv1.HTTPRouteSpec {
	s.Helper()
	route, err := s.route(name)()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	spec := *route.Spec.DeepCopy()
	for i := range spec.Rules {
		var others []gatewayv1.HTTPRouteFilter
		for _, f := range spec.Rules[i].Filters {
			if f.RequestMirror == nil {
				others = append(others, f)
			}
		}
		spec.Rules[i].Filters = others
	}
	return spec
}

// mirrors polls what the status says of a policy's mirrors.
func (s *scene) mirrors(policy *iter8v1alpha1.RoutingPolicy) func() ([]iter8v1alpha1.Mirror, error) {
	return func() ([]iter8v1alpha1.Mirror, error) {
		got, err := get(s, s.key(policy.Name), &iter8v1alpha1.RoutingPolicy{})
		if err != nil || got == nil {
			return nil, err
		}
		return got.Status.Mirrors, nil
	}
}
