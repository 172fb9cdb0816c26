package dataplane

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"iter8.tools/operator/test/env"
)

const (
	// controllerReady answers when the controller's cache has synced.
	controllerReady = "http://127.0.0.1:8081/readyz"
	// controllerCertificates is the Secret with the controller's certificate.
	controllerCertificates = "envoy-gateway"
)

//go:embed envoygateway_config.yaml
var envoyGatewayConfig []byte

// makeRoot makes the root folder that the controller runs in. It wants its certificates in /certs, and writes to other places.
func (g *EnvoyGateway) makeRoot(context.Context) error {
	g.root = filepath.Join(g.env.Dir(), "envoy-gateway")
	if err := os.MkdirAll(filepath.Join(g.root, "tmp"), 0o700); err != nil {
		return err
	}
	binary, err := g.env.Binary("envoy-gateway", "run make dataplanes")
	if err != nil {
		return err
	}
	if err := place(binary, filepath.Join(g.root, "envoy-gateway")); err != nil {
		return err
	}
	kubeconfig, err := g.env.ComponentKubeconfig("envoy-gateway")
	if err != nil {
		return err
	}
	if err := place(kubeconfig, filepath.Join(g.root, "kubeconfig")); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(g.root, "config.yaml"), envoyGatewayConfig, 0o600)
}

// place links a file, or copies it to another file system.
func place(from, to string) error {
	from, err := filepath.EvalSymlinks(from)
	if err != nil {
		return err
	}
	if err := os.Remove(to); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if os.Link(from, to) == nil {
		return nil
	}
	data, err := os.ReadFile(filepath.Clean(from))
	if err != nil {
		return err
	}
	return os.WriteFile(to, data, 0o700)
}

// command is that of envoy-gateway in its root folder. env and chroot become the program, so that the process is its own.
func (g *EnvoyGateway) command(args ...string) (path string, all []string) {
	all = []string{
		"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "TMPDIR=/tmp", "HOME=/tmp",
		"KUBECONFIG=/kubeconfig", "ENVOY_GATEWAY_NAMESPACE=" + EnvoyGatewayNamespace,
		"chroot", g.root, "/envoy-gateway",
	}
	return "/usr/bin/env", append(all, args...)
}

// makeCertificates makes those of the controller and of Envoy, as Secrets, and puts the controller's where it looks for them.
func (g *EnvoyGateway) makeCertificates(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, conditionTimeout)
	defer cancel()
	path, args := g.command("certgen", "--disable-topology-injector")
	if output, err := exec.CommandContext(ctx, path, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("running envoy-gateway certgen: %w: %s", err, output)
	}
	return g.writeSecret(ctx, controllerCertificates, filepath.Join(g.root, "certs"))
}

// startController returns when the controller is ready.
func (g *EnvoyGateway) startController(ctx context.Context) error {
	path, args := g.command("server", "--config-path", "/config.yaml")
	p, err := g.env.StartProcess("envoy-gateway", path, filepath.Join(g.env.Dir(), "envoy-gateway.log"), args...)
	if err != nil {
		return err
	}
	if err := p.WaitReady(ctx, env.Serves(controllerReady)); err != nil {
		p.Kill()
		return err
	}
	g.controller = p
	return nil
}

// writeSecret writes the content of a Secret of Envoy Gateway's into files of a folder.
func (g *EnvoyGateway) writeSecret(ctx context.Context, name, folder string) error {
	var secret corev1.Secret
	if err := g.env.Client().Get(ctx, client.ObjectKey{Namespace: EnvoyGatewayNamespace, Name: name}, &secret); err != nil {
		return err
	}
	return writeFiles(folder, secret.Data)
}

func writeFiles(folder string, files map[string][]byte) error {
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(folder, name), content, 0o600); err != nil {
			return err
		}
	}
	return nil
}
