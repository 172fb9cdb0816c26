package env

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strings"

	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// auditPolicy has every request logged once, when its response is complete.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
`

// auditLogMegabytes is the size at which the apiserver would start a new audit log: never.
const auditLogMegabytes = "1000000"

// Scheme knows Kubernetes' own kinds, CRDs, the Gateway API v1, and Subject and RoutingPolicy.
func Scheme() *runtime.Scheme {
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		clientgoscheme.AddToScheme, apiextensionsv1.AddToScheme, gatewayv1.Install, iter8v1alpha1.AddToScheme,
	} {
		utilruntime.Must(add(scheme))
	}
	return scheme
}

// startAPIServer starts etcd and kube-apiserver.
func (e *Environment) startAPIServer(ctx context.Context) error {
	if err := ctx.Err(); err != nil { // envtest knows no contexts
		return fmt.Errorf("starting etcd and kube-apiserver: %w", context.Cause(ctx))
	}
	plane := &envtest.Environment{ControlPlaneStartTimeout: startTimeout, ControlPlaneStopTimeout: stopTimeout}
	server := plane.ControlPlane.GetAPIServer()
	etcd := &envtest.Etcd{DataDir: filepath.Join(e.dir, "etcd")}
	// In milliseconds. A single member elects itself when the timeout, a second by default, has passed.
	etcd.Configure().Set("heartbeat-interval", "10").Set("election-timeout", "100")
	plane.ControlPlane.Etcd = etcd
	plane.ControlPlane.KubectlPath = e.KubectlPath()
	server.CertDir = filepath.Join(e.dir, "certificates")

	for _, program := range []struct {
		name string
		path *string
	}{
		{"etcd", &etcd.Path},
		{"kube-apiserver", &server.Path},
	} {
		path, err := e.binaries.asset(program.name)
		if err != nil {
			return err
		}
		if *program.path, err = e.reaper.launcher(path, e.logFile(program.name)); err != nil {
			return err
		}
	}
	for _, dir := range []string{server.CertDir, etcd.DataDir} {
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("removing the state of an earlier control plane: %w", err)
		}
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("making a directory of the control plane: %w", err)
		}
	}
	if err := e.configureAPIServer(server); err != nil {
		return err
	}
	if err := e.setPorts(etcd, server); err != nil {
		return err
	}

	e.plane = plane
	config, err := plane.Start()
	if err != nil {
		return fmt.Errorf("starting etcd and kube-apiserver: %w; their logs end:\n%s\n%s",
			err, tail(e.logFile("etcd")), tail(e.logFile("kube-apiserver")))
	}
	e.config = unlimited(config)
	return nil
}

// setPorts reserves ports, since envtest left to itself takes some that were free a moment ago.
func (e *Environment) setPorts(etcd *envtest.Etcd, server *envtest.APIServer) error {
	clients, err := e.ReserveAddress()
	if err != nil {
		return err
	}
	etcd.URL = &url.URL{Scheme: "http", Host: clients}
	etcd.Configure().Set("listen-peer-urls", "http://"+net.JoinHostPort(loopback, "0"))
	port, err := e.reservePort()
	if err != nil {
		return err
	}
	server.SecureServing.ListenAddr = envtest.ListenAddr{Address: loopback, Port: port}
	return nil
}

func (e *Environment) configureAPIServer(server *envtest.APIServer) error {
	policy := filepath.Join(e.dir, "audit-policy.yaml")
	if err := os.WriteFile(policy, []byte(auditPolicy), 0o600); err != nil {
		return fmt.Errorf("writing the audit policy: %w", err)
	}
	if err := os.WriteFile(e.auditLog(), nil, 0o600); err != nil {
		return fmt.Errorf("writing an empty audit log: %w", err)
	}
	disabled := []string{
		// It taints a new Node until the node lifecycle controller finds it healthy, which doesn't run.
		"TaintNodesByCondition",
	}
	if !e.options.Workloads {
		// It refuses Pods in a namespace whose default ServiceAccount was not made by its controller.
		disabled = append(disabled, "ServiceAccount")
	}
	args := server.Configure().
		Set("audit-policy-file", policy).
		Set("audit-log-path", e.auditLog()).
		Set("audit-log-maxsize", auditLogMegabytes).
		Set("disable-admission-plugins", strings.Join(disabled, ",")).
		// Its own address is a loopback one, which may not stand in the EndpointSlice of service kubernetes.
		Set("endpoint-reconciler-type", "none").
		Set("advertise-address", loopback)
	if len(e.options.AdmissionPlugins) > 0 {
		args.Set("enable-admission-plugins", strings.Join(e.options.AdmissionPlugins, ","))
	}
	return nil
}

// logFile is where the output of a program goes.
func (e *Environment) logFile(program string) string { return filepath.Join(e.dir, program+".log") }

// unlimited takes a client's own limit of requests away; the apiserver's fairness remains.
func unlimited(config *rest.Config) *rest.Config {
	config = rest.CopyConfig(config)
	config.QPS = -1
	config.Burst = 0
	return config
}
