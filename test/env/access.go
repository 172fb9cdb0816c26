package env

import (
	"context"
	"fmt"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
)

// tokenSeconds is how long a ServiceAccount's token is valid: longer than anything here runs.
const tokenSeconds = 24 * 60 * 60

// Kubeconfig writes a kubeconfig of a cluster administrator, with namespace default.
func (e *Environment) Kubeconfig(path string) error {
	return writeKubeconfig(path, e.config, metav1.NamespaceDefault)
}

// ServiceAccountConfig returns the configuration of a client that is the ServiceAccount, by a token that the
// apiserver issued. The ServiceAccount must exist.
func (e *Environment) ServiceAccountConfig(ctx context.Context, namespace, name string) (*rest.Config, error) {
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
	seconds := int64(tokenSeconds)
	token := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	if err := e.client.SubResource("token").Create(ctx, account, token); err != nil {
		return nil, fmt.Errorf("asking for a token of ServiceAccount %s/%s: %w", namespace, name, err)
	}
	config := rest.AnonymousClientConfig(e.config)
	config.BearerToken = token.Status.Token
	return unlimited(config), nil
}

// ServiceAccountKubeconfig writes a kubeconfig with which one is the ServiceAccount, in its namespace.
func (e *Environment) ServiceAccountKubeconfig(ctx context.Context, namespace, name, path string) error {
	config, err := e.ServiceAccountConfig(ctx, namespace, name)
	if err != nil {
		return err
	}
	return writeKubeconfig(path, config, namespace)
}

func writeKubeconfig(path string, config *rest.Config, namespace string) error {
	const name = "iter8-env"
	kubeconfig := clientcmdapi.NewConfig()
	kubeconfig.Clusters[name] = &clientcmdapi.Cluster{Server: config.Host, CertificateAuthorityData: config.CAData}
	kubeconfig.AuthInfos[name] = &clientcmdapi.AuthInfo{
		ClientCertificateData: config.CertData, ClientKeyData: config.KeyData, Token: config.BearerToken,
	}
	kubeconfig.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: namespace}
	kubeconfig.CurrentContext = name
	if err := clientcmd.WriteToFile(*kubeconfig, path); err != nil {
		return fmt.Errorf("writing a kubeconfig: %w", err)
	}
	return nil
}
