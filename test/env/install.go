package env

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Release is the name of the operator's Helm release, and of all that it consists of.
const Release = "iter8-operator"

// Installation is the operator's chart, installed with Helm. In the control plane its Pods only seem to run;
// Run starts what they would run: the same binary with the same arguments and configuration, as the same
// ServiceAccount.
type Installation struct {
	environment *Environment
	namespace   string
}

// HelmInstallArgs are the arguments of helm that install the operator's chart.
func (e *Environment) HelmInstallArgs(namespace string, more ...string) []string {
	return append([]string{"upgrade", "--install", Release, filepath.Join(e.ModuleRoot(), "charts", Release),
		"--namespace", namespace, "--create-namespace"}, more...)
}

// Install runs helm to install the operator's chart, or to bring an installed one to other values.
func (e *Environment) Install(ctx context.Context, namespace string, more ...string) (*Installation, error) {
	kubeconfig := filepath.Join(e.dir, "helm.kubeconfig")
	if err := e.Kubeconfig(kubeconfig); err != nil {
		return nil, err
	}
	helm := exec.CommandContext(ctx, e.HelmPath(), append(e.HelmInstallArgs(namespace, more...), "--kubeconfig", kubeconfig)...)
	helm.Env = append(os.Environ(), "HELM_CACHE_HOME="+e.dir, "HELM_CONFIG_HOME="+e.dir, "HELM_DATA_HOME="+e.dir)
	if output, err := helm.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("helm install: %w: %s", err, output)
	}
	return e.Installed(namespace), nil
}

// awaitKinds waits until the apiserver tells of the operator's kinds. A kubelet would start the operator again and
// again until it does.
func (e *Environment) awaitKinds(ctx context.Context) error {
	return wait.PollUntilContextTimeout(ctx, pollInterval, startTimeout, true, func(ctx context.Context) (bool, error) {
		err := e.client.List(ctx, &iter8v1alpha1.RoutingPolicyList{})
		if err == nil {
			err = e.client.List(ctx, &iter8v1alpha1.SubjectList{})
		}
		if meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
			return false, nil
		}
		return err == nil, err
	})
}

// Installed is the operator's chart where helm has installed it.
func (e *Environment) Installed(namespace string) *Installation {
	return &Installation{environment: e, namespace: namespace}
}

// Replica is how one replica of the operator differs from what the chart says of all. The zero value doesn't.
type Replica struct {
	// Proxy that all its requests go through.
	Proxy *Proxy
	// WatchNamespaces are the namespaces that it looks at, in place of the configured ones. Its rights stay as they are.
	WatchNamespaces []string
	// Args are more flags, which come last.
	Args []string
}

// Run runs one replica of the operator; more flags come last.
func (i *Installation) Run(ctx context.Context, more ...string) (*Operator, error) {
	return i.RunReplica(ctx, Replica{Args: more})
}

// RunReplica runs one replica of the operator that differs from others.
func (i *Installation) RunReplica(ctx context.Context, replica Replica) (*Operator, error) {
	e := i.environment
	if err := e.awaitKinds(ctx); err != nil {
		return nil, fmt.Errorf("waiting for the apiserver to serve the operator's kinds: %w", err)
	}
	var deployment appsv1.Deployment
	if err := e.client.Get(ctx, types.NamespacedName{Namespace: i.namespace, Name: Release}, &deployment); err != nil {
		return nil, fmt.Errorf("looking up the operator's Deployment: %w", err)
	}
	pod := deployment.Spec.Template.Spec
	dir, err := os.MkdirTemp(e.dir, Release+"-")
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(dir, "kubeconfig")
	config, err := e.ServiceAccountConfig(ctx, i.namespace, pod.ServiceAccountName)
	if err != nil {
		return nil, err
	}
	if replica.Proxy != nil {
		config = replica.Proxy.Through(config)
	}
	if err := writeKubeconfig(kubeconfig, config, i.namespace); err != nil {
		return nil, err
	}
	mounted, err := i.mount(ctx, pod, dir)
	if err != nil {
		return nil, err
	}
	if len(replica.WatchNamespaces) > 0 {
		if err := watchOnly(mounted[configPath], replica.WatchNamespaces); err != nil {
			return nil, err
		}
	}
	var args []string
	for _, arg := range pod.Containers[0].Args {
		if strings.Contains(arg, "-bind-address=") {
			continue // every replica listens on ports of its own here
		}
		arg = strings.ReplaceAll(arg, "$(POD_NAMESPACE)", i.namespace)
		for path, file := range mounted {
			arg = strings.ReplaceAll(arg, path, file)
		}
		args = append(args, arg)
	}
	return e.StartOperator(ctx, OperatorOptions{Kubeconfig: kubeconfig, Args: append(args, replica.Args...)})
}

// configPath is where the operator's Pod has its configuration.
const configPath = "/etc/iter8/config.yaml"

// watchOnly changes a file with the operator's configuration, so that it looks at some namespaces only.
func watchOnly(file string, namespaces []string) error {
	data, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		return fmt.Errorf("reading the operator's configuration: %w", err)
	}
	var config map[string]any
	if err := yaml.Unmarshal(data, &config); err != nil {
		return fmt.Errorf("reading the operator's configuration: %w", err)
	}
	config["watchNamespaces"] = namespaces
	if data, err = yaml.Marshal(config); err != nil {
		return fmt.Errorf("changing the operator's configuration: %w", err)
	}
	return os.WriteFile(file, data, 0o600)
}

// mount makes the Pod's volumes: it writes the files of its ConfigMaps, in which paths of the container become those
// here, and gives for each path in the container that file. Folders outlive the process, as they do a container.
func (i *Installation) mount(ctx context.Context, pod corev1.PodSpec, dir string) (map[string]string, error) {
	folders, files := map[string]string{}, map[string]string{}
	for _, at := range pod.Containers[0].VolumeMounts {
		folders[at.MountPath] = filepath.Join(i.environment.dir, "volumes", i.namespace, at.Name)
	}
	for _, volume := range pod.Volumes {
		if volume.ConfigMap == nil {
			continue
		}
		var configMap corev1.ConfigMap
		if err := i.environment.client.Get(ctx, types.NamespacedName{Namespace: i.namespace, Name: volume.ConfigMap.Name}, &configMap); err != nil {
			return nil, fmt.Errorf("looking up the operator's configuration: %w", err)
		}
		for _, at := range pod.Containers[0].VolumeMounts {
			if at.Name != volume.Name {
				continue
			}
			for name, content := range configMap.Data {
				for path, folder := range folders {
					content = strings.ReplaceAll(content, path, folder)
				}
				file := filepath.Join(dir, name)
				if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
					return nil, err
				}
				files[at.MountPath+"/"+name] = file
			}
		}
	}
	return files, nil
}
