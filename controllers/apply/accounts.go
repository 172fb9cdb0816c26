package apply

import (
	"fmt"
	"sync"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
	"k8s.io/utils/lru"
)

// Accounts are those that act for policies: the operator itself, or a ServiceAccount of the policy's namespace.
type Accounts struct {
	config *rest.Config
	own    *Account
	// byDefault is the ServiceAccount of policies that name none; empty means the operator itself.
	byDefault string

	mu       sync.Mutex
	accounts *lru.Cache // name → *Account
}

// rememberedAccounts is how many accounts are kept: a policy may name one after the other.
const rememberedAccounts = 1024

// Account is who reads and writes for a policy.
type Account struct {
	// Client acts as the account.
	Client dynamic.Interface
	// ServiceAccount is its name; none for the operator itself.
	ServiceAccount types.NamespacedName

	mu sync.Mutex
	// allowed are the rights that it is known to have.
	allowed map[right]struct{}
}

// NewAccounts takes the operator's own configuration and client, and the name of the ServiceAccount of policies
// that name none. With one, no policy acts as the operator.
func NewAccounts(config *rest.Config, own dynamic.Interface, byDefault string) *Accounts {
	return &Accounts{config: config, own: &Account{Client: own}, byDefault: byDefault, accounts: lru.New(rememberedAccounts)}
}

// Own returns the operator's own account.
func (a *Accounts) Own() *Account { return a.own }

// For returns the account of a policy that names a ServiceAccount of its namespace, or none.
func (a *Accounts) For(namespace, serviceAccount string) (*Account, error) {
	if serviceAccount == "" {
		serviceAccount = a.byDefault
	}
	if serviceAccount == "" {
		return a.own, nil
	}
	key := types.NamespacedName{Namespace: namespace, Name: serviceAccount}
	a.mu.Lock()
	defer a.mu.Unlock()
	if account, ok := a.accounts.Get(key); ok {
		return account.(*Account), nil
	}
	config := rest.CopyConfig(a.config)
	config.Impersonate = rest.ImpersonationConfig{UserName: fmt.Sprintf("system:serviceaccount:%s:%s", namespace, serviceAccount)}
	client, err := dynamic.NewForConfig(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for ServiceAccount %s: %w", key, err)
	}
	account := &Account{Client: client, ServiceAccount: key, allowed: map[right]struct{}{}}
	a.accounts.Add(key, account)
	return account, nil
}
