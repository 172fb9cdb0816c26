// Package crash tests what becomes of the operator's work when the operator dies in the middle of it: installed with
// Helm on a real control plane, running as a process of its own with its own rights, behind a proxy that sees each of
// its requests and kills it between two of them. Death by SIGKILL is that by memory limit, by node and by eviction, too.
package crash

import (
	"context"
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
	os.Exit(env.Suite{
		Options: env.Options{IstioCRDs: true, AdmissionPlugins: []string{"OwnerReferencesPermissionEnforcement"}},
		Prepare: prepare,
		Allowed: allowed,
	}.Run(m))
}

// allowed are the errors that these tests make the operator log.
var allowed = []env.AllowedError{
	{Parts: []string{`"logger":"leaderelection"`}, Because: "leaders are kept from their Lease, by a proxy and by another holder"},
	{Parts: []string{"Reconciler error", "the process was killed while it rendered"}, Because: "render workers are killed"},
	{Parts: []string{"sking what the cluster serves", "unable to handle the request"}, Because: "discovery fails at a start"},
	{Parts: []string{"Unable to write event", "EOF"}, Because: "an Event that is on its way when the operator is killed doesn't arrive"},
	{Parts: []string{"Reconciler error", "refused by a proxy"}, Because: "writes of one object of a plan are refused"},
	{Parts: []string{"Reconciler error", "unable to handle the request"}, Because: "an apiserver has faults that pass"},
	{Parts: []string{"Reconciler error", "has received too many requests"}, Because: "an apiserver puts off what is asked of it"},
	{Parts: []string{"Reconciler error", "in the time allotted"}, Because: "an apiserver times out"},
	{Parts: []string{"Reconciler error", "context deadline exceeded"}, Because: "an apiserver doesn't answer"},
	{Parts: []string{"Reconciler error", "exceeded quota"}, Because: "a quota is used up"},
	{Parts: []string{"Reconciler error", "starting a process"}, Because: "no file may be opened, and so no render worker started"},
	{Parts: []string{"Reconciler error", "EOF"}, Because: "connections end"},
	{Parts: []string{"Reconciler error", "asking what the cluster serves"}, Because: "discovery fails"},
	{Parts: []string{"sking what the cluster serves"}, Because: "discovery fails"},
	{Parts: []string{"iter8-operator: leader election lost"}, Because: "it ends then"},
}

func prepare(ctx context.Context, e *env.Environment) (err error) {
	cluster, k8s = e, e.Client()
	installed, err = cluster.Install(ctx, systemNamespace)
	return err
}
