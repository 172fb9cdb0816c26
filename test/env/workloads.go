package env

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

const (
	// NodeName is the Node on which every Pod runs.
	NodeName = "node"
	// podCIDR are the addresses that kwok gives to Pods. Loopback would be refused in EndpointSlices.
	podCIDR = "10.244.0.1/16"
	// controllers leaves out what needs a cloud or a kubelet.
	controllers = "*,-node-lifecycle-controller,-node-ipam-controller,-node-route-controller,-service-lb-controller," +
		"-cloud-node-lifecycle-controller"
)

// kwokStages are what kwok does to Nodes and Pods, as files of its module: a Pod that has a node is Ready
// at once, whatever its image and probes; one of a Job completes; a deleted one goes.
var kwokStages = []string{
	"kustomize/stage/node/fast/node-initialize.yaml",
	"kustomize/stage/pod/fast/pod-ready.yaml",
	"kustomize/stage/pod/fast/pod-complete.yaml",
	"kustomize/stage/pod/fast/pod-delete.yaml",
}

// startControllerManager returns when kube-controller-manager has started its controllers.
func (e *Environment) startControllerManager(ctx context.Context) error {
	certificates := e.plane.ControlPlane.APIServer.CertDir
	rootCA := filepath.Join(certificates, "serving-ca.crt")
	if err := os.WriteFile(rootCA, e.config.CAData, 0o600); err != nil {
		return fmt.Errorf("writing the apiserver's CA for kube-controller-manager: %w", err)
	}
	return e.startComponent(ctx, "kube-controller-manager",
		"--controllers="+controllers,
		"--root-ca-file="+rootCA,
		"--service-account-private-key-file="+filepath.Join(certificates, "sa-signer.key"),
		"--kube-api-qps=1000", "--kube-api-burst=2000",
	)
}

func (e *Environment) startScheduler(ctx context.Context) error {
	return e.startComponent(ctx, "kube-scheduler", "--kube-api-qps=1000", "--kube-api-burst=2000")
}

// startComponent starts a program of Kubernetes' own and returns when it says that it is healthy.
func (e *Environment) startComponent(ctx context.Context, name string, args ...string) error {
	path, err := e.binaries.path(name, "run make controlplane")
	if err != nil {
		return err
	}
	kubeconfig, err := e.ComponentKubeconfig(name)
	if err != nil {
		return err
	}
	port, err := e.reservePort()
	if err != nil {
		return err
	}
	p, err := e.StartProcess(name, path, e.logFile(name), append(args,
		"--kubeconfig="+kubeconfig,
		"--leader-elect=false",
		"--bind-address="+loopback, "--secure-port="+port,
		"--cert-dir="+filepath.Join(e.dir, name),
		"--authentication-skip-lookup=true",
	)...)
	if err != nil {
		return err
	}
	return p.WaitReady(ctx, Serves("https://"+net.JoinHostPort(loopback, port)+"/healthz"))
}

// startNode starts kwok and returns when it has made the Node ready.
func (e *Environment) startNode(ctx context.Context) error {
	path, err := e.binaries.path("kwok", "run make controlplane")
	if err != nil {
		return err
	}
	source, err := e.binaries.moduleDir(ctx, kwokModule)
	if err != nil {
		return err
	}
	kubeconfig, err := e.ComponentKubeconfig("kwok")
	if err != nil {
		return err
	}
	args := []string{
		"--kubeconfig=" + kubeconfig,
		"--manage-all-nodes=true",
		"--cidr=" + podCIDR,
		"--node-lease-duration-seconds=0",
	}
	for _, stage := range kwokStages {
		args = append(args, "--config="+filepath.Join(source, filepath.FromSlash(stage)))
	}
	p, err := e.StartProcess("kwok", path, e.logFile("kwok"), args...)
	if err != nil {
		return err
	}
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name:   NodeName,
		Labels: map[string]string{corev1.LabelHostname: NodeName, corev1.LabelOSStable: "linux"},
	}}
	if err := e.client.Create(ctx, node); err != nil && !apierrors.IsAlreadyExists(err) {
		return fmt.Errorf("creating the Node: %w", err)
	}
	return p.WaitReady(ctx, func(ctx context.Context) bool {
		if err := e.client.Get(ctx, client.ObjectKeyFromObject(node), node); err != nil {
			return false
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady {
				return c.Status == corev1.ConditionTrue
			}
		}
		return false
	})
}

// ComponentKubeconfig is for a program of the control plane, or of a mesh. Its name is its user's, so that the audit log
// tells who is who, and it may do everything.
func (e *Environment) ComponentKubeconfig(name string) (string, error) {
	e.mu.Lock() // envtest's certificate authority is for one at a time
	user, err := e.plane.AddUser(envtest.User{Name: "system:" + name, Groups: []string{"system:masters"}}, nil)
	e.mu.Unlock()
	if err != nil {
		return "", fmt.Errorf("making a certificate for %s: %w", name, err)
	}
	path := filepath.Join(e.dir, name+".kubeconfig")
	return path, writeKubeconfig(path, user.Config(), metav1.NamespaceDefault)
}
