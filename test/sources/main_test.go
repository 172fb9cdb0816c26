// Package sources tests charts from anywhere as users and attackers have them: chart repositories and registries on
// loopback, with TLS and authentication, and the operator, installed with Helm on a real control plane and running as
// a process of its own.
package sources

import (
	"context"
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
	code := env.Suite{
		Options: env.Options{AdmissionPlugins: []string{"OwnerReferencesPermissionEnforcement"}},
		Prepare: prepare,
		Allowed: allowed,
	}.Run(m)
	figures.Print(os.Stdout)
	os.Exit(code)
}

// allowed are the errors that these tests make the operator log.
var allowed = []env.AllowedError{
	{Parts: []string{"Reconciler error", "bind a Role with these verbs"}, Because: "accounts that policies name are given no rights"},
	{Parts: []string{"Reconciler error", "cannot impersonate"}, Because: "a policy names an account of another namespace, in disguise"},
}

func prepare(ctx context.Context, e *env.Environment) error {
	cluster, k8s = e, e.Client()
	if err := k8s.Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: grantedNamespace}}); err != nil {
		return err
	}
	if err := install(ctx); err != nil {
		return err
	}
	return begin(ctx)
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
