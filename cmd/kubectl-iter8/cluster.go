package main

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
	"k8s.io/client-go/tools/clientcmd"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/conversion"
)

// clusterOptions say which cluster to read, and what of it, as kubectl's own flags do.
type clusterOptions struct {
	kubeconfig    string
	context       string
	namespace     string
	allNamespaces bool
}

// pageSize is how many ConfigMaps are read at once.
const pageSize = 500

// readCluster lists Iter8's ConfigMaps, by namespace and name.
func readCluster(ctx context.Context, o clusterOptions) ([]source, error) {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = o.kubeconfig
	overrides := &clientcmd.ConfigOverrides{CurrentContext: o.context}
	overrides.Context.Namespace = o.namespace
	kubeconfig := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, overrides)
	config, err := kubeconfig.ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster (with -f FILE no cluster is needed): %w", err)
	}
	namespace, _, err := kubeconfig.Namespace()
	if err != nil {
		return nil, fmt.Errorf("finding the namespace: %w", err)
	}
	if o.allNamespaces {
		namespace = metav1.NamespaceAll
	}
	client, err := corev1client.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("connecting to the cluster: %w", err)
	}
	list := metav1.ListOptions{LabelSelector: iter8v1alpha1.ManagedByLabel + "=" + conversion.ManagedByValue, Limit: pageSize}
	var sources []source
	for {
		page, err := client.ConfigMaps(namespace).List(ctx, list)
		if err != nil {
			return nil, fmt.Errorf("listing Iter8's ConfigMaps: %w", err)
		}
		for i := range page.Items {
			sources = append(sources, fromCluster(&page.Items[i]))
		}
		if list.Continue = page.Continue; list.Continue == "" {
			return sources, nil
		}
	}
}

func fromCluster(configMap *corev1.ConfigMap) source {
	where := fmt.Sprintf("configmap %s/%s", configMap.Namespace, configMap.Name)
	return source{
		configMap: configMap,
		locate: func(position conversion.Position) (string, conversion.Position) {
			return where, position
		},
	}
}
