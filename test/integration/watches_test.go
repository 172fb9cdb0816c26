package integration

import (
	"net/url"
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

func TestAppResourcesAreListedAndWatchedByTheLabelOnly(t *testing.T) {
	s := newScene(t)
	since := time.Now()
	restart(t, func() {}) // the log has a watch once it has ended
	s.deploy("httpbin-v1")
	s.deploy("httpbin-v2")
	subject := s.httpbin()
	for _, kind := range []string{"StatefulSet", "DaemonSet"} {
		subject.Spec.Variants[1].Resources = append(subject.Spec.Variants[1].Resources, iter8v1alpha1.ResourceReference{APIVersion: "apps/v1", Kind: kind, Name: "httpbin-v2"})
	}
	// An expression takes the whole object, and a watch of its own.
	subject.Spec.Variants[0].Resources[1].ReadyWhen = &iter8v1alpha1.ReadyWhen{CEL: "object.spec.replicas > 0"}
	s.create(subject)
	s.Eventually(s.ready(subject)).Should(gomega.HavePrefix("True Observed: variant v2 is not available: StatefulSet httpbin-v2 does not exist"))
	s.delete(subject)
	restart(t, func() {})

	looks, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
		// What the operator's own kinds are and what it writes isn't the app's. A read of one object has a name.
		ours := []string{"iter8.tools", "gateway.networking.k8s.io", "networking.istio.io", "coordination.k8s.io"}
		return e.User == operatorUser && e.Time.After(since) && (e.Verb == "list" || e.Verb == "watch") && !slices.Contains(ours, e.Group)
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	watched := map[string]int{}
	for _, look := range looks {
		uri, err := url.Parse(look.URI)
		s.Expect(err).NotTo(gomega.HaveOccurred())
		s.Expect(uri.Query()["labelSelector"]).To(gomega.Equal([]string{"iter8.tools/detect=true"}), look.URI)
		watched[look.Resource]++
	}
	for _, resource := range []string{"services", "endpointslices", "deployments", "statefulsets", "daemonsets"} {
		s.Expect(watched).To(gomega.HaveKey(resource))
	}
}
