// Package mesh tests mirroring on a real mesh, but for its data plane: a control plane with the operator
// installed by Helm and running as a process of its own, a real istiod, Pods that answer on their own
// addresses, and in the sidecars' and the gateway's place the xDS-driven test proxy, which sends requests
// and their copies where istiod says.
package mesh

import (
	"context"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"golang.org/x/sync/errgroup"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"iter8.tools/operator/test/env"
	"iter8.tools/operator/test/figures"
)

const systemNamespace = "iter8-system"

var (
	cluster  *env.Environment
	k8s      client.WithWatch
	operator *env.Operator
	istiod   *env.Istiod
	servers  *fleet
)

func TestMain(m *testing.M) {
	gomega.SetDefaultEventuallyTimeout(30 * time.Second)
	gomega.SetDefaultEventuallyPollingInterval(20 * time.Millisecond)
	releaseAddresses, err := claimPodAddresses()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := env.Suite{
		Options: env.Options{
			Workloads: true, IstioCRDs: true, AdmissionPlugins: []string{"OwnerReferencesPermissionEnforcement"},
		},
		Prepare: prepare,
		Allowed: allowed,
		Cleanup: func() error { return errors.Join(stopFleet(), releaseAddresses()) },
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
	if servers, err = startFleet(cluster.Config()); err != nil {
		return err
	}
	var group errgroup.Group
	group.Go(func() (err error) {
		istiod, err = cluster.StartIstiod(ctx)
		return err
	})
	group.Go(func() error {
		installed, err := cluster.Install(ctx, systemNamespace)
		if err != nil {
			return err
		}
		operator, err = installed.Run(ctx)
		return err
	})
	return group.Wait()
}

func stopFleet() error {
	if servers == nil {
		return nil
	}
	return servers.stop()
}
