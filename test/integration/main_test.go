// Package integration tests the operator as its users have it: installed with Helm on a real control plane,
// running as a process of its own with the rights that the chart gives it, and with the admission plugin
// OwnerReferencesPermissionEnforcement on.
package integration

import (
	"context"
	"fmt"
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

func TestMain(m *testing.M) {
	gomega.SetDefaultEventuallyTimeout(30 * time.Second)
	gomega.SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	cluster, err = env.Start(ctx, env.Options{Workloads: true, AdmissionPlugins: []string{"OwnerReferencesPermissionEnforcement"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() {
		if err := cluster.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}()
	k8s = cluster.Client()
	if installed, err = cluster.Install(ctx, systemNamespace); err == nil {
		operator, err = installed.Run(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if code != 0 {
		log, _ := os.ReadFile(operator.LogFile())
		fmt.Fprintf(os.Stderr, "the operator's log ends:\n%s\n", log[max(0, len(log)-8000):])
	}
	return code
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
