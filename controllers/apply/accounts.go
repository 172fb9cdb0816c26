package apply

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// Accounts gives the clients that routing objects are written with: the operator's own, or one that acts as a
// ServiceAccount.
type Accounts struct {
	config *rest.Config
	own    dynamic.Interface

	mu      sync.Mutex
	clients map[types.NamespacedName]dynamic.Interface
}

// NewAccounts takes the operator's own configuration and client.
func NewAccounts(config *rest.Config, own dynamic.Interface) *Accounts {
	return &Accounts{config: config, own: own, clients: map[types.NamespacedName]dynamic.Interface{}}
}

// For gives the client that acts as a ServiceAccount, and the operator's own where none is named.
func (a *Accounts) For(namespace, serviceAccount string) (dynamic.Interface, error) {
	if serviceAccount == "" {
		return a.own, nil
	}
	key := types.NamespacedName{Namespace: namespace, Name: serviceAccount}
	a.mu.Lock()
	defer a.mu.Unlock()
	if client, ok := a.clients[key]; ok {
		return client, nil
	}
	config := rest.CopyConfig(a.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: fmt.Sprintf("system:serviceaccount:%s:%s", namespace, serviceAccount)}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for ServiceAccount %s: %w", key, err)
	}
	a.clients[key] = client
	return client, nil
}
