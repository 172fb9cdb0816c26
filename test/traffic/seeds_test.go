package traffic

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/dataplane"
)

// printed is a manifest of a document, as it is printed there but for what the apiserver refuses: a label whose value is a
// boolean, one whose value has a slash, and a line that YAML takes for no comment.
func printed(path string) string {
	return filepath.Join(cluster.ModuleRoot(), "test", "traffic", "testdata", filepath.FromSlash(path))
}

// Iter8's mirroring tutorial, with its manifests or what is made of them. The parent of its route has a kind Service and no group, which would
// make the group the Gateway API's own, and the route one that no mesh takes.
func TestIter8sMirroringTutorialAsPrinted(t *testing.T) {
	configMaps := []string{"-f", printed("mirroring/subject.yaml"), "-f", printed("mirroring/routingpolicy.yaml")}
	for sentence, test := range map[string]struct {
		create func(*scene)
		delete []string
	}{
		"by its ConfigMaps": {
			create: func(s *scene) { s.kubectl(append([]string{"create"}, configMaps...)...) },
			delete: []string{"cm/httpbin", "cm/httpbin-route"},
		},
		"by what they are converted into": {
			create: func(s *scene) { s.manifest(s.plugin(append([]string{"convert"}, configMaps...)...)) },
			delete: []string{"subject/httpbin", "routingpolicy/httpbin-route"},
		},
		"by a policy with its values": {
			create: func(s *scene) {
				s.kubectl("create", "-f", sample("subject.yaml"))
				s.create(&iter8v1alpha1.RoutingPolicy{
					ObjectMeta: metav1.ObjectMeta{Name: "httpbin-route"},
					Spec: iter8v1alpha1.RoutingPolicySpec{
						SubjectRef: iter8v1alpha1.SubjectReference{Name: "httpbin"},
						Trigger:    &iter8v1alpha1.Trigger{Variants: []string{"v2"}},
						Chart:      &iter8v1alpha1.ChartReference{Name: "mirror"},
						Values:     s.printedValues(),
					},
				})
			},
			delete: []string{"subject/httpbin", "routingpolicy/httpbin-route"},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			s := newScene(t, sidecar)
			s.kubectl("create", "-f", printed("mirroring/httpbin-v1.yaml"), "-f", printed("mirroring/httpbin.yaml"), "-f", printed("mirroring/sleep.yaml"))
			test.create(s)
			s.expectMirroringTutorial()
			s.kubectl(append([]string{"delete", "svc/httpbin"}, test.delete...)...)
			var route gatewayv1.HTTPRoute
			s.Eventually(func() error { return k8s.Get(s.Context(), s.key("httpbin"), &route) }).Should(gomega.MatchError(gomega.ContainSubstring("not found")))
		})
	}
}

// expectMirroringTutorial has variant 2 come and go, and expects of requests what the tutorial says.
func (s *scene) expectMirroringTutorial() {
	s.Helper()
	const withoutV2 = "True Succeeded: no mirror to httpbin-v2:80: Service httpbin-v2 does not exist"
	s.Eventually(s.pods("httpbin-v1")).Should(gomega.HaveLen(1))
	policy := s.applied("httpbin-route")
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionReady)).Should(gomega.Equal(withoutV2))
	c := s.calling()
	headers := c.Get("/headers")
	const times = 20
	s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
	s.Expect(c.Send(times, headers)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
	s.Expect(s.received("httpbin-v2")).To(gomega.BeEmpty())

	s.kubectl("create", "-f", printed("mirroring/httpbin-v2.yaml"))
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionReady)).Should(gomega.Equal("True Succeeded: 1 object applied for v2 available"))
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionAccepted)).Should(gomega.HavePrefix("True Accepted: "))
	s.Eventually(s.states(policy)).Should(gomega.Equal([]string{"httpbin-v2:80 100% Active"}))
	s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"))
	s.forget("httpbin-v1", "httpbin-v2")
	s.Expect(c.Send(times, headers)).To(gomega.Equal(map[string]int{"httpbin-v1": times}), "no client gets an answer of variant 2")
	s.Eventually(s.count("httpbin-v2")).Should(gomega.Equal(times), "it gets the copies")
	s.Expect(dataplane.CheckCopies(s.received("httpbin-v1"), s.received("httpbin-v2"))).To(gomega.Succeed())

	s.kubectl("delete", "deploy/httpbin-v2", "svc/httpbin-v2")
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionReady)).Should(gomega.Equal(withoutV2))
	s.Expect(s.states(policy)()).To(gomega.Equal([]string{"httpbin-v2:80 0% Withheld"}))
	s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
	s.Expect(c.Send(times, headers)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
}

// printedValues are those of the printed routing policy.
func (s *scene) printedValues() *apiextensionsv1.JSON {
	s.Helper()
	text, err := os.ReadFile(printed("mirroring/routingpolicy.yaml"))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	var configMap corev1.ConfigMap
	s.Expect(yaml.Unmarshal(text, &configMap)).To(gomega.Succeed())
	var spec struct{ Values apiextensionsv1.JSON }
	s.Expect(yaml.Unmarshal([]byte(configMap.Data["spec"]), &spec)).To(gomega.Succeed())
	return &spec.Values
}

// What an Envoy does with the requests to reviews.
const (
	testersToV2       = "end-user=tester: reviews-v2; reviews-v1"
	testersMirrored   = "end-user=tester: reviews-v2, copies to mirror-v1 (100%); reviews-v1"
	testersToNoMirror = "end-user=tester: reviews-v2, copies to no endpoint (100%); reviews-v1"
)

// expectTesters expects of reviews what the document on mirroring in Istio says: all requests go to v1, but those of the user
// tester to v2, where they are copied to mirror if Envoy is to do that.
func (s *scene) expectTesters(c *httpClient, does string) {
	s.Helper()
	const times = 50
	s.Eventually(c.routing).Should(gomega.Equal(does))
	s.forget("reviews-v2", "mirror-v1")
	s.Expect(c.Send(times, c.Get("/reviews/1", "end-user", "jason"), c.Get("/reviews/1"))).To(gomega.Equal(map[string]int{"reviews-v1": times}))
	s.Expect(c.Send(times, c.Get("/reviews/1", "end-user", "tester"))).To(gomega.Equal(map[string]int{"reviews-v2": times}))
	if does != testersMirrored {
		s.Consistently(s.count("mirror-v1"), "200ms").Should(gomega.BeZero())
		return
	}
	s.Eventually(s.count("mirror-v1")).Should(gomega.Equal(times), "copies of testers' requests, and of no others")
	s.Expect(dataplane.CheckCopies(s.received("reviews-v2"), s.received("mirror-v1"))).To(gomega.Succeed())
}

// reviews deploys v1 to v3 of it, which the document takes as given, and returns a client of it.
func (s *scene) reviews() *httpClient {
	s.Helper()
	s.kubectl("apply", "-f", sample("istio/app.yaml"))
	for _, version := range []string{"reviews-v1", "reviews-v2"} {
		s.Eventually(s.pods(version)).Should(gomega.HaveLen(1))
	}
	return s.callingAt(s.sidecar(9080), "reviews:9080", dataplane.HTTP1)
}

func TestMirroringInIstioAsPrinted(t *testing.T) {
	s := newScene(t, sidecar)
	c := s.reviews()
	s.Eventually(c.routing).Should(gomega.Equal("reviews-v1+reviews-v2"))
	s.kubectl("apply", "-f", printed("istio/destinationrule.yaml"), "-f", printed("istio/mirror.yaml"), "-f", printed("istio/virtualservice.yaml"))
	s.expectTesters(c, testersMirrored)
	s.kubectl("delete", "-f", printed("istio/mirror.yaml"))
	s.expectTesters(c, testersToNoMirror)
}

// The same by a policy whose values are the printed manifests' own, while the printed mirror comes and goes.
func TestMirroringInIstioAsPrintedByAPolicy(t *testing.T) {
	s := newScene(t, sidecar)
	c := s.reviews()
	s.kubectl("apply", "-f", sample("istio/subject.yaml"))
	values := map[string]any{"subsets": s.spec("istio/destinationrule.yaml")["subsets"]}
	virtualService := s.spec("istio/virtualservice.yaml")
	values["hosts"], values["http"] = virtualService["hosts"], virtualService["http"]
	raw, err := yaml.Marshal(values)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	policy := &iter8v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: "reviews-route"},
		Spec: iter8v1alpha1.RoutingPolicySpec{
			SubjectRef: iter8v1alpha1.SubjectReference{Name: "reviews"},
			Trigger:    &iter8v1alpha1.Trigger{Variants: []string{"mirror"}},
			Chart:      &iter8v1alpha1.ChartReference{Name: "mirror-istio"},
			Values:     s.values(string(raw)),
		},
	}
	s.create(policy)
	s.Eventually(s.condition(policy, iter8v1alpha1.ConditionReady)).Should(gomega.HavePrefix("True Succeeded: "))
	s.expectTesters(c, testersToV2)
	s.Expect(s.condition(policy, iter8v1alpha1.ConditionAccepted)()).To(gomega.HavePrefix("Unknown NotReported: "), "Istio says nothing of VirtualServices")

	s.kubectl("apply", "-f", printed("istio/mirror.yaml"))
	s.kubectl("label", "deployment/mirror", "service/mirror", iter8v1alpha1.DetectLabel+"=true")
	s.expectTesters(c, testersMirrored)
	s.Eventually(s.states(policy)).Should(gomega.Equal([]string{"mirror 100% Unconfirmed"}))

	s.kubectl("delete", "-f", printed("istio/mirror.yaml"))
	s.expectTesters(c, testersToV2)
	s.Eventually(s.states(policy)).Should(gomega.Equal([]string{"mirror 0% Withheld"}))
}

// spec of the object in a printed manifest.
func (s *scene) spec(path string) map[string]any {
	s.Helper()
	text, err := os.ReadFile(printed(path))
	s.Expect(err).NotTo(gomega.HaveOccurred())
	var object struct{ Spec map[string]any }
	s.Expect(yaml.Unmarshal(text, &object)).To(gomega.Succeed())
	return object.Spec
}
