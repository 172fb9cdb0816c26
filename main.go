// iter8-operator keeps traffic mirrors in step with the variants of applications.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	goflag "flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"time"

	"github.com/spf13/pflag"
	"go.uber.org/zap/zapcore"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	clientconfig "sigs.k8s.io/controller-runtime/pkg/client/config"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	"iter8.tools/operator/charts"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/chart"
	"iter8.tools/operator/controllers/gateways"
	"iter8.tools/operator/controllers/notify"
	"iter8.tools/operator/controllers/observe"
	"iter8.tools/operator/controllers/render"
	"iter8.tools/operator/controllers/render/worker"
	"iter8.tools/operator/controllers/routingpolicy"
	"iter8.tools/operator/controllers/subject"
	"iter8.tools/operator/controllers/sweep"
	"iter8.tools/operator/conversion"
	conversioncontroller "iter8.tools/operator/conversion/controller"
)

// What the operator needs besides its controllers: a Lease to be elected by (and Events that tell of that), and the apiserver's word on who
// may read its metrics.
// +kubebuilder:rbac:groups="",namespace=system,resources=events,verbs=create;patch
// +kubebuilder:rbac:groups=coordination.k8s.io,namespace=system,resources=leases,verbs=get;create;update;patch
// +kubebuilder:rbac:groups=authentication.k8s.io,resources=tokenreviews,verbs=create
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

const (
	leaseName = "iter8-operator"

	// What fails is tried again with growing delays, up to slowestRetry; a Subject's status, which is one write, up to slowestReport.
	firstRetry    = 200 * time.Millisecond
	slowestRetry  = time.Minute
	slowestReport = 10 * time.Second

	// heapGrowth is by how many percent the heap may grow before garbage is collected, unless GOGC says otherwise. Most of it is what the
	// caches hold: a third of Go's own value costs next to no time and saves a quarter of the memory.
	heapGrowth = 30
)

// options are the flags: how the process runs. What the operator does is in the file that --config names.
type options struct {
	configFile              string
	metricsAddress          string
	metricsCertDir          string
	probeAddress            string
	leaderElect             bool
	leaderElectionNamespace string
	logLevel                string
	defaultServiceAccount   string
	concurrentPolicies      int
	concurrentSubjects      int
	maxWatchedKinds         int
	resync                  time.Duration
}

func main() {
	worker.ServeIfAsked()
	if err := run(ctrl.SetupSignalHandler(), os.Args[1:]); err != nil && !errors.Is(err, pflag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "iter8-operator:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (options, error) {
	var o options
	flags := pflag.NewFlagSet("iter8-operator", pflag.ContinueOnError)
	flags.StringVar(&o.configFile, "config", "", "file with the operator's configuration; without it the defaults apply")
	flags.StringVar(&o.metricsAddress, "metrics-bind-address", ":8443", "address for metrics over HTTPS, for clients that the apiserver authorizes; 0 for none")
	flags.StringVar(&o.metricsCertDir, "metrics-cert-dir", "", "folder with tls.crt and tls.key for the metrics; without one a self-signed certificate is generated")
	flags.StringVar(&o.probeAddress, "health-probe-bind-address", ":8081", "address for /healthz and /readyz")
	flags.BoolVar(&o.leaderElect, "leader-elect", false, "act only while holding the Lease, so that several replicas can run")
	flags.StringVar(&o.leaderElectionNamespace, "leader-election-namespace", "", "namespace of the Lease; without it that of the Pod")
	flags.StringVar(&o.logLevel, "log-level", "info", "info or debug")
	flags.StringVar(&o.defaultServiceAccount, "default-service-account", "", "ServiceAccount in the policy's namespace that acts for policies that name none; without it the operator itself acts")
	flags.IntVar(&o.concurrentPolicies, "concurrent-policies", 8, "number of RoutingPolicies that are reconciled at once")
	flags.IntVar(&o.concurrentSubjects, "concurrent-subjects", 1, "number of Subjects whose status is written at once; more compete with the routes")
	flags.IntVar(&o.maxWatchedKinds, "max-watched-kinds", 100, "number of kinds that Subjects can have watched, of which one whose objects a readyWhen.cel looks at counts as another one")
	flags.DurationVar(&o.resync, "resync-interval", 20*time.Minute, "about how often each Subject and RoutingPolicy is looked at though nothing tells of it, from half as long to half as long again; what is as it should be costs no request; 0 for never")
	kubeconfig := goflag.NewFlagSet("", goflag.ContinueOnError)
	clientconfig.RegisterFlags(kubeconfig)
	flags.AddGoFlagSet(kubeconfig)
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	if flags.NArg() > 0 {
		return options{}, fmt.Errorf("unexpected argument %q; see --help", flags.Arg(0))
	}
	if problems := validation.IsDNS1123Subdomain(o.defaultServiceAccount); flags.Changed("default-service-account") && len(problems) > 0 {
		// An empty name, above all, would leave policies with the operator's rights.
		return options{}, fmt.Errorf("--default-service-account: %q is not the name of a ServiceAccount: %s", o.defaultServiceAccount, problems[0])
	}
	if o.maxWatchedKinds < 1 {
		return options{}, fmt.Errorf("--max-watched-kinds: %d is too few", o.maxWatchedKinds)
	}
	if o.resync < 0 {
		return options{}, fmt.Errorf("--resync-interval: %s is negative", o.resync)
	}
	return o, nil
}

func run(ctx context.Context, args []string) error {
	o, err := parseFlags(args)
	if err != nil {
		return err
	}
	level, err := zapcore.ParseLevel(o.logLevel)
	if err != nil {
		return fmt.Errorf("--log-level: %w", err)
	}
	logger := zap.New(zap.Level(level), zap.StacktraceLevel(zapcore.PanicLevel))
	ctrl.SetLogger(logger)
	klog.SetLogger(logger)

	config, err := readConfig(o.configFile)
	if err != nil {
		return err
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(heapGrowth)
	}
	restConfig, err := clientconfig.GetConfig()
	if err != nil {
		return fmt.Errorf("finding the cluster: %w", err)
	}
	restConfig.UserAgent = rest.DefaultKubernetesUserAgent()
	restConfig.QPS = -1 // the apiserver's priority and fairness decides, not a client that knows only itself
	restConfig.WarningHandler = rest.NoWarnings{}

	mgr, err := ctrl.NewManager(restConfig, managerOptions(o, config))
	if err != nil {
		return err
	}
	if err := setup(ctx, mgr, o, config); err != nil {
		return err
	}
	return mgr.Start(ctx)
}

func readConfig(file string) (configv1alpha1.OperatorConfiguration, error) {
	if file == "" {
		return configv1alpha1.Default(), nil
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return configv1alpha1.OperatorConfiguration{}, fmt.Errorf("--config: %w", err)
	}
	config, err := configv1alpha1.Parse(data)
	if err != nil {
		return configv1alpha1.OperatorConfiguration{}, fmt.Errorf("--config %s: %w", file, err)
	}
	return config, nil
}

// setup wires what the operator consists of: what watches, what reconciles, and what tells of its health.
func setup(ctx context.Context, mgr ctrl.Manager, o options, config configv1alpha1.OperatorConfiguration) error {
	dynamicClient, err := dynamic.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return err
	}
	metadataClient, err := metadata.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return err
	}
	discoveryClient, err := discovery.NewDiscoveryClientForConfigAndClient(mgr.GetConfig(), bounded(mgr.GetHTTPClient()))
	if err != nil {
		return err
	}
	builtIn, err := chart.LoadBuiltIn(charts.FS)
	if err != nil {
		return err
	}
	kinds := make([]schema.GroupKind, 0, len(config.RouteKinds))
	for _, k := range config.RouteKinds {
		kinds = append(kinds, schema.GroupKind{Group: k.Group, Kind: k.Kind})
	}

	// What learns of changes comes before what reconciles them.
	var changedPolicies, changedSubjects notify.Notifier
	watching := observe.Options{
		Subjects: mgr.GetCache(), Dynamic: dynamicClient, Metadata: metadataClient, Mapper: mgr.GetRESTMapper(), Config: config,
		Notify: changedSubjects.Notify, MaxKinds: o.maxWatchedKinds,
	}
	if config.Legacy.Enabled {
		if err := setupLegacy(mgr, config.Legacy, metadataClient, &watching); err != nil {
			return err
		}
	}
	observer := observe.New(ctx, watching)
	capabilities := routingpolicy.NewCapabilities(discoveryClient, kinds, changedPolicies.Notify)
	workerOptions := worker.Defaults
	workerOptions.Notify = changedPolicies.Notify
	workers := worker.New(workerOptions)
	sources, err := chart.NewSources(chart.Options{BuiltIn: builtIn, Charts: config.Charts, Notify: changedPolicies.Notify})
	if err != nil {
		return err
	}
	for _, runnable := range []interface{ Start(context.Context) error }{observer, capabilities, workers, sources} {
		if err := mgr.Add(runnable); err != nil {
			return err
		}
	}
	routes := apply.NewCache(ctx, apply.CacheOptions{
		Client: dynamicClient, Mapper: mgr.GetRESTMapper(), Namespaces: config.WatchNamespaces, Notify: changedPolicies.Notify,
		Versions: capabilities.Versions,
	})
	attached := gateways.New(ctx, gateways.Options{
		Client: dynamicClient, Mapper: mgr.GetRESTMapper(), Namespaces: config.WatchNamespaces, Notify: changedPolicies.Notify,
	})

	subjects := &subject.Reconciler{Client: mgr.GetClient(), Observer: observer, Subjects: &changedSubjects, Resync: o.resync}
	if err := subjects.SetupWithManager(mgr, controllerOptions[ctrl.Request](o.concurrentSubjects, slowestReport)); err != nil {
		return err
	}
	build, err := buildOf(os.Executable)
	if err != nil {
		return err
	}
	policies := &routingpolicy.Reconciler{
		Client:              mgr.GetClient(),
		Policies:            &changedPolicies,
		Subjects:            &changedSubjects,
		Reader:              mgr.GetAPIReader(),
		Observer:            observer,
		Charts:              sources,
		Capabilities:        capabilities,
		Renders:             render.NewMemory(workers),
		Routes:              routes,
		Gateways:            attached,
		Executor:            &apply.Executor{Mapper: mgr.GetRESTMapper(), Cache: routes},
		Accounts:            apply.NewAccounts(mgr.GetConfig(), dynamicClient, o.defaultServiceAccount),
		Recorder:            mgr.GetEventRecorder("iter8-operator"),
		Kinds:               kinds,
		Build:               build,
		Namespaces:          config.WatchNamespaces,
		Resync:              o.resync,
		UnknownGrace:        config.Mirrors.UnknownGrace.Duration,
		AllowCrossNamespace: config.AllowCrossNamespaceReferences,
	}
	if err := policies.SetupWithManager(ctx, mgr, controllerOptions[ctrl.Request](o.concurrentPolicies, slowestRetry)); err != nil {
		return err
	}
	leftovers := sweep.New(ctx, sweep.Options{
		Policies: mgr.GetClient(), Reader: mgr.GetAPIReader(), Client: dynamicClient, Mapper: mgr.GetRESTMapper(),
		Namespaces: config.WatchNamespaces, Served: capabilities.Served, Changed: &changedPolicies, Ask: capabilities.Ask,
	})
	if err := leftovers.SetupWithManager(mgr, controllerOptions[sweep.Object](sweep.Concurrent, slowestRetry)); err != nil {
		return err
	}
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return err
	}
	return mgr.AddReadyzCheck("caches", cachesSynced(mgr.GetCache()))
}

// buildOf returns the digest of a program.
func buildOf(executable func() (string, error)) (string, error) {
	path, err := executable()
	if err != nil {
		return "", fmt.Errorf("finding the operator's own program: %w", err)
	}
	program, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = program.Close() }()
	hash := sha256.New()
	if _, err := io.Copy(hash, program); err != nil {
		return "", fmt.Errorf("reading the operator's own program: %w", err)
	}
	return hex.EncodeToString(hash.Sum(nil)), nil
}

// setupLegacy wires what Iter8's ConfigMaps need.
func setupLegacy(mgr ctrl.Manager, config configv1alpha1.Legacy, metadataClient metadata.Interface, watching *observe.Options) error {
	converter := &conversioncontroller.Reconciler{
		Client:      mgr.GetClient(),
		Recorder:    mgr.GetEventRecorder("iter8-operator"),
		Options:     conversion.Options{ResourceTypes: config.ResourceTypes, ChartRepositoryAliases: config.ChartRepositoryAliases},
		GracePeriod: config.GracePeriod.Duration,
	}
	if config.NamespaceSelector != nil {
		selector, err := metav1.LabelSelectorAsSelector(config.NamespaceSelector)
		if err != nil {
			return fmt.Errorf("legacy.namespaceSelector: %w", err)
		}
		converter.Namespaces = selector
	}
	if err := converter.SetupWithManager(mgr, controllerOptions[ctrl.Request](1, slowestRetry)); err != nil {
		return err
	}
	if !config.RemoveFinalizers {
		return nil
	}
	finalizers := conversioncontroller.NewFinalizers(metadataClient, mgr.GetRESTMapper())
	watching.OnLegacyFinalizer = finalizers.Found
	return finalizers.SetupWithManager(mgr, controllerOptions[conversioncontroller.Resource](1, slowestRetry))
}

func controllerOptions[R comparable](concurrent int, slowest time.Duration) controller.TypedOptions[R] {
	warm := true
	return controller.TypedOptions[R]{
		MaxConcurrentReconciles: concurrent,
		EnableWarmup:            &warm,
		RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[R](firstRetry, slowest),
	}
}

// cachesSynced is ready once the Subjects and policies are known, in a standby too.
func cachesSynced(c cache.Cache) healthz.Checker {
	return func(request *http.Request) error {
		ctx, cancel := context.WithTimeout(request.Context(), 100*time.Millisecond)
		defer cancel()
		if !c.WaitForCacheSync(ctx) {
			return errors.New("the caches of Subjects and RoutingPolicies are not filled yet")
		}
		return nil
	}
}
