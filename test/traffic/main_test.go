// Package traffic tests what live requests do: a control plane with the operator installed by Helm and running as a process of
// its own, a real istiod and a real Envoy Gateway, real Envoys that they configure, and Pods that answer on their own
// addresses. What arrives there, and what Envoy says of itself, is what counts. All of it runs in a network namespace of its
// own.
package traffic

import (
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"iter8.tools/operator/test/dataplane"
	"iter8.tools/operator/test/env"
	"iter8.tools/operator/test/figures"
)

const systemNamespace = "iter8-system"

var (
	cluster      *env.Environment
	k8s          client.WithWatch
	operator     *env.Operator
	istiod       *env.Istiod
	envoyGateway *dataplane.EnvoyGateway
	pods         *dataplane.Pods
)

func TestMain(m *testing.M) {
	if err := dataplane.Isolate(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	gomega.SetDefaultEventuallyTimeout(30 * time.Second)
	gomega.SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	code := env.Suite{
		Options: env.Options{
			Workloads: true, IstioCRDs: true, EnvoyGatewayCRDs: true,
			AdmissionPlugins: []string{"OwnerReferencesPermissionEnforcement"},
		},
		Prepare: prepare,
		Allowed: allowed,
		Cleanup: stopPods,
	}.Run(m)
	figures.Print(os.Stdout)
	os.Exit(code)
}

// allowed are the errors that these tests make the operator log.
var allowed = []env.AllowedError{}

// prepare starts all that the tests share.
func prepare(ctx context.Context, e *env.Environment) (err error) {
	cluster = e
	if k8s, err = client.NewWithWatch(cluster.Config(), client.Options{Scheme: env.Scheme()}); err != nil {
		return err
	}
	if pods, err = dataplane.StartPods(cluster.Config()); err != nil {
		return err
	}
	var group errgroup.Group
	group.Go(func() (err error) {
		istiod, err = cluster.StartIstiod(ctx)
		return err
	})
	group.Go(func() (err error) {
		envoyGateway, err = dataplane.StartEnvoyGateway(ctx, cluster)
		return err
	})
	group.Go(func() error {
		installed, err := cluster.Install(ctx, systemNamespace, "--set", "legacy.enabled=true")
		if err != nil {
			return err
		}
		operator, err = installed.Run(ctx)
		return err
	})
	return group.Wait()
}

func stopPods() error {
	if pods == nil {
		return nil
	}
	return pods.Stop()
}
