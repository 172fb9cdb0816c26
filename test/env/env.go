// Package env starts a real Kubernetes control plane for tests, benchmarks and the demo, and stops it
// without a trace: etcd and kube-apiserver, and where workloads are to come alive kube-controller-manager,
// kube-scheduler and kwok, which plays the kubelet. `make controlplane` builds them.
//
//	Start ── etcd ── kube-apiserver ── CRDs ──────────────── kube-controller-manager
//	  │                    └────────── kwok, kube-scheduler, a Node
//	  └── reaper: when this process dies without Stop, it kills what is left and removes the directory
//
// Everything listens on loopback only. A package of tests starts one Environment, in TestMain.
package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// Options says what an Environment consists of. The zero value is etcd and kube-apiserver with RBAC and
// the Gateway API.
type Options struct {
	// CRDs installs the operator's own CRDs from config/crd/bases. Leave it out where Helm is to install them.
	CRDs bool

	// Workloads starts kube-controller-manager, kube-scheduler and kwok, and creates a Node: Deployments
	// become Available, EndpointSlices fill, and the garbage collector collects. Without it nothing
	// happens by itself, and a test may set any status.
	Workloads bool

	// AdmissionPlugins are enabled besides those that are on by default, such as
	// OwnerReferencesPermissionEnforcement.
	AdmissionPlugins []string

	// WithoutGatewayAPI leaves the Gateway API's CRDs (standard channel) out.
	WithoutGatewayAPI bool

	// IstioCRDs installs Istio's CRDs. They come with the version of istiod that test/controlplane/istiod names.
	IstioCRDs bool

	// EnvoyGatewayCRDs installs Envoy Gateway's CRDs. They come with the version that test/controlplane/envoygateway names.
	EnvoyGatewayCRDs bool

	// CRDPaths are files and folders of further CRDs to install.
	CRDPaths []string

	// OnOperatorEnd is called, by a goroutine of its own, when an operator that was ready has ended without Stop, Kill or
	// ExpectEnd. Nil does nothing.
	OnOperatorEnd func(error)

	// Dir holds state, logs and kubeconfigs. Stop leaves it there. Absent means a temporary directory,
	// which Stop removes.
	Dir string
}

// Environment is a running control plane.
type Environment struct {
	options   Options
	dir       string
	binaries  binaries
	reaper    *reaper
	ports     ports
	plane     *envtest.Environment
	config    *rest.Config
	client    client.Client
	mu        sync.Mutex
	processes []*Process  // in the order in which they were started
	operators []*Operator // in the order in which they were started
}

// Start starts a control plane and returns when it is ready to be used. The error of a program that ended
// early holds the end of its log. The context bounds the start only; the control plane runs until Stop.
func Start(ctx context.Context, options Options) (*Environment, error) {
	bin, err := findBinaries()
	if err != nil {
		return nil, err
	}
	dir := options.Dir
	if dir == "" {
		dir, err = os.MkdirTemp("", "iter8-env-")
	} else if dir, err = filepath.Abs(dir); err == nil {
		err = os.MkdirAll(dir, 0o750)
	}
	if err != nil {
		return nil, fmt.Errorf("making the directory of the control plane: %w", err)
	}
	e := &Environment{options: options, dir: dir, binaries: bin}
	if err := e.start(ctx); err != nil {
		return nil, errors.Join(err, e.Stop())
	}
	return e, nil
}

func (e *Environment) start(ctx context.Context) error {
	var err error
	if e.reaper, err = startReaper(e.dir, e.options.Dir == ""); err != nil {
		return err
	}
	var crds []*apiextensionsv1.CustomResourceDefinition
	var first errgroup.Group
	first.Go(func() error { return e.startAPIServer(ctx) })
	first.Go(func() (err error) {
		crds, err = e.readCRDs(ctx)
		return err
	})
	if err := first.Wait(); err != nil {
		return err
	}
	if e.client, err = client.New(e.config, client.Options{Scheme: Scheme()}); err != nil {
		return fmt.Errorf("making the administrator's client: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error {
		if err := installCRDs(e.config, crds); err != nil {
			return err
		}
		if !e.options.Workloads {
			return nil
		}
		// After the CRDs: the garbage collector looks for new kinds only every 30 seconds.
		return e.startControllerManager(ctx)
	})
	if e.options.Workloads {
		group.Go(func() error { return e.startNode(ctx) })
		group.Go(func() error { return e.startScheduler(ctx) })
	}
	return group.Wait()
}

// Stop ends every process that the Environment started, waits for them, and removes the directory unless
// Options named it. It may be called again.
func (e *Environment) Stop() error {
	e.mu.Lock()
	processes := e.processes
	e.processes = nil
	e.mu.Unlock()

	// What they would do in an orderly end (writing to an apiserver that goes as well) is of use to nobody.
	for _, p := range processes {
		p.kill()
	}
	var errs []error
	for _, p := range processes {
		<-p.done
	}
	if e.plane != nil {
		if err := e.plane.Stop(); err != nil {
			errs = append(errs, fmt.Errorf("stopping etcd and kube-apiserver: %w", err))
		}
		e.plane = nil
	}
	if e.reaper != nil {
		e.reaper.dismiss()
		e.reaper = nil
	}
	e.ports.release()
	if e.options.Dir == "" {
		if err := os.RemoveAll(e.dir); err != nil {
			errs = append(errs, fmt.Errorf("removing the directory of the control plane: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Config returns the configuration of a cluster administrator's client, without a limit of requests.
// The caller may change it.
func (e *Environment) Config() *rest.Config { return rest.CopyConfig(e.config) }

// Client returns a cluster administrator's client, which reads from the apiserver (no cache).
func (e *Environment) Client() client.Client { return e.client }

// Dir is where state, logs (NAME.log) and kubeconfigs lie.
func (e *Environment) Dir() string { return e.dir }

// KubectlPath is the kubectl that was built with the control plane.
func (e *Environment) KubectlPath() string { return filepath.Join(e.binaries.dir, "kubectl") }

// HelmPath is the helm that was built from the pinned tools.
func (e *Environment) HelmPath() string { return filepath.Join(e.binaries.dir, "helm") }

// ModuleRoot is the folder of the operator's go.mod.
func (e *Environment) ModuleRoot() string { return e.binaries.root }
