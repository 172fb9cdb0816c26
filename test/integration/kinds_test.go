package integration

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

const (
	virtualServiceTemplate = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: app}\n" +
		"spec: {hosts: [app], http: [{route: [{destination: {host: httpbin-v1}}]}]}\n"
	// mirrorTemplate is a route with a mirror while the second variant is available.
	mirrorTemplate = "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: app}\nspec:\n  rules:\n" +
		"  - backendRefs: [{name: httpbin-v1, port: 80}]\n{{- if (index .Values.iter8.variants 1).available }}\n" +
		"    filters: [{type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}}}]\n{{- end }}\n"
	grpcRouteTemplate = "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: app}\n" +
		"spec: {rules: [{backendRefs: [{name: httpbin-v1, port: 80}]}]}\n"
)

// customResource is a CustomResourceDefinition with the name of another project's, and any content.
func customResource(group, version, kind string) *apiextensionsv1.CustomResourceDefinition {
	anything := true
	singular := strings.ToLower(kind)
	return &apiextensionsv1.CustomResourceDefinition{
		ObjectMeta: metav1.ObjectMeta{Name: singular + "s." + group},
		Spec: apiextensionsv1.CustomResourceDefinitionSpec{
			Group: group,
			Scope: apiextensionsv1.NamespaceScoped,
			Names: apiextensionsv1.CustomResourceDefinitionNames{Plural: singular + "s", Singular: singular, Kind: kind, ListKind: kind + "List"},
			Versions: []apiextensionsv1.CustomResourceDefinitionVersion{{
				Name: version, Served: true, Storage: true,
				Subresources: &apiextensionsv1.CustomResourceSubresources{Status: &apiextensionsv1.CustomResourceSubresourceStatus{}},
				Schema: &apiextensionsv1.CustomResourceValidation{OpenAPIV3Schema: &apiextensionsv1.JSONSchemaProps{
					Type: "object", XPreserveUnknownFields: &anything,
				}},
			}},
		},
	}
}

// serve has the apiserver serve a kind until the test ends, or until what it returns is called.
func (s *scene) serve(crd *apiextensionsv1.CustomResourceDefinition) (withdraw func()) {
	s.Helper()
	s.create(crd.DeepCopy())
	version := crd.Spec.Versions[0].Name
	list := &unstructured.UnstructuredList{}
	list.SetAPIVersion(crd.Spec.Group + "/" + version)
	list.SetKind(crd.Spec.Names.ListKind)
	served := func() error {
		return k8s.List(context.Background(), list, client.InNamespace(s.namespace))
	}
	withdraw = func() {
		gone := func() bool {
			err := k8s.Delete(context.Background(), crd)
			return apierrors.IsNotFound(err)
		}
		s.Eventually(gone).Should(gomega.BeTrue())
	}
	s.Cleanup(withdraw)
	s.Eventually(served).Should(gomega.Succeed())
	return withdraw
}

func (s *scene) virtualService(name string) func() (*unstructured.Unstructured, error) {
	return func() (*unstructured.Unstructured, error) {
		object := &unstructured.Unstructured{}
		object.SetAPIVersion("networking.istio.io/v1")
		object.SetKind("VirtualService")
		return get(s, s.key(name), object)
	}
}

func TestAKindOfRouteThatIsNotServedIsAppliedOnceItIs(t *testing.T) {
	s := newScene(t)
	s.createPrimary()
	_, v2 := s.deploy("httpbin-v2")
	policy := s.templatePolicy("routes", "app", mirrorTemplate)
	s.create(s.subject("app", iter8v1alpha1.Variant{Name: "v1"}, variant("v2", "httpbin-v2")), policy)
	s.Eventually(s.route("app")).Should(mirrorTo("httpbin-v2"))
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
	stands := s.bytes(s.foreign("app"))

	patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) {
		p.Spec.Templates = append(p.Spec.Templates, iter8v1alpha1.InlineTemplate{Name: "istio", Template: virtualServiceTemplate})
	})
	notServed := map[string]string{
		"Ready":         "False KindNotServed",
		"ChartResolved": "True InlineTemplates",
		"Rendered":      "True Succeeded",
		"Applied":       "False KindNotServed",
		"Accepted":      "Unknown NotReported",
		"Reconciling":   "True KindNotServed",
	}
	s.Eventually(s.conditions(policy)).Should(gomega.Equal(notServed))
	const message = "False KindNotServed: the cluster does not serve networking.istio.io/v1 VirtualService; install its CustomResourceDefinition"
	s.Expect(s.ready(policy)()).To(gomega.Equal(message))
	s.Expect(s.bytes(s.foreign("app"))).To(gomega.Equal(stands))

	crd := customResource("networking.istio.io", "v1", "VirtualService")
	withdraw := s.serve(crd)
	s.Eventually(s.ready(policy), "60s").Should(gomega.Equal("True Succeeded: 2 objects applied for v1 available, v2 available"))
	s.Expect(s.virtualService("app")()).NotTo(gomega.BeNil())

	withdraw() // and all of the kind with it
	s.Eventually(s.ready(policy), "60s").Should(gomega.Equal(message))
	s.Eventually(s.conditions(policy)).Should(gomega.Equal(notServed))
	s.Expect(s.bytes(s.foreign("app"))).To(gomega.Equal(stands))
	s.Eventually(func(g gomega.Gomega) {
		writes := s.writesTo("virtualservices")
		patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) {
			p.Annotations = map[string]string{iter8v1alpha1.ReconcileAnnotation: time.Now().String()}
		})
		g.Consistently(func() int { return s.writesTo("virtualservices") }, "500ms").Should(gomega.Equal(writes))
	}, "60s").Should(gomega.Succeed(), "what is known not to be served isn't tried")
	s.delete(v2)
	s.Eventually(s.route("app")).Should(mirrorTo(), "the other object goes on following the variants")
	s.Eventually(s.ready(policy)).Should(gomega.Equal(message))

	s.serve(crd)
	s.Eventually(s.ready(policy), "60s").Should(gomega.Equal("True Succeeded: 2 objects applied for v1 available, v2 not available"))
	s.Expect(s.virtualService("app")()).NotTo(gomega.BeNil())
}

// TestARefusalWithoutAReasonIsNotAccepted has Istio report as https://istio.io/latest/docs/reference/config/meta/v1alpha1
// describes, of which a reason is no required part.
func TestARefusalWithoutAReasonIsNotAccepted(t *testing.T) {
	s := newScene(t)
	s.serve(customResource("networking.istio.io", "v1", "VirtualService"))
	policy := s.templatePolicy("routes", "app", virtualServiceTemplate)
	s.create(s.subject("app", iter8v1alpha1.Variant{Name: "v1"}), policy)
	s.Eventually(s.condition(policy, "Accepted"), "60s").Should(gomega.Equal("Unknown NotReported: VirtualService app: Istio reports nothing on it"))

	report := func(status, message string) {
		applied, err := s.virtualService("app")()
		s.Expect(err).NotTo(gomega.HaveOccurred())
		applied.Object["status"] = map[string]any{"conditions": []any{map[string]any{"type": "Reconciled", "status": status, "message": message}}}
		s.Expect(k8s.Status().Update(s.Context(), applied)).To(gomega.Succeed())
	}
	report("False", "the proxies refuse it")
	s.Eventually(s.conditions(policy)).Should(gomega.Equal(map[string]string{
		"Ready":         "False NotAccepted",
		"ChartResolved": "True InlineTemplates",
		"Rendered":      "True Succeeded",
		"Applied":       "True Succeeded",
		"Accepted":      "False NotAccepted",
		"Reconciling":   "True NotAccepted",
	}))
	s.Expect(s.ready(policy)()).To(gomega.Equal("False NotAccepted: VirtualService app: Istio says Reconciled False: NotAccepted: the proxies refuse it"))
	s.Expect(s.virtualService("app")()).NotTo(gomega.BeNil(), "what is applied stays")

	report("True", "")
	s.Eventually(s.ready(policy)).Should(gomega.Equal("True Succeeded: 1 object applied for v1 available"))
	s.Expect(s.condition(policy, "Accepted")()).To(gomega.Equal("True Accepted: VirtualService app accepted by Istio"))
}

func TestAKindOfRouteThatMayNotBeWatchedIsAppliedOnceItMay(t *testing.T) {
	s := newScene(t)
	s.createPrimary()
	restore := s.withoutRight("grpcroutes")
	policy := s.templatePolicy("routes", "app", routeTemplate("app"), grpcRouteTemplate)
	s.create(s.subject("app", iter8v1alpha1.Variant{Name: "v1"}), policy)
	s.Eventually(s.conditions(policy)).Should(gomega.Equal(map[string]string{
		"Ready":         "False WatchFailed",
		"ChartResolved": "True InlineTemplates",
		"Rendered":      "True Succeeded",
		"Applied":       "False WatchFailed",
		"Accepted":      "Unknown Skipped",
		"Reconciling":   "True WatchFailed",
	}))
	s.Expect(s.ready(policy)()).To(gomega.MatchRegexp("^False WatchFailed: GRPCRoute.gateway.networking.k8s.io can't be watched: " +
		"may not (list|watch) grpcroutes.gateway.networking.k8s.io: .*" + operatorUser))
	s.Expect(s.route("app")()).To(gomega.BeNil(), "what can't be compared with the cluster isn't applied in part")

	restore()
	s.Eventually(s.ready(policy), "60s").Should(gomega.Equal("True Succeeded: 2 objects applied for v1 available"))
}

// withoutRight takes a resource out of what the operator has rights on, and returns what puts that back.
func (s *scene) withoutRight(resource string) (restore func()) {
	s.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "iter8-operator"}}
	s.Expect(k8s.Get(s.Context(), client.ObjectKeyFromObject(role), role)).To(gomega.Succeed())
	rules := role.DeepCopy().Rules
	group := ""
	for i, rule := range role.Rules {
		others := []string{}
		for _, r := range rule.Resources {
			if r == resource {
				group = rule.APIGroups[0]
			} else {
				others = append(others, r)
			}
		}
		role.Rules[i].Resources = others
	}
	set := func(rules []rbacv1.PolicyRule, allowed bool) {
		s.Expect(k8s.Get(context.Background(), client.ObjectKeyFromObject(role), role)).To(gomega.Succeed())
		role.Rules = rules
		s.Expect(k8s.Update(context.Background(), role)).To(gomega.Succeed())
		s.Eventually(func() (bool, error) {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: operatorUser,
				ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: "watch", Group: group, Resource: resource}}}
			err := k8s.Create(context.Background(), review)
			return review.Status.Allowed, err
		}).Should(gomega.Equal(allowed))
	}
	restore = func() { set(rules, true) }
	s.Cleanup(restore)
	set(role.DeepCopy().Rules, false)
	return restore
}

func TestAKindThatIsAddedToTheChartsAppResourcesIsReadWithoutARestart(t *testing.T) {
	s := newScene(t)
	s.deploy("httpbin-v1")
	s.deploy("httpbin-v2")
	s.create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "flags", Labels: map[string]string{iter8v1alpha1.DetectLabel: "true"}}})
	subject, policy := s.httpbin(), s.mirrorPolicy("httpbin-route", "httpbin")
	subject.Spec.Variants[1].Resources = append(subject.Spec.Variants[1].Resources, iter8v1alpha1.ResourceReference{APIVersion: "v1", Kind: "ConfigMap", Name: "flags"})
	s.create(subject, policy)
	s.Eventually(s.ready(subject)).Should(gomega.MatchRegexp(`^False WatchFailed: variant v2: ConfigMap flags can't be read \(v1 ConfigMap\): may not (list|watch) configmaps: `))
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("False VariantStateUnknown: variant v2 counts as not available, as it was last known: ConfigMap flags can't be read"))
	s.Expect(s.condition(subject, "Reconciling")()).To(gomega.HavePrefix("True WatchFailed: "))
	s.Expect(s.condition(policy, "Reconciling")()).To(gomega.HavePrefix("True VariantStateUnknown: "))
	s.Expect(s.route("httpbin")()).To(mirrorTo())

	upgrade := func(values ...string) {
		_, err := cluster.Install(context.Background(), systemNamespace, values...)
		s.Expect(err).NotTo(gomega.HaveOccurred())
	}
	s.Cleanup(func() { upgrade("--reset-values") })
	upgrade("--set-json", `appResources=[{"group":"","resource":"configmaps"}]`)
	s.Eventually(s.route("httpbin"), "60s").Should(mirrorTo("httpbin-v2"))
	s.Eventually(s.ready(subject)).Should(gomega.Equal("True Observed: all variants are available"))
	s.Eventually(s.ready(policy)).Should(gomega.Equal("True Succeeded: 1 object applied for v2 available"))
}
