package lifecycle

import (
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// uninstall removes the release, and ends the operator as its Pods would end.
func (w *world) uninstall(operator *env.Operator) string {
	w.Helper()
	printed := w.helm("uninstall", env.Release, "--namespace", systemNamespace, "--wait")
	w.Expect(operator.Stop(syscall.SIGTERM)).To(Succeed())
	return printed
}

// remaining polls what there is of the release, of whatever kind.
func (w *world) remaining() []string {
	w.Helper()
	kinds := strings.Fields(w.kubectl("api-resources", "--verbs=list", "--output=name"))
	return strings.Fields(w.kubectl("get", strings.Join(kinds, ","), "--all-namespaces", "--selector=app.kubernetes.io/instance="+env.Release, "--output=name"))
}

func TestUninstallingLeavesCRDsPoliciesAndRoutesAndInstallingAgainTakesThemUp(t *testing.T) {
	t.Parallel()
	w := newWorld(t, env.Options{})
	w.Expect(w.install()).NotTo(ContainSubstring("crds.keep"))
	operator := w.start()
	w.tutorial()
	before := w.versions()

	printed := w.uninstall(operator)
	crds := []string{"customresourcedefinition.apiextensions.k8s.io/routingpolicies.iter8.tools", "customresourcedefinition.apiextensions.k8s.io/subjects.iter8.tools"}
	w.Expect(printed).To(ContainSubstring("kept due to the resource policy"))
	w.Eventually(w.remaining, "60s", "1s").Should(ConsistOf(crds))
	w.Expect(w.versions()).To(Equal(before))

	since := time.Now()
	w.install()
	operator = w.start()
	w.Consistently(w.operatorWrites(since), "5s", "500ms").Should(BeEmpty())
	w.Expect(w.versions()).To(Equal(before))
	w.followsV2()

	w.uninstall(operator)
	w.kubectl("delete", "--timeout=10s", "-f", "config/samples/subject.yaml", "-f", "config/samples/routingpolicy.yaml")
	w.Eventually(w.gone(&gatewayv1.HTTPRoute{}, "httpbin"), "90s").Should(beGone(), "the garbage collector takes what a policy has applied")
}

func TestUninstallingWithoutKeepingCRDsLeavesTheAppOnly(t *testing.T) {
	t.Parallel()
	w := newWorld(t, env.Options{})
	w.Expect(w.install("--set", "crds.keep=false")).To(ContainSubstring("crds.keep is false: uninstalling this release deletes every Subject and RoutingPolicy of the cluster."))
	operator := w.start()
	w.tutorial()
	// The garbage collector looks for kinds that are new to it every 30 seconds, and sees to those that it knows.
	w.apply(edge)
	w.Eventually(w.mirrors("edge")).Should(Equal("nothing"))
	w.kubectl("delete", "routingpolicy", "edge-route")
	w.Eventually(w.gone(&gatewayv1.HTTPRoute{}, "edge"), "90s").Should(beGone())

	w.uninstall(operator)
	w.Eventually(w.gone(&iter8v1alpha1.RoutingPolicy{}, "httpbin-route")).Should(beGone())
	w.Eventually(w.gone(&iter8v1alpha1.Subject{}, "httpbin")).Should(beGone())
	w.Eventually(w.gone(&gatewayv1.HTTPRoute{}, "httpbin"), "90s").Should(beGone(), "what policies have applied stays as long as the policies do")
	w.Eventually(w.remaining, "60s", "1s").Should(BeEmpty())
	for _, name := range []string{"httpbin-v1", "httpbin-v2"} {
		w.Expect(w.gone(&appsv1.Deployment{}, name)()).NotTo(beGone())
		w.Expect(w.gone(&corev1.Service{}, name)()).NotTo(beGone())
	}
}
