package integration

import (
	"encoding/json"
	"testing"

	"github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// foreign is a route that somebody else made.
func (s *scene) foreign(name string) *gatewayv1.HTTPRoute {
	return &gatewayv1.HTTPRoute{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec: gatewayv1.HTTPRouteSpec{
			Hostnames: []gatewayv1.Hostname{"example.com"},
			Rules: []gatewayv1.HTTPRouteRule{{BackendRefs: []gatewayv1.HTTPBackendRef{{BackendRef: gatewayv1.BackendRef{
				BackendObjectReference: gatewayv1.BackendObjectReference{Name: "theirs", Port: ptr(gatewayv1.PortNumber(80))}}}}}},
		},
	}
}

func (s *scene) bytes(route *gatewayv1.HTTPRoute) string {
	s.Helper()
	s.Expect(k8s.Get(s.Context(), client.ObjectKeyFromObject(route), route)).To(gomega.Succeed())
	data, err := json.Marshal(route)
	s.Expect(err).NotTo(gomega.HaveOccurred())
	return string(data)
}

func TestAForeignRouteIsLeftAloneByteForByteAndItsNameTakenOnceItIsGone(t *testing.T) {
	s := newScene(t)
	s.deploy("httpbin-v1")
	theirs := s.foreign("httpbin")
	s.Expect(k8s.Create(s.Context(), theirs, client.FieldOwner("kubectl-create"))).To(gomega.Succeed())
	before := s.bytes(theirs)
	policy := s.mirrorPolicy("httpbin-route", "httpbin")
	s.create(s.httpbin(), policy)
	s.Eventually(s.ready(policy)).Should(gomega.Equal("False OwnershipConflict: HTTPRoute httpbin exists and does not belong to this policy " +
		`(its fields are managed by kubectl-create), so it is left alone; rename or delete it, or hand it over with the annotation iter8.tools/adopt: "true"`))
	s.deploy("httpbin-v2")
	s.Consistently(func() string { return s.bytes(theirs) }, "500ms").Should(gomega.Equal(before))
	s.Expect(policy.Status.Applied).To(gomega.BeEmpty())

	s.delete(theirs)
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
}

func TestARouteThatIsHandedOverIsAdoptedOnceThatChangesNothingForClients(t *testing.T) {
	s := newScene(t)
	s.deploy("httpbin-v1")
	theirs := s.foreign("httpbin")
	s.create(theirs)
	policy := s.mirrorPolicy("httpbin-route", "httpbin")
	s.create(s.httpbin(), policy)
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("False OwnershipConflict"))

	uid := theirs.UID
	patch(s, theirs, func(r *gatewayv1.HTTPRoute) { r.Annotations = map[string]string{iter8v1alpha1.AdoptAnnotation: "true"} })
	before := s.bytes(theirs)
	s.Eventually(s.ready(policy)).Should(gomega.Equal("False AdoptionDiffers: HTTPRoute httpbin is handed over and isn't adopted, since that would change " +
		"spec.hostnames, spec.parentRefs, spec.rules[0].backendRefs[0].name; change the object or what is rendered until they say the same, mirrors apart"))
	s.deploy("httpbin-v2")
	s.Consistently(func() string { return s.bytes(theirs) }, "500ms").Should(gomega.Equal(before))
	s.Expect(policy.Status.Applied).To(gomega.BeEmpty())

	patch(s, theirs, func(r *gatewayv1.HTTPRoute) {
		r.Spec.Hostnames = nil
		r.Spec.ParentRefs = []gatewayv1.ParentReference{{Group: ptr(gatewayv1.Group("")), Kind: ptr(gatewayv1.Kind("Service")), Name: "httpbin", Port: ptr(gatewayv1.PortNumber(8000))}}
		r.Spec.Rules[0].BackendRefs[0].Name = "httpbin-v1"
		r.Spec.Rules[0].Filters = []gatewayv1.HTTPRouteFilter{{Type: gatewayv1.HTTPRouteFilterRequestMirror, RequestMirror: &gatewayv1.HTTPRequestMirrorFilter{
			BackendRef: gatewayv1.BackendObjectReference{Name: "theirs", Port: ptr(gatewayv1.PortNumber(80))}}}}
	})
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	s.Expect(k8s.Get(s.Context(), s.key("httpbin"), theirs)).To(gomega.Succeed())
	s.Expect(theirs.UID).To(gomega.Equal(uid))
	s.Expect(theirs.OwnerReferences).To(gomega.BeEmpty(), "the garbage collector is to leave it")
	s.Expect(theirs.Labels).To(gomega.HaveKeyWithValue("iter8.tools/policy-uid", string(policy.UID)))
	s.Expect(policy.Status.Applied).To(gomega.ConsistOf(gomega.HaveField("Adopted", true)))

	s.delete(policy)
	s.Eventually(s.route("httpbin")).Should(mirrorTo(), "it was there before the policy")
	s.Expect(k8s.Get(s.Context(), s.key("httpbin"), theirs)).To(gomega.Succeed())
	s.Expect(theirs.UID).To(gomega.Equal(uid))
	s.Expect(theirs.Spec.Rules[0].BackendRefs[0].Name).To(gomega.BeEquivalentTo("httpbin-v1"))
}

func TestOfTwoPoliciesThatRenderOneNameTheFirstHasItAndTheSecondInherits(t *testing.T) {
	s := newScene(t)
	_, first := s.tutorial()
	second := s.mirrorPolicy("latecomer", "httpbin")
	s.create(second)
	s.Eventually(s.ready(second)).Should(gomega.Equal("False OwnershipConflict: HTTPRoute httpbin exists and does not belong to this policy " +
		"(RoutingPolicy httpbin-route controls it), so it is left alone; rename or delete one of the two"))
	s.Expect(s.condition(second, iter8v1alpha1.ConditionStalled)()).To(gomega.HavePrefix("True OwnershipConflict"))
	s.Expect(s.ready(first)()).To(gomega.HavePrefix("True"))

	s.delete(first)
	s.Eventually(s.ready(second), "60s").Should(gomega.HavePrefix("True"))
	route, err := s.route("httpbin")()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(metav1.GetControllerOf(route)).To(gomega.HaveField("UID", second.UID))
}

func TestDriftIsPutRightFromTheWatchAndFieldsOfOthersSurvive(t *testing.T) {
	s := newScene(t)
	_, policy := s.tutorial()
	s.deploy("httpbin-v2")
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	route := &gatewayv1.HTTPRoute{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "httpbin"}}

	patch(s, route, func(r *gatewayv1.HTTPRoute) {
		r.Spec.Rules[0].Filters = nil
		r.Spec.Hostnames = []gatewayv1.Hostname{"added.example.com"}
		r.Annotations = map[string]string{"example.com/theirs": "stays"}
	})
	s.Eventually(s.route("httpbin")).Should(gomega.And(mirrorTo("httpbin-v2"), gomega.HaveField("Spec.Hostnames", gomega.BeEmpty())))
	s.Expect(k8s.Get(s.Context(), s.key("httpbin"), route)).To(gomega.Succeed())
	s.Expect(route.Annotations).To(gomega.HaveKeyWithValue("example.com/theirs", "stays"))

	patch(s, route, func(r *gatewayv1.HTTPRoute) { r.Labels, r.OwnerReferences = nil, nil })
	s.Eventually(func(g gomega.Gomega) {
		g.Expect(k8s.Get(s.Context(), s.key("httpbin"), route)).To(gomega.Succeed())
		g.Expect(route.Labels).To(gomega.HaveKeyWithValue(iter8v1alpha1.ManagedByLabel, iter8v1alpha1.FieldManager))
		g.Expect(metav1.GetControllerOf(route)).To(gomega.HaveField("UID", policy.UID))
	}).Should(gomega.Succeed())

	uid := route.UID
	s.delete(route)
	s.Eventually(s.route("httpbin")).Should(gomega.And(gomega.Not(gomega.BeNil()), gomega.Not(gomega.HaveField("UID", uid)), mirrorTo("httpbin-v2")))
}

func TestAPolicyWritesAsItsServiceAccount(t *testing.T) {
	s := newScene(t)
	s.deploy("httpbin-v1")
	policy := s.mirrorPolicy("httpbin-route", "httpbin")
	policy.Spec.ServiceAccountName = "router"
	s.create(s.httpbin(), policy)
	account := "system:serviceaccount:" + s.namespace + ":router"
	s.Eventually(s.ready(policy)).Should(gomega.Equal("False Forbidden: ServiceAccount " + s.namespace + "/router may not create, patch, delete " +
		"httproutes.gateway.networking.k8s.io in its namespace; bind a Role with these verbs to it"))
	s.Expect(policy.Status.Applied).To(gomega.BeEmpty(), "nothing is tried")

	s.account("router", "create", "patch", "delete")
	s.Eventually(s.ready(policy), "60s").Should(gomega.HavePrefix("True"))
	writes, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
		return e.IsWrite() && e.Resource == "httproutes" && e.Namespace == s.namespace && e.Code < 300
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	s.Expect(writes).To(gomega.HaveEach(gomega.HaveField("ImpersonatedUser", account)))
}
