// Package lifecycle tests what comes before the operator and after it: what a cluster has when it is installed, what
// an upgrade leaves as it is, and what stays when it is uninstalled. Each test has a control plane of its own.
package lifecycle

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/go-logr/logr"
	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

const (
	systemNamespace = "iter8-system"
	operatorUser    = "system:serviceaccount:" + systemNamespace + ":" + env.Release
)

func TestMain(m *testing.M) {
	log.SetLogger(logr.Discard()) // envtest's
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	os.Exit(m.Run())
}

// allowed are the errors that these tests make operators log.
var allowed = []env.AllowedError{
	{Parts: []string{"is forbidden"}, Because: "helm uninstall takes the rights away before the process is stopped"},
	{Parts: []string{`"error":"Unauthorized"`}, Because: "it takes the account away, and with it what its token says"},
	{Parts: []string{"Failed to watch", "could not find the requested resource"}, Because: "it takes the operator's kinds away, too"},
}

// world is the cluster of one test, in whose namespace default the tutorial takes place.
type world struct {
	*testing.T
	*WithT
	cluster    *env.Environment
	k8s        client.Client
	kubeconfig string
}

// newWorld starts a control plane, which ends with the test.
func newWorld(t *testing.T, options env.Options) *world {
	t.Helper()
	w := &world{T: t, WithT: NewWithT(t), kubeconfig: filepath.Join(t.TempDir(), "kubeconfig")}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	options.Workloads = true
	options.OnOperatorEnd = func(err error) { // what the test still waits for won't come; env's reaper clears up
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	var err error
	w.cluster, err = env.Start(ctx, options)
	w.Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() {
		judgement := w.cluster.Judge(allowed...)
		w.Expect(errors.Join(judgement, w.cluster.Stop())).To(Succeed())
	})
	w.k8s = w.cluster.Client()
	w.Expect(w.cluster.Kubeconfig(w.kubeconfig)).To(Succeed())
	return w
}

// run runs a program at the top of the repository, as an administrator, and returns what it prints.
func (w *world) run(program string, args ...string) string {
	w.Helper()
	command := exec.CommandContext(w.Context(), program, args...)
	command.Dir = w.cluster.ModuleRoot()
	dir := w.cluster.Dir()
	command.Env = append(os.Environ(), "KUBECONFIG="+w.kubeconfig, "HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir)
	var failure bytes.Buffer
	command.Stderr = &failure
	output, err := command.Output()
	w.Expect(err).NotTo(HaveOccurred(), failure.String())
	return string(output)
}

func (w *world) kubectl(args ...string) string {
	w.Helper()
	return w.run(w.cluster.KubectlPath(), args...)
}

func (w *world) helm(args ...string) string {
	w.Helper()
	return w.run(w.cluster.HelmPath(), args...)
}

// install installs the operator's chart, or upgrades what is installed to it, and returns what helm prints.
func (w *world) install(values ...string) string {
	w.Helper()
	return w.helm(w.cluster.HelmInstallArgs(systemNamespace, values...)...)
}

// start runs the operator as it is installed, and waits until it acts: one whose rights went before it ended has left
// its Lease to expire.
func (w *world) start() *env.Operator {
	w.Helper()
	before, err := w.leader()
	w.Expect(err).NotTo(HaveOccurred())
	operator, err := w.cluster.Installed(systemNamespace).Run(w.Context())
	w.Expect(err).NotTo(HaveOccurred())
	w.Eventually(w.leader).ShouldNot(Or(BeEmpty(), Equal(before)))
	return operator
}

// leader polls who holds the operator's Lease; empty while there is none.
func (w *world) leader() (string, error) {
	lease := &coordinationv1.Lease{}
	err := w.k8s.Get(w.Context(), types.NamespacedName{Namespace: systemNamespace, Name: "iter8-operator"}, lease)
	if err != nil || lease.Spec.HolderIdentity == nil {
		return "", client.IgnoreNotFound(err)
	}
	return *lease.Spec.HolderIdentity, nil
}

// restart replaces the operator by one with the arguments and the configuration that are installed now.
func (w *world) restart(operator *env.Operator) *env.Operator {
	w.Helper()
	w.Expect(operator.Stop(syscall.SIGTERM)).To(Succeed())
	return w.start()
}

// tutorial applies all of it, with both variants, and waits until all is said of that.
func (w *world) tutorial() {
	w.Helper()
	w.kubectl("apply", "-k", "config/samples")
	w.Eventually(w.mirrors("httpbin")).Should(Equal("httpbin-v2"))
	w.Eventually(w.ready("httpbin-route")).Should(Equal("True Succeeded: 1 object applied for v2 available"))
	w.Eventually(func() (string, error) {
		var subject iter8v1alpha1.Subject
		err := w.k8s.Get(w.Context(), inDefault("httpbin"), &subject)
		return subject.Status.Available, err
	}).Should(Equal("2/2"))
}

// followsV2 has variant 2 go and come, and waits until the route has followed.
func (w *world) followsV2() {
	w.Helper()
	w.kubectl("delete", "-f", "config/samples/httpbin-v2.yaml")
	w.Eventually(w.mirrors("httpbin")).Should(Equal("nothing"))
	w.kubectl("apply", "-f", "config/samples/httpbin-v2.yaml")
	w.Eventually(w.mirrors("httpbin")).Should(Equal("httpbin-v2"))
}

func inDefault(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: metav1.NamespaceDefault, Name: name}
}

// mirrors polls where the one rule of a route mirrors to.
func (w *world) mirrors(route string) func() (string, error) {
	return func() (string, error) {
		var r gatewayv1.HTTPRoute
		if err := w.k8s.Get(w.Context(), inDefault(route), &r); err != nil {
			return "", err
		}
		if filters := r.Spec.Rules[0].Filters; len(filters) > 0 {
			return string(filters[0].RequestMirror.BackendRef.Name), nil
		}
		return "nothing", nil
	}
}

// ready polls the condition Ready of a policy, as "status reason: message".
func (w *world) ready(policy string) func() (string, error) { return w.condition(policy, "Ready") }

func (w *world) condition(policy, conditionType string) func() (string, error) {
	return func() (string, error) {
		var p iter8v1alpha1.RoutingPolicy
		if err := w.k8s.Get(w.Context(), inDefault(policy), &p); err != nil {
			return "", err
		}
		c := meta.FindStatusCondition(p.Status.Conditions, conditionType)
		if c == nil || c.ObservedGeneration != p.Generation {
			return "", nil
		}
		return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message), nil
	}
}

// versions are the uids and resourceVersions of the tutorial's Subject, policy and route: none changes without a write.
func (w *world) versions() map[string]string {
	w.Helper()
	versions := map[string]string{}
	for name, object := range map[string]client.Object{
		"httpbin": &iter8v1alpha1.Subject{}, "httpbin-route": &iter8v1alpha1.RoutingPolicy{},
	} {
		w.Expect(w.k8s.Get(w.Context(), inDefault(name), object)).To(Succeed())
		versions[name] = string(object.GetUID()) + " " + object.GetResourceVersion()
	}
	route := &gatewayv1.HTTPRoute{}
	w.Expect(w.k8s.Get(w.Context(), inDefault("httpbin"), route)).To(Succeed())
	versions["its route"] = string(route.UID) + " " + route.ResourceVersion
	return versions
}

// operatorWrites polls what the operator has written since a moment to what a policy consists of, or routes by.
func (w *world) operatorWrites(since time.Time) func() ([]string, error) {
	return func() ([]string, error) {
		events, err := w.cluster.AuditEvents(func(e env.AuditEvent) bool {
			return e.IsWrite() && e.User == operatorUser && e.Time.After(since) &&
				slices.Contains([]string{"subjects", "routingpolicies", "httproutes"}, e.Resource)
		})
		writes := []string{}
		for _, e := range events {
			writes = append(writes, e.Verb+" "+e.Resource+" "+e.Name)
		}
		return writes, err
	}
}

// gone polls whether the apiserver has no such object, or no such kind.
func (w *world) gone(object client.Object, name string) func() (bool, error) {
	return func() (bool, error) {
		err := w.k8s.Get(w.Context(), inDefault(name), object)
		if apierrors.IsNotFound(err) || meta.IsNoMatchError(err) {
			return true, nil
		}
		return false, err
	}
}

// beGone matches what gone polls.
func beGone() gomegatypes.GomegaMatcher { return BeTrue() }

// apply has kubectl apply manifests in namespace default.
func (w *world) apply(manifests string) {
	w.Helper()
	file := filepath.Join(w.TempDir(), "manifests.yaml")
	w.Expect(os.WriteFile(file, []byte(manifests), 0o600)).To(Succeed())
	w.kubectl("apply", "-f", file)
}
