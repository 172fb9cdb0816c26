package main

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/spf13/pflag"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestFlagsHaveDefaults(t *testing.T) {
	g := NewWithT(t)
	g.Expect(parseFlags(nil)).To(Equal(options{
		metricsAddress: ":8443", probeAddress: ":8081", logLevel: "info", concurrentPolicies: 8, concurrentSubjects: 1, maxWatchedKinds: 100, resync: 20 * time.Minute,
	}))
}

func TestFlagsAreTaken(t *testing.T) {
	g := NewWithT(t)
	g.Expect(parseFlags([]string{
		"--config=/etc/operator.yaml", "--metrics-bind-address=0", "--metrics-cert-dir=/certs", "--health-probe-bind-address", ":9",
		"--leader-elect", "--leader-election-namespace=system", "--log-level=debug", "--default-service-account=tenant", "--concurrent-policies=1", "--concurrent-subjects=2", "--max-watched-kinds=7", "--resync-interval=1h",
	})).To(Equal(options{
		configFile: "/etc/operator.yaml", metricsAddress: "0", metricsCertDir: "/certs", probeAddress: ":9",
		leaderElect: true, leaderElectionNamespace: "system", logLevel: "debug", defaultServiceAccount: "tenant", concurrentPolicies: 1, concurrentSubjects: 2, maxWatchedKinds: 7, resync: time.Hour,
	}))
}

func TestFlagsThatAreWrong(t *testing.T) {
	for name, test := range map[string]struct {
		args    []string
		message string
	}{
		"a flag that there isn't":      {[]string{"--metrics-addr=:1"}, "unknown flag: --metrics-addr"},
		"a value of the wrong type":    {[]string{"--concurrent-policies=many"}, `invalid argument "many" for "--concurrent-policies"`},
		"room for no kind at all":      {[]string{"--max-watched-kinds=0"}, "--max-watched-kinds: 0 is too few"},
		"an interval below nothing":    {[]string{"--resync-interval=-1s"}, "--resync-interval: -1s is negative"},
		"a flag without its value":     {[]string{"--config"}, "flag needs an argument: --config"},
		"something that is no flag":    {[]string{"--leader-elect", "false"}, `unexpected argument "false"; see --help`},
		"something after the last one": {[]string{"--", "start"}, `unexpected argument "start"; see --help`},
		"a lock-down to nobody":        {[]string{"--default-service-account="}, `--default-service-account: "" is not the name of a ServiceAccount: `},
		"a lock-down to no name":       {[]string{"--default-service-account=a:b"}, `--default-service-account: "a:b" is not the name of a ServiceAccount: `},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o, err := parseFlags(test.args)
			g.Expect(err).To(MatchError(ContainSubstring(test.message)))
			g.Expect(o).To(Equal(options{}))
		})
	}
}

func TestHelpIsAskedForAndNoFault(t *testing.T) {
	NewWithT(t).Expect(run(t.Context(), []string{"--help"})).To(MatchError(pflag.ErrHelp))
}

func TestTheOperatorDoesNotStart(t *testing.T) {
	folder := t.TempDir()
	broken := filepath.Join(folder, "broken.yaml")
	NewWithT(t).Expect(os.WriteFile(broken, []byte("watchNamespace: [a]"), 0o600)).To(Succeed())
	missing := filepath.Join(folder, "missing.yaml")

	for name, test := range map[string]struct {
		args    []string
		message string
	}{
		"with a flag that there isn't":         {[]string{"--no"}, "unknown flag: --no"},
		"with a level that there isn't":        {[]string{"--log-level=loud"}, `--log-level: unrecognized level: "loud"`},
		"without its configuration":            {[]string{"--config=" + missing}, "--config: open " + missing},
		"with a configuration that is wrong":   {[]string{"--config=" + broken}, "--config " + broken + `: reading the operator's configuration: `},
		"without a cluster that it could find": {[]string{"--kubeconfig=" + missing}, "finding the cluster: "},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(run(t.Context(), test.args)).To(MatchError(HavePrefix(test.message)))
		})
	}
}

func TestTheConfigurationIsReadFromItsFile(t *testing.T) {
	g := NewWithT(t)
	g.Expect(readConfig("")).To(Equal(configv1alpha1.Default()))
	file := filepath.Join(t.TempDir(), "operator.yaml")
	g.Expect(os.WriteFile(file, []byte("watchNamespaces: [a]"), 0o600)).To(Succeed())
	want := configv1alpha1.Default()
	want.WatchNamespaces = []string{"a"}
	g.Expect(readConfig(file)).To(Equal(want))
}

func TestTheManagerIsSetUpAsAsked(t *testing.T) {
	g := NewWithT(t)
	managed := managerOptions(
		options{leaderElect: true, leaderElectionNamespace: "system", metricsAddress: ":1", metricsCertDir: "/certs", probeAddress: ":2"},
		configv1alpha1.OperatorConfiguration{WatchNamespaces: []string{"a", "b"}})
	g.Expect(managed.Cache.DefaultNamespaces).To(And(HaveLen(2), HaveKey("a"), HaveKey("b")))
	g.Expect(managed.LeaderElection).To(BeTrue())
	g.Expect(managed.LeaderElectionReleaseOnCancel).To(BeTrue(), "a standby need not wait for the Lease's end")
	g.Expect(managed.LeaderElectionID).To(Equal("iter8-operator"))
	g.Expect(managed.LeaderElectionNamespace).To(Equal("system"))
	g.Expect(managed.Metrics.BindAddress).To(Equal(":1"))
	g.Expect(managed.Metrics.CertDir).To(Equal("/certs"))
	g.Expect(managed.Metrics.SecureServing).To(BeTrue())
	g.Expect(managed.Metrics.FilterProvider).NotTo(BeNil(), "metrics are not for everybody")
	g.Expect(managed.HealthProbeBindAddress).To(Equal(":2"))
	_, _, err := managed.Scheme.ObjectKinds(&iter8v1alpha1.RoutingPolicy{})
	g.Expect(err).NotTo(HaveOccurred())

	all := managerOptions(options{}, configv1alpha1.Default())
	g.Expect(all.Cache.DefaultNamespaces).To(BeEmpty(), "all namespaces")
	g.Expect(all.LeaderElection).To(BeFalse())
}

func TestControllersOfAStandbyAreWarm(t *testing.T) {
	g := NewWithT(t)
	controller := controllerOptions[ctrl.Request](3, slowestRetry)
	g.Expect(controller.MaxConcurrentReconciles).To(Equal(3))
	g.Expect(*controller.EnableWarmup).To(BeTrue())
}

func TestTheOperatorIsReadyOnceItsCachesAre(t *testing.T) {
	g := NewWithT(t)
	synced := false
	check := cachesSynced(&informertest.FakeInformers{Synced: &synced})
	request := httptest.NewRequest(http.MethodGet, "/readyz", http.NoBody)
	g.Expect(check(request)).To(MatchError(ContainSubstring("not filled yet")))
	synced = true
	g.Expect(check(request)).To(Succeed())
}
