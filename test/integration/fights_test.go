package integration

import (
	"context"
	"testing"
	"time"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// opponents write hostnames of their own into a route, each time anew.
var opponents = map[string]struct {
	manager string
	write   func(ctx context.Context, namespace string) error
}{
	"with a patch": {"opponent", func(ctx context.Context, namespace string) error {
		route := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "httpbin"}}
		return k8s.Patch(ctx, route, client.RawPatch(types.MergePatchType, []byte(`{"spec": {"hostnames": ["theirs.example.com"]}}`)), client.FieldOwner("opponent"))
	}},
	"with a forced apply": {"argocd-controller", func(ctx context.Context, namespace string) error {
		route := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "httpbin"}}
		return k8s.Patch(ctx, route, client.RawPatch(types.ApplyPatchType, []byte(`{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", `+
			`"metadata": {"name": "httpbin"}, "spec": {"hostnames": ["theirs.example.com"]}}`)), client.FieldOwner("argocd-controller"), client.ForceOwnership)
	}},
}

func TestAFightIsNotFoughtForEver(t *testing.T) {
	for name, opponent := range opponents {
		t.Run(name, func(t *testing.T) {
			t.Parallel() // it takes its time
			s := newScene(t)
			_, policy := s.tutorial()
			deployment, _ := s.deploy("httpbin-v2")
			s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
			ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
			defer cancel()
			began, ended := time.Now(), make(chan error, 1)
			go func() {
				tick := time.NewTicker(20 * time.Millisecond)
				defer tick.Stop()
				for {
					select {
					case <-tick.C:
						if err := opponent.write(ctx, s.namespace); err != nil && ctx.Err() == nil {
							ended <- err
							return
						}
					case <-ctx.Done():
						ended <- nil
						return
					}
				}
			}()

			s.Eventually(s.condition(policy, iter8v1alpha1.ConditionContended), "5s").Should(gomega.Equal("True Contended: HTTPRoute httpbin is changed back by " + opponent.manager + " as often as it is put right (spec.hostnames); " +
				"have only one of the two write it: leave the object out of what Flux applies, or name its fields in the ignoreDifferences of Argo CD"))
			s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("False Contended: HTTPRoute httpbin"))
			s.delete(deployment)
			s.Eventually(s.route("httpbin"), 2*withdrawalTime).Should(mirrorTo(), "what may not stand goes for all that")

			s.Expect(<-ended).To(gomega.Succeed())
			writes, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
				return e.Namespace == s.namespace && e.Resource == "httproutes" && e.Verb == "patch" && e.Name == "httpbin" &&
					e.User == "system:serviceaccount:iter8-system:iter8-operator" && e.Time.After(began) && e.Time.Before(began.Add(time.Minute))
			})
			s.Expect(err).NotTo(gomega.HaveOccurred())
			s.Expect(len(writes)).To(gomega.BeNumerically("<=", 12))

			s.Eventually(s.route("httpbin"), "90s").Should(gomega.HaveField("Spec.Hostnames", gomega.BeEmpty()), "after the truce")
			s.Eventually(s.ready(policy), "90s").Should(gomega.HavePrefix("True Succeeded"), "and a minute of peace")
		})
	}
}
