package integration

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// computed polls what kstatus makes of an object, by which Flux, Helm and kpt wait.
func (s *scene) computed(kind string, object client.Object) func() (status.Status, error) {
	return func() (status.Status, error) {
		u := &unstructured.Unstructured{}
		u.SetGroupVersionKind(iter8v1alpha1.GroupVersion.WithKind(kind))
		if err := k8s.Get(s.Context(), client.ObjectKeyFromObject(object), u); err != nil {
			return "", err
		}
		result, err := status.Compute(u)
		if err != nil {
			return "", err
		}
		return result.Status, nil
	}
}

func TestWhatTheOperatorHasNotLookedAtIsInProgress(t *testing.T) {
	s := newScene(t)
	s.createPrimary()
	subject, policy := s.subject("app", iter8v1alpha1.Variant{Name: "v1"}), s.templatePolicy("routes", "app", routeTemplate("app"))
	restart(t, func() {
		s.create(subject, policy)
		s.Expect(s.computed("Subject", subject)()).To(gomega.Equal(status.InProgressStatus))
		s.Expect(s.computed("RoutingPolicy", policy)()).To(gomega.Equal(status.InProgressStatus))
	})
	s.Eventually(s.computed("Subject", subject)).Should(gomega.Equal(status.CurrentStatus))
	s.Eventually(s.computed("RoutingPolicy", policy)).Should(gomega.Equal(status.CurrentStatus))

	restart(t, func() {
		patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Templates[0].Template = "{{" })
		s.Expect(s.computed("RoutingPolicy", policy)()).To(gomega.Equal(status.InProgressStatus), "the spec is another one")
		policy.Status = iter8v1alpha1.RoutingPolicyStatus{}
		s.Expect(k8s.Status().Update(s.Context(), policy)).To(gomega.Succeed())
		s.Expect(k8s.Get(s.Context(), client.ObjectKeyFromObject(policy), policy)).To(gomega.Succeed())
		s.Expect(policy.Status.Applied).To(gomega.BeEmpty())
		s.Expect(s.computed("RoutingPolicy", policy)()).To(gomega.Equal(status.InProgressStatus), "its status was emptied")
	})
	s.Eventually(s.computed("RoutingPolicy", policy)).Should(gomega.Equal(status.FailedStatus))
}

func TestAStatusThatAnotherWritesIsPutRightAtOnce(t *testing.T) {
	s := newScene(t)
	s.createPrimary()
	subject, policy := s.subject("app", iter8v1alpha1.Variant{Name: "v1"}), s.templatePolicy("routes", "app", routeTemplate("one"), routeTemplate("two"))
	s.create(subject, policy)
	const ready = "True Succeeded: 2 objects applied for v1 available"
	s.Eventually(s.ready(policy)).Should(gomega.Equal(ready))
	s.Eventually(s.ready(subject)).Should(gomega.HavePrefix("True Observed"))
	one, err := s.route("one")()
	s.Expect(err).NotTo(gomega.HaveOccurred())

	policy.Status, subject.Status = iter8v1alpha1.RoutingPolicyStatus{}, iter8v1alpha1.SubjectStatus{}
	s.Expect(k8s.Status().Update(s.Context(), policy)).To(gomega.Succeed())
	s.Expect(k8s.Status().Update(s.Context(), subject)).To(gomega.Succeed())
	s.Eventually(s.ready(policy)).Should(gomega.Equal(ready))
	s.Eventually(s.ready(subject)).Should(gomega.HavePrefix("True Observed"))
	s.Expect(s.applied(policy)()).To(gomega.Equal([]string{"one", "two"}))
	s.Expect(s.route("one")()).To(gomega.HaveField("UID", one.UID))

	policy.Status.Applied = policy.Status.Applied[:1]
	s.Expect(k8s.Status().Update(s.Context(), policy)).To(gomega.Succeed())
	s.Eventually(s.applied(policy)).Should(gomega.Equal([]string{"one", "two"}))
}

// As many mirrors as a route can have, each with a long match.
func TestTheStatusOfAPolicyWithManyMirrorsIsBounded(t *testing.T) {
	s := newScene(t)
	s.createPrimary()
	rule := mirrorValues("httpbin-v1", slices.Repeat([]string{"httpbin-v2"}, 8)...)["rules"].([]any)[0].(map[string]any)
	var rules []any
	for i := range 16 {
		one := maps.Clone(rule)
		one["matches"] = []any{map[string]any{"path": map[string]any{"type": "PathPrefix", "value": fmt.Sprintf("/%0900d", i)}}}
		rules = append(rules, one)
	}
	policy := s.mirrorPolicy("routes", "httpbin")
	policy.Spec.Values = values(map[string]any{"rules": rules})
	s.create(s.httpbin(), policy)
	s.Eventually(s.ready(policy)).Should(gomega.MatchRegexp(`^True Succeeded: no mirror to httpbin-v2:80: .*; status.mirrors lists only \d+ of 128 mirrors$`))
	data, err := json.Marshal(policy.Status)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(len(data)).To(gomega.BeNumerically("<=", 65536))
}
