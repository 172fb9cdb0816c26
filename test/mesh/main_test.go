// Package mesh tests mirroring on a real mesh, but for its data plane: a control plane with the operator
// installed by Helm and running as a process of its own, a real istiod, Pods that answer on their own
// addresses, and in the sidecars' and the gateway's place the xDS-driven test proxy, which sends requests
// and their copies where istiod says.
package mesh

import (
	"context"
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
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	stop, err := start(ctx)
	defer stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if code != 0 {
		for _, p := range []*env.Process{operator.Process, istiod.Process} {
			log, _ := os.ReadFile(p.LogFile())
			fmt.Fprintf(os.Stderr, "%s ends:\n%s\n", p.LogFile(), log[max(0, len(log)-8000):])
		}
	}
	figures.Print(os.Stdout)
	return code
}

// start starts all that the tests share; stop ends what was started, also after an error.
func start(ctx context.Context) (stop func(), err error) {
	var stops []func() error
	stop = func() {
		for i := range stops {
			if err := stops[len(stops)-1-i](); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
	}
	releaseAddresses, err := claimPodAddresses()
	if err != nil {
		return stop, err
	}
	stops = append(stops, releaseAddresses)
	cluster, err = env.Start(ctx, env.Options{
		Workloads: true, IstioCRDs: true, AdmissionPlugins: []string{"OwnerReferencesPermissionEnforcement"},
	})
	if err != nil {
		return stop, err
	}
	stops = append(stops, cluster.Stop)
	if k8s, err = client.NewWithWatch(cluster.Config(), client.Options{Scheme: env.Scheme()}); err != nil {
		return stop, err
	}
	if servers, err = startFleet(cluster.Config()); err != nil {
		return stop, err
	}
	stops = append(stops, servers.stop)
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
	return stop, group.Wait()
}
