// Package crash tests what becomes of the operator's work when the operator dies in the middle of it: installed with
// Helm on a real control plane, running as a process of its own with its own rights, behind a proxy that sees each of
// its requests and kills it between two of them. Death by SIGKILL is that by memory limit, by node and by eviction, too.
package crash

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"iter8.tools/operator/test/env"
)

const systemNamespace = "iter8-system"

var (
	cluster   *env.Environment
	k8s       client.Client
	installed *env.Installation
)

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(time.Minute)
	SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	cluster, err = env.Start(ctx, env.Options{IstioCRDs: true, AdmissionPlugins: []string{"OwnerReferencesPermissionEnforcement"}})
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
	if installed, err = cluster.Install(ctx, systemNamespace); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
