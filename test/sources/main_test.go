// Package sources tests charts from anywhere as users and attackers have them: chart repositories and registries on
// loopback, with TLS and authentication, and the operator, installed with Helm on a real control plane and running as
// a process of its own.
package sources

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"iter8.tools/operator/test/env"
	"iter8.tools/operator/test/figures"
)

const (
	systemNamespace = "iter8-system"
	// grantedNamespace has Secrets that the operator's chart lets the operator itself read.
	grantedNamespace = "granted"
	// home is where repositories are: the one loopback address that the operator may connect to. Decoys are at others,
	// of which localhost is a name.
	home = "127.0.0.2:0"
	// patience is how long the operator waits for a repository here; its default would have tests wait as well.
	patience = "3s"
)

var (
	cluster   *env.Environment
	k8s       client.Client
	installed *env.Installation
	operator  *env.Operator
	// logs are those of all processes of the operator there ever were.
	logs []string
)

func TestMain(m *testing.M) {
	SetDefaultEventuallyTimeout(30 * time.Second)
	SetDefaultEventuallyPollingInterval(50 * time.Millisecond)
	os.Exit(run(m))
}

func run(m *testing.M) int {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	var err error
	cluster, err = env.Start(ctx, env.Options{AdmissionPlugins: []string{"OwnerReferencesPermissionEnforcement"}})
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
	err = k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: grantedNamespace}})
	if err = errors.Join(err, install(ctx)); err == nil {
		err = begin(ctx)
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
	figures.Print(os.Stdout)
	return code
}

// install installs the operator's chart, with more values than what all tests need.
func install(ctx context.Context, more ...string) error {
	var err error
	installed, err = cluster.Install(ctx, systemNamespace, append([]string{"--reset-values", "--set", "charts.limits.timeout=" + patience,
		"--set-json", `charts.allowedAddresses=["` + strings.TrimSuffix(home, ":0") + `"]`,
		"--set-json", `charts.secrets=[{"namespace":"` + grantedNamespace + `","names":["ca","named"]}]`,
	}, more...)...)
	return err
}

func begin(ctx context.Context) error {
	var err error
	if operator, err = installed.Run(ctx); err != nil {
		return err
	}
	logs = append(logs, operator.LogFile())
	return nil
}

// restart stops the operator in an orderly way, lets the test do something meanwhile, and starts it again.
func restart(t *testing.T, meanwhile func()) {
	t.Helper()
	g := NewWithT(t)
	g.Expect(operator.Stop(syscall.SIGTERM)).To(Succeed())
	defer func() { // also where what is done meanwhile fails, for the tests to come
		g.Expect(begin(t.Context())).To(Succeed())
	}()
	meanwhile()
}
