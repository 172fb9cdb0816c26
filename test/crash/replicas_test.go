package crash

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// Replicas share one Lease, so that these tests come one after the other, beside all others.
func TestReplicas(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]func(*scene){
		"a standby takes over from a leader that was killed, and changes what it must":                            testTakeover,
		"a leader that loses its Lease while a fault keeps it from its work leaves that to the next":              testLostLease,
		"a leader that can't renew its Lease ends, and its last write to a route, which comes late, is put right": testLateRoute,
		"a leader whose Lease is taken ends, and its last write to a status, which comes late, is refused":        testLateStatus,
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			// Replicas of other tests are gone, and gave nothing back.
			s.Expect(client.IgnoreNotFound(k8s.Delete(t.Context(), lease()))).To(Succeed())
			test(s)
		})
	}
}

func lease() *coordinationv1.Lease {
	return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Namespace: systemNamespace, Name: env.Release}}
}

// readLease returns the Lease as it is.
func (s *scene) readLease() *coordinationv1.Lease {
	s.Helper()
	l := lease()
	s.Expect(k8s.Get(s.Context(), client.ObjectKeyFromObject(l), l)).To(Succeed())
	return l
}

// expires is the first moment at which another replica may take the Lease.
func expires(l *coordinationv1.Lease) time.Time {
	return l.Spec.RenewTime.Add(time.Duration(*l.Spec.LeaseDurationSeconds) * time.Second)
}

// app makes a Subject with variants v1, of a Service web, and v2, of a Service and a Deployment of some name, and a policy
// whose route mirrors to the latter what the Service primary answers. All three have the same name.
func (s *scene) app(name, v2 string) {
	s.Helper()
	subject := s.subject(name, "web", v2)
	subject.Spec.Variants[1].Resources = append(subject.Spec.Variants[1].Resources,
		iter8v1alpha1.ResourceReference{APIVersion: "apps/v1", Kind: "Deployment", Name: v2})
	backend := func(name string) map[string]any { return map[string]any{"name": name, "port": 80} }
	values, err := json.Marshal(map[string]any{"rules": []any{map[string]any{
		"filters":     []any{map[string]any{"type": "RequestMirror", "requestMirror": map[string]any{"backendRef": backend(v2)}}},
		"backendRefs": []any{backend("primary")},
	}}})
	s.Expect(err).NotTo(HaveOccurred())
	s.create(subject, &iter8v1alpha1.RoutingPolicy{ObjectMeta: s.meta(name), Spec: iter8v1alpha1.RoutingPolicySpec{
		SubjectRef: iter8v1alpha1.SubjectReference{Name: name},
		Trigger:    &iter8v1alpha1.Trigger{Variants: []string{v2}},
		Chart:      &iter8v1alpha1.ChartReference{Name: "mirror"},
		Values:     &apiextensionsv1.JSON{Raw: values},
	}})
}

// bringUp has a Service and a Deployment of a name become ready, as the controllers of Kubernetes would have them, which don't run here.
func (s *scene) bringUp(name string) {
	s.Helper()
	labels, ready := map[string]string{"app": name}, true
	deployment := env.Deployment(s.namespace, name, labels)
	s.create(env.Service(s.namespace, name, labels), deployment, &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name, Labels: map[string]string{
			discoveryv1.LabelServiceName: name, iter8v1alpha1.DetectLabel: "true",
		}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.9"}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
	})
	deployment.Status = appsv1.DeploymentStatus{
		ObservedGeneration: deployment.Generation, Replicas: 1, UpdatedReplicas: 1, ReadyReplicas: 1, AvailableReplicas: 1,
		Conditions: []appsv1.DeploymentCondition{{Type: appsv1.DeploymentAvailable, Status: corev1.ConditionTrue, Reason: "MinimumReplicasAvailable"}},
	}
	s.Expect(k8s.Status().Update(s.Context(), deployment)).To(Succeed())
}

// arrivedAt polls whether a policy is where it is to be, whatever other policies there are.
func (s *scene) arrivedAt(name, targets string) func() error {
	return func() error {
		policy, err := s.observed(name)
		if err != nil {
			return err
		}
		if got := policy.Status.MirrorTargets; got != targets || readiness(policy.Status.Conditions) != "True Succeeded" {
			return fmt.Errorf("%s mirrors to %q, and is %s", name, got, readiness(policy.Status.Conditions))
		}
		return nil
	}
}

// others is how many policies have nothing to do with what happens.
const others = 20

func testTakeover(s *scene) {
	s.create(s.service("web"))
	s.bringUp("steady")
	s.app("flips", "v2")
	for i := range others {
		s.app(fmt.Sprintf("other-%02d", i), "steady")
	}
	leader := s.start(nil)
	s.Eventually(s.arrivedAt("flips", "")).Should(Succeed())
	for i := range others {
		s.Eventually(s.arrivedAt(fmt.Sprintf("other-%02d", i), "steady:80")).Should(Succeed())
	}
	held := s.readLease()
	standby := s.start(nil) // which returns when /readyz answers
	s.Expect(s.readLease().Spec.HolderIdentity).To(Equal(held.Spec.HolderIdentity))
	s.Expect(leader.Done()).NotTo(BeClosed())
	s.Eventually(standby.reads).WithArguments(time.Time{}).Should(ConsistOf(inCaches))
	s.Expect(standby.writes()).To(BeEmpty())

	leader.kill()
	died := time.Now()
	held = s.readLease()
	s.bringUp("v2")
	s.Eventually(s.arrivedAt("flips", "v2:80")).Should(Succeed())
	s.Expect(*s.readLease().Spec.HolderIdentity).NotTo(Equal(*held.Spec.HolderIdentity))

	wanted := ConsistOf(
		"patch httproutes "+s.namespace+"/flips",
		"patch routingpolicies/status "+s.namespace+"/flips",
		"patch subjects/status "+s.namespace+"/flips",
		"create events "+s.namespace+"/",     // the mirror stands
		"create events "+systemNamespace+"/", // it leads
	)
	s.Eventually(standby.writes).Should(wanted)
	s.Consistently(standby.writes, "2s").Should(wanted)
	acted := standby.proxy.Requests(isWork)[0].Time
	s.Expect(acted).To(BeTemporally(">=", expires(held)))
	s.Logf("the standby acted %s after the leader had died, and %s after the Lease had expired", acted.Sub(died), acted.Sub(expires(held)))

	s.Expect(standby.reads(died)).To(Equal([]string{"httproutes"}), "all else was in its caches")
}

// inCaches is what a standby has in its caches: all but the routing objects.
var inCaches = []string{"subjects", "routingpolicies", "services", "deployments", "endpointslices"}

// isSweep recognizes the watch of what policies that are gone have left, by its label: nothing waits for it.
func isSweep(r env.Request) bool {
	return strings.Contains(r.URI, "labelSelector=iter8.tools%2Fpolicy-uid")
}

// reads returns the resources that the replica has listed or watched since a moment, for what it does about policies.
func (r *replica) reads(since time.Time) []string {
	resources := []string{}
	for _, read := range r.proxy.Requests(func(r env.Request) bool {
		return r.Time.After(since) && (r.Verb == "list" || r.Verb == "watch") && !isSweep(r)
	}) {
		if !slices.Contains(resources, read.Resource) {
			resources = append(resources, read.Resource)
		}
	}
	return resources
}
