package apply

import (
	"net/http"
	"net/http/httptest"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/rest"
)

func TestAPolicyWritesAsItsAccount(t *testing.T) {
	g := NewWithT(t)
	var users []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		users = append(users, r.Header.Get("Impersonate-User"))
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute","metadata":{"name":"web"}}`))
	}))
	t.Cleanup(server.Close)
	own := newWorld(t).client
	config := &rest.Config{Host: server.URL, QPS: -1}
	accounts := NewAccounts(config, own, "")

	g.Expect(accounts.For("test", "")).To(HaveField("Client", BeIdenticalTo(own)), "the operator itself")
	for _, account := range []struct{ namespace, name string }{{"test", "router"}, {"elsewhere", "router"}, {"test", "other"}, {"test", "router"}} {
		acting, err := accounts.For(account.namespace, account.name)
		g.Expect(err).NotTo(HaveOccurred())
		_, err = acting.Client.Resource(httpRoutes).Namespace("test").Get(t.Context(), "web", metav1.GetOptions{})
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(accounts.For(account.namespace, account.name)).To(BeIdenticalTo(acting), "one client for each account")
	}
	g.Expect(users).To(Equal([]string{
		"system:serviceaccount:test:router", "system:serviceaccount:elsewhere:router", "system:serviceaccount:test:other", "system:serviceaccount:test:router",
	}))
	g.Expect(config.Impersonate.UserName).To(BeEmpty(), "the operator's own configuration is changed")
	g.Expect(own.Actions()).To(BeEmpty())
}

func TestWithADefaultAccountNobodyActsAsTheOperator(t *testing.T) {
	g := NewWithT(t)
	own := newWorld(t).client
	accounts := NewAccounts(&rest.Config{Host: "localhost"}, own, "tenant")
	for name, want := range map[string]string{"": "tenant", "router": "router"} {
		account, err := accounts.For("test", name)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(account.ServiceAccount).To(Equal(types.NamespacedName{Namespace: "test", Name: want}))
		g.Expect(account.Client).NotTo(BeIdenticalTo(own))
	}
}

func TestAnAccountOfAConfigurationThatIsBrokenIsNamed(t *testing.T) {
	accounts := NewAccounts(&rest.Config{Host: "::"}, nil, "")
	for range 2 {
		_, err := accounts.For("test", "router")
		NewWithT(t).Expect(err).To(MatchError(HavePrefix("making a client for ServiceAccount test/router: ")))
	}
}
