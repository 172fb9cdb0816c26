package integration

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// kubectl runs kubectl as an administrator, in the scene's namespace.
func (s *scene) kubectl(args ...string) string {
	s.Helper()
	kubeconfig := filepath.Join(s.TempDir(), "kubeconfig")
	s.Expect(cluster.Kubeconfig(kubeconfig)).To(gomega.Succeed())
	output, err := exec.CommandContext(s.Context(), cluster.KubectlPath(), append([]string{"--kubeconfig", kubeconfig, "--namespace", s.namespace}, args...)...).CombinedOutput()
	s.Expect(err).NotTo(gomega.HaveOccurred(), string(output))
	return string(output)
}

func TestWhatKubectlShows(t *testing.T) {
	s := newScene(t)
	subject, policy := s.tutorial()
	s.deploy("httpbin-v2")
	s.Eventually(s.ready(subject)).Should(gomega.Equal("True Observed: all variants are available"))
	s.Eventually(s.ready(policy)).Should(gomega.Equal("True Succeeded: 1 object applied for v2 available"))

	s.Expect(s.kubectl("get", "subjects")).To(gomega.MatchRegexp(
		`^NAME +AVAILABLE +VARIANTS +READY +STATUS +AGE\nhttpbin +2/2 +v1,v2 +True +all variants are available +\d+s\n$`))
	s.Expect(s.kubectl("get", "routingpolicies")).To(gomega.MatchRegexp(
		`^NAME +SUBJECT +MIRRORS +READY +ACCEPTED +STATUS +AGE\nhttpbin-route +httpbin +httpbin-v2:80 +True +Unknown +1 object applied for v2 available +\d+s\n$`))
	s.Expect(s.kubectl("get", "subj,rp", "-o", "name")).To(gomega.Equal("subject.iter8.tools/httpbin\nroutingpolicy.iter8.tools/httpbin-route\n"))
	s.Expect(s.kubectl("get", "iter8", "-o", "name")).To(gomega.ContainSubstring("routingpolicy.iter8.tools/httpbin-route"))
	s.Expect(s.kubectl("wait", "--for=condition=Ready", "subject/httpbin", "routingpolicy/httpbin-route", "--timeout=5s")).
		To(gomega.ContainSubstring("routingpolicy.iter8.tools/httpbin-route condition met"))
	explained := s.kubectl("explain", "routingpolicy.spec", "--recursive=false")
	for _, field := range []string{"subjectRef", "trigger", "chart", "values", "templates", "serviceAccountName", "interval", "suspend"} {
		s.Expect(explained).To(gomega.MatchRegexp(`(?m)^  ` + field + `\t<[^\n]+\n    \w+`))
	}
}

func TestNoFinalizerIsSetOrTaken(t *testing.T) {
	s := newScene(t)
	subject, policy := s.tutorial()
	deployment, service := s.deploy("httpbin-v2")
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	route := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "httpbin"}}
	objects := []client.Object{subject, policy, deployment, service, route}
	theirs := []string{"example.com/theirs", iter8v1alpha1.LegacyFinalizer}
	for _, object := range objects {
		s.Expect(k8s.Get(s.Context(), client.ObjectKeyFromObject(object), object)).To(gomega.Succeed())
		s.Expect(object.GetFinalizers()).To(gomega.BeEmpty(), "the operator sets none")
		s.Cleanup(func() { // the namespace goes only without them
			_ = k8s.Patch(context.Background(), object, client.RawPatch(types.MergePatchType, []byte(`{"metadata": {"finalizers": null}}`)))
		})
		patch(s, object, func(o client.Object) { o.SetFinalizers(theirs) })
	}

	s.delete(service)
	s.Eventually(s.route("httpbin")).Should(mirrorTo())
	s.Eventually(s.ready(subject)).Should(gomega.Equal("True Observed: variant v2 is not available: Service httpbin-v2 is being deleted"))
	s.Eventually(s.ready(policy)).Should(gomega.Equal("True Succeeded: no mirror to httpbin-v2:80: Service httpbin-v2 is being deleted"))
	for _, object := range objects {
		s.Expect(k8s.Get(s.Context(), client.ObjectKeyFromObject(object), object)).To(gomega.Succeed())
		s.Expect(object.GetFinalizers()).To(gomega.ConsistOf(theirs), "they stay after all that the operator writes")
	}
}

func TestAKindThatMayNotBeReadHoldsTheRoute(t *testing.T) {
	s := newScene(t)
	subject, policy := s.tutorial()
	s.deploy("httpbin-v2")
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))

	patch(s, subject, func(o *iter8v1alpha1.Subject) {
		o.Spec.Variants[1].Resources = append(o.Spec.Variants[1].Resources, iter8v1alpha1.ResourceReference{APIVersion: "v1", Kind: "Secret", Name: "key"})
	})
	s.Eventually(s.ready(subject)).Should(gomega.And(gomega.HavePrefix("False WatchFailed: variant v2: Secret key can't be read (v1 Secret): may not "),
		gomega.ContainSubstring(`User "`+operatorUser+`" cannot`)))
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("False VariantStateUnknown: variant v2 counts as available, as it was last known"))
	s.Expect(s.route("httpbin")()).To(mirrorTo("httpbin-v2"))
}

// readMetrics asks the operator for its metrics, with a token or without, and gives the status and the body; no
// status while nobody answers, as just after a start.
func (s *scene) readMetrics(token string) (int, string) {
	s.Helper()
	insecure := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}} //nolint:gosec // a certificate that was made up
	request, err := http.NewRequestWithContext(s.Context(), http.MethodGet, "https://"+operator.MetricsAddress+"/metrics", http.NoBody)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := insecure.Do(request)
	if err != nil {
		return 0, ""
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	return response.StatusCode, string(body)
}

// metricsToken is that of a ServiceAccount which nothing is allowed yet.
func (s *scene) metricsToken() string {
	s.Helper()
	s.create(&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "prometheus"}})
	config, err := cluster.ServiceAccountConfig(s.Context(), s.namespace, "prometheus")
	s.Expect(err).NotTo(gomega.HaveOccurred())
	return config.BearerToken
}

// allowMetrics lets that ServiceAccount read the metrics, until the test ends.
func (s *scene) allowMetrics() {
	s.Helper()
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: s.namespace},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "iter8-operator-metrics-reader"},
		Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.namespace, Name: "prometheus"}}}
	s.create(binding)
	s.Cleanup(func() { _ = k8s.Delete(context.Background(), binding) })
}

func TestMetricsAreForThoseWhoMayReadThem(t *testing.T) {
	s := newScene(t)
	token := s.metricsToken()
	s.Eventually(func() int {
		code, _ := s.readMetrics("")
		return code
	}).Should(gomega.Equal(http.StatusUnauthorized))
	code, _ := s.readMetrics(token)
	s.Expect(code).To(gomega.Equal(http.StatusForbidden))

	s.allowMetrics()
	s.Eventually(func(g gomega.Gomega) {
		code, body := s.readMetrics(token)
		g.Expect(code).To(gomega.Equal(http.StatusOK))
		g.Expect(body).To(gomega.ContainSubstring(`controller_runtime_reconcile_total{controller="routingpolicy"`))
	}, "60s").Should(gomega.Succeed())
}

func TestAnOperatorForSomeNamespacesKeepsToThem(t *testing.T) {
	inside, outside := newScene(t), newScene(t)
	reinstall := func(values ...string) {
		_, err := cluster.Install(t.Context(), systemNamespace, values...)
		inside.Expect(err).NotTo(gomega.HaveOccurred())
	}
	restart(t, func() { reinstall("--set", "watchNamespaces={"+inside.namespace+"}") })
	defer restart(t, func() { reinstall("--reset-values") })

	outside.deploy("httpbin-v1")
	outside.create(outside.httpbin(), outside.mirrorPolicy("httpbin-route", "httpbin"))
	_, policy := inside.tutorial()
	deployment, service := inside.deploy("httpbin-v2")
	inside.Eventually(inside.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	inside.delete(deployment, service)
	inside.Eventually(inside.route("httpbin")).Should(mirrorTo())
	inside.Eventually(inside.ready(policy)).Should(gomega.HavePrefix("True"))
	outside.Expect(outside.route("httpbin")()).To(gomega.BeNil())
}
