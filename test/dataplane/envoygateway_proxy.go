package dataplane

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// proxyAdmin is where Envoy Gateway puts Envoy's admin interface.
	proxyAdmin = "127.0.0.1:19000"
	// proxyCertificates is the Secret with Envoy's certificate.
	proxyCertificates = "envoy"
	// proxyContainer is the container of Envoy in its Pod, and sdsVolume the volume of the files by which it finds its certificate.
	proxyContainer, sdsVolume = "envoy", "sds"
)

// startDataPlane starts Envoy as the kubelet would start it in the Pod that Envoy Gateway has deployed, and returns when it takes
// requests. kwok plays that Pod's kubelet, and starts nothing.
func (g *EnvoyGateway) startDataPlane(ctx context.Context) error {
	pod, err := g.proxyPod(ctx)
	if err != nil {
		return err
	}
	folder := filepath.Join(g.env.Dir(), "envoy-gateway-proxy")
	certs, sds := filepath.Join(folder, "certs"), filepath.Join(folder, "sds")
	if err := g.writeSecret(ctx, proxyCertificates, certs); err != nil {
		return err
	}
	if err := g.writeSDS(ctx, pod, sds, certs); err != nil {
		return err
	}
	args, err := proxyArguments(pod, sds)
	if err != nil {
		return err
	}
	if g.Envoy, err = startEnvoy(ctx, g.env, "envoy-gateway-proxy", proxyAdmin, args...); err != nil {
		return err
	}
	g.Envoy.Address = g.Address
	return g.waitListening(ctx)
}

// proxyPod waits for the Pod of Envoy.
func (g *EnvoyGateway) proxyPod(ctx context.Context) (*corev1.Pod, error) {
	var pods corev1.PodList
	err := waitFor(ctx, "the Pod of Envoy in namespace "+EnvoyGatewayNamespace, func(ctx context.Context) (bool, error) {
		err := g.env.Client().List(ctx, &pods, client.InNamespace(EnvoyGatewayNamespace), client.MatchingLabels{
			"gateway.envoyproxy.io/owning-gateway-namespace": GatewayNamespace, "gateway.envoyproxy.io/owning-gateway-name": GatewayName,
		})
		return len(pods.Items) > 0, err
	})
	if err != nil {
		return nil, err
	}
	return &pods.Items[0], nil
}

// writeSDS writes the files by which Envoy finds its certificate, as the Pod has them in a ConfigMap.
func (g *EnvoyGateway) writeSDS(ctx context.Context, pod *corev1.Pod, folder, certs string) error {
	i := slices.IndexFunc(pod.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == sdsVolume && v.ConfigMap != nil })
	if i < 0 {
		return fmt.Errorf("the Pod %s has no volume %s of a ConfigMap", pod.Name, sdsVolume)
	}
	var configMap corev1.ConfigMap
	key := client.ObjectKey{Namespace: EnvoyGatewayNamespace, Name: pod.Spec.Volumes[i].ConfigMap.Name}
	if err := g.env.Client().Get(ctx, key, &configMap); err != nil {
		return err
	}
	files := make(map[string][]byte, len(configMap.Data))
	for name, content := range configMap.Data {
		files[name] = []byte(strings.ReplaceAll(content, `"/certs/`, `"`+certs+`/`))
	}
	return writeFiles(folder, files)
}

// proxyArguments are those of the container of Envoy, but for what only a Pod has: variables, files, and names of Services.
func proxyArguments(pod *corev1.Pod, sds string) ([]string, error) {
	i := slices.IndexFunc(pod.Spec.Containers, func(c corev1.Container) bool { return c.Name == proxyContainer })
	if i < 0 {
		return nil, fmt.Errorf("the Pod %s has no container %s", pod.Name, proxyContainer)
	}
	replacer := strings.NewReplacer(
		"$(ENVOY_POD_NAME)", pod.Name,
		"$(ENVOY_SERVICE_ZONE)", "",
		"envoy-gateway."+EnvoyGatewayNamespace+".svc.cluster.local.", "127.0.0.1",
		"/sds/", sds+"/",
	)
	var args []string
	for _, a := range pod.Spec.Containers[i].Args {
		args = append(args, replacer.Replace(a))
	}
	return args, nil
}
