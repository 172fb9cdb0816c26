// Package integration tests the operator as its users have it: installed with Helm on a real control plane,
// running as a process of its own with the rights that the chart gives it, and with the admission plugin
// OwnerReferencesPermissionEnforcement on.
package integration

import (
	"context"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"iter8.tools/operator/test/env"
)

const systemNamespace = "iter8-system"

var (
	cluster   *env.Environment
	k8s       client.Client
	installed *env.Installation
	operator  *env.Operator
)

// allowed are the errors that these tests make the operator log.
var allowed = []env.AllowedError{
	{Parts: []string{"Reconciler error", "bind a Role with these verbs"}, Because: "accounts that policies name are given no rights at first"},
	{Parts: []string{"Reconciler error", "denied request: not today"}, Because: "an admission policy refuses what is applied"},
	{Parts: []string{"Reconciler error", "HTTPRoute one", "context deadline exceeded"}, Because: "a webhook hangs on a scene's route"},
	{Parts: []string{"Reconciler error", "failed calling webhook"}, Because: "a webhook that is asked about a scene's routes doesn't answer"},
	{Parts: []string{"Reconciler error", "custom resource definition is terminating"}, Because: "a kind of routes is uninstalled"},
	{Parts: []string{"Reconciler error", `"name":"routes"`, "the cluster does not serve"}, Because: "a kind of routes is uninstalled"},
	{Parts: []string{"Reconciler error", `"name":"routes"`, "the server could not find the requested resource"}, Because: "a kind of routes is uninstalled"},
	{Parts: []string{"Reconciler error", ":router", "is forbidden"}, Because: "a scene's namespace goes, the rights of a policy's account before its Subject"},
	{Parts: []string{"Reconciler error", "httproutes.gateway.networking.k8s.io", "uid mismatch", "no existing object was found"},
		Because: "a route that is put right has been deleted meanwhile, with a scene's namespace, and the write is tried again"},
}

func TestMain(m *testing.M) {
	gomega.SetDefaultEventuallyTimeout(30 * time.Second)
	gomega.SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	os.Exit(env.Suite{
		Options: env.Options{Workloads: true, AdmissionPlugins: []string{"OwnerReferencesPermissionEnforcement"}},
		Prepare: prepare,
		Allowed: allowed,
	}.Run(m))
}

func prepare(ctx context.Context, e *env.Environment) (err error) {
	cluster, k8s = e, e.Client()
	if installed, err = cluster.Install(ctx, systemNamespace); err == nil {
		operator, err = installed.Run(ctx)
	}
	return err
}

// restart stops the operator in an orderly way, lets the test do something meanwhile, and starts it again.
func restart(t *testing.T, meanwhile func()) {
	t.Helper()
	g := gomega.NewWithT(t)
	g.Expect(operator.Stop(syscall.SIGTERM)).To(gomega.Succeed())
	defer func() { // also where what is done meanwhile fails, for the tests to come
		var err error
		operator, err = installed.Run(t.Context())
		g.Expect(err).NotTo(gomega.HaveOccurred())
	}()
	meanwhile()
}
