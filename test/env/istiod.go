package env

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// IstioNamespace is where istiod believes to run, and keeps its certificate authority.
	IstioNamespace = "istio-system"

	// meshConfig is Istio's own, but without access logs, and with plain text between Pods: they have no sidecars that would
	// end TLS.
	meshConfig = "accessLogFile: \"\"\nenableAutoMtls: false\n"
)

// istiodVariables are what istiod's Deployment would set. Gateways are deployed by hand, no sidecars are injected, a change
// is pushed 10 ms after it was seen, and filters that only Istio's own build of Envoy has are left out.
var istiodVariables = []string{
	"POD_NAME=istiod-test", "POD_NAMESPACE=" + IstioNamespace, "REVISION=default", "CLUSTER_ID=Kubernetes",
	"PILOT_CERT_PROVIDER=istiod", "PILOT_ENABLE_GATEWAY_API_DEPLOYMENT_CONTROLLER=false",
	"INJECTION_WEBHOOK_CONFIG_NAME=", "VALIDATION_WEBHOOK_CONFIG_NAME=", "ENABLE_LEADER_ELECTION=false",
	"PILOT_DEBOUNCE_AFTER=10ms", "PILOT_ENABLE_METADATA_EXCHANGE=false", "PILOT_ENABLE_ALPN_FILTER=false",
}

// Istiod is Istio's control plane, running as a process of its own.
type Istiod struct {
	*Process
	// XDSAddress is where it serves xDS in plain text, as host:port.
	XDSAddress string

	environment *Environment
	logFile     string
	args        []string
	ready       func(context.Context) bool
}

// StartIstiod runs istiod as a cluster administrator, with its namespace, and returns when it is ready to
// configure proxies. The Environment needs Options.IstioCRDs. What is still running when the Environment
// stops is killed.
func (e *Environment) StartIstiod(ctx context.Context) (*Istiod, error) {
	path, err := e.binaries.path("pilot-discovery", "run make test-traffic")
	if err != nil {
		return nil, err
	}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: IstioNamespace}}
	if err := e.client.Create(ctx, namespace); err != nil && !apierrors.IsAlreadyExists(err) {
		return nil, fmt.Errorf("creating istiod's namespace: %w", err)
	}
	kubeconfig, err := e.ComponentKubeconfig("istiod")
	if err != nil {
		return nil, err
	}
	mesh := filepath.Join(e.dir, "mesh.yaml")
	if err := os.WriteFile(mesh, []byte(meshConfig), 0o600); err != nil {
		return nil, fmt.Errorf("writing the mesh's configuration: %w", err)
	}
	var addresses [4]string
	for i := range addresses {
		if addresses[i], err = e.ReserveAddress(); err != nil {
			return nil, err
		}
	}
	console, err := e.reservePort()
	if err != nil {
		return nil, err
	}
	http, https, xds, monitoring := addresses[0], addresses[1], addresses[2], addresses[3]

	i := &Istiod{
		XDSAddress: xds, environment: e, logFile: filepath.Join(e.dir, "istiod-"+console+".log"),
		args: append(append([]string{}, istiodVariables...), path, "discovery",
			"--kubeconfig="+kubeconfig, "--meshConfig="+mesh, "--networksConfig="+os.DevNull,
			"--httpAddr="+http, "--httpsAddr="+https, "--grpcAddr="+xds, "--secureGRPCAddr=",
			"--monitoringAddr="+monitoring, "--ctrlz_port="+console),
		ready: Serves("http://" + http + "/ready"),
	}
	if err := i.start(ctx); err != nil {
		return nil, err
	}
	return i, nil
}

// start runs the process, and returns when it is ready.
func (i *Istiod) start(ctx context.Context) (err error) {
	// env becomes the program, so that the process is istiod's.
	if i.Process, err = i.environment.StartProcess("istiod", "/usr/bin/env", i.logFile, i.args...); err != nil {
		return err
	}
	if err := i.WaitReady(ctx, i.ready); err != nil {
		i.Kill()
		return fmt.Errorf("starting istiod: %w", err)
	}
	return nil
}

// Restart kills istiod, and has another one take its place, where proxies look for it.
func (i *Istiod) Restart(ctx context.Context) error {
	i.Kill()
	return i.start(ctx)
}
