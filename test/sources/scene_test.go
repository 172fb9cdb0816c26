package sources

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	apitypes "k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// team is the ServiceAccount of a scene's policies. It may read Secrets and write routes.
const team = "team"

// scene is a namespace of one test, in which variant v1 is there.
type scene struct {
	*testing.T
	*WithT
	namespace string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{T: t, WithT: NewWithT(t)}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "scene-"}}
	s.create(namespace)
	s.namespace = namespace.Name
	s.account(team,
		rbacv1.PolicyRule{APIGroups: []string{gatewayv1.GroupName}, Resources: []string{"httproutes"}, Verbs: []string{"create", "patch", "delete"}},
		rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get"}})
	s.create(s.service("app-v1"))
	t.Cleanup(func() {
		_ = k8s.DeleteAllOf(context.Background(), &iter8v1alpha1.RoutingPolicy{}, client.InNamespace(s.namespace))
	})
	return s
}

// in is the scene in a test within its test.
func (s *scene) in(t *testing.T) *scene {
	return &scene{T: t, WithT: NewWithT(t), namespace: s.namespace}
}

// account makes a ServiceAccount with rights in the scene's namespace.
func (s *scene) account(name string, rules ...rbacv1.PolicyRule) {
	s.Helper()
	s.create(&corev1.ServiceAccount{ObjectMeta: s.meta(name)})
	s.allow(name, rules...)
}

// allow gives rights to a ServiceAccount.
func (s *scene) allow(name string, rules ...rbacv1.PolicyRule) {
	s.Helper()
	s.create(&rbacv1.Role{ObjectMeta: s.meta(name), Rules: rules},
		&rbacv1.RoleBinding{ObjectMeta: s.meta(name), RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects: []rbacv1.Subject{{Kind: "ServiceAccount", Namespace: s.namespace, Name: name}}})
}

func (s *scene) create(objects ...client.Object) {
	s.Helper()
	for _, o := range objects {
		s.Expect(k8s.Create(s.Context(), o)).To(Succeed())
	}
}

func (s *scene) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: s.namespace, Name: name}
}

// secret makes a Secret.
func (s *scene) secret(name string, data map[string][]byte) {
	s.Helper()
	s.create(&corev1.Secret{ObjectMeta: s.meta(name), Data: data})
}

// trust makes the Secret ca, of the certificates of servers.
func (s *scene) trust(authorities ...[]byte) {
	s.Helper()
	s.secret("ca", map[string][]byte{"ca.crt": bytes.Join(authorities, nil)})
}

// service is one without a selector, which is ready while it exists.
func (s *scene) service(name string) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name, Labels: map[string]string{iter8v1alpha1.DetectLabel: "true"}},
		Spec:       corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}},
	}
}

// subject has variants v1 and v2, of a Service each, which all Subjects of a scene share.
func (s *scene) subject(name string) *iter8v1alpha1.Subject {
	variant := func(name string) iter8v1alpha1.Variant {
		return iter8v1alpha1.Variant{Name: name, Resources: []iter8v1alpha1.ResourceReference{{APIVersion: "v1", Kind: "Service", Name: "app-" + name}}}
	}
	return &iter8v1alpha1.Subject{ObjectMeta: s.meta(name), Spec: iter8v1alpha1.SubjectSpec{Variants: []iter8v1alpha1.Variant{variant("v1"), variant("v2")}}}
}

// policy of the Subject of its name, whose route mirrors app-v1 to app-v2.
func (s *scene) policy(name string, chart *iter8v1alpha1.ChartReference) *iter8v1alpha1.RoutingPolicy {
	backend := func(name string) map[string]any { return map[string]any{"name": name, "port": 80} }
	return &iter8v1alpha1.RoutingPolicy{ObjectMeta: s.meta(name), Spec: iter8v1alpha1.RoutingPolicySpec{
		SubjectRef:         iter8v1alpha1.SubjectReference{Name: name},
		Trigger:            &iter8v1alpha1.Trigger{Variants: []string{"v2"}},
		Chart:              chart,
		ServiceAccountName: team,
		Values: values(map[string]any{"rules": []any{map[string]any{
			"filters":     []any{map[string]any{"type": "RequestMirror", "requestMirror": map[string]any{"backendRef": backend("app-v2")}}},
			"backendRefs": []any{backend("app-v1")},
		}}}),
	}}
}

func values(v map[string]any) *apiextensionsv1.JSON {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return &apiextensionsv1.JSON{Raw: raw}
}

// app makes a Subject and a policy of one name, after the policy was changed.
func (s *scene) app(name string, chart *iter8v1alpha1.ChartReference, change ...func(*iter8v1alpha1.RoutingPolicy)) {
	s.Helper()
	policy := s.policy(name, chart)
	for _, c := range change {
		c(policy)
	}
	s.create(s.subject(name), policy)
}

// often has a policy's chart looked up as often as the API allows.
func often(p *iter8v1alpha1.RoutingPolicy) {
	p.Spec.Interval = &metav1.Duration{Duration: 10 * time.Second}
}

// builtIn is the chart that no repository is needed for.
func builtIn() *iter8v1alpha1.ChartReference { return &iter8v1alpha1.ChartReference{Name: "mirror"} }

// reconcile asks for a policy's chart to be looked up now.
func (s *scene) reconcile(name string) {
	s.Helper()
	patch := fmt.Sprintf(`{"metadata":{"annotations":{%q:%q}}}`, iter8v1alpha1.ReconcileAnnotation, time.Now().Format(time.RFC3339Nano))
	s.Expect(k8s.Patch(s.Context(), &iter8v1alpha1.RoutingPolicy{ObjectMeta: s.meta(name)}, client.RawPatch(apitypes.MergePatchType, []byte(patch)))).To(Succeed())
}

// v2 has variant v2 come or go.
func (s *scene) v2(available bool) {
	s.Helper()
	if available {
		s.create(s.service("app-v2"))
		return
	}
	s.Expect(k8s.Delete(s.Context(), s.service("app-v2"))).To(Succeed())
}

// follows has variant v2 come and go, and waits until the routes of policies have followed both.
func (s *scene) follows(names ...string) {
	s.Helper()
	for _, available := range []bool{true, false} {
		s.v2(available)
		for _, name := range names {
			s.Eventually(s.route(name)).Should(mirrored(available), name)
		}
	}
}

// route polls a route; nil while there is none.
func (s *scene) route(name string) func() (*gatewayv1.HTTPRoute, error) {
	return func() (*gatewayv1.HTTPRoute, error) {
		route := &gatewayv1.HTTPRoute{}
		err := k8s.Get(s.Context(), apitypes.NamespacedName{Namespace: s.namespace, Name: name}, route)
		if apierrors.IsNotFound(err) {
			return nil, nil
		}
		return route, err
	}
}

// mirrored matches a route that mirrors to app-v2, or one that doesn't mirror at all.
func mirrored(is bool) types.GomegaMatcher {
	want := Equal([]string{})
	if is {
		want = Equal([]string{"app-v2"})
	}
	return WithTransform(func(route *gatewayv1.HTTPRoute) []string {
		if route == nil {
			return nil
		}
		targets := []string{}
		for _, rule := range route.Spec.Rules {
			for _, filter := range rule.Filters {
				targets = append(targets, string(filter.RequestMirror.BackendRef.Name))
			}
		}
		return targets
	}, want)
}

// get reads a policy.
func (s *scene) get(name string) *iter8v1alpha1.RoutingPolicy {
	s.Helper()
	policy := &iter8v1alpha1.RoutingPolicy{}
	s.Expect(k8s.Get(s.Context(), apitypes.NamespacedName{Namespace: s.namespace, Name: name}, policy)).To(Succeed())
	return policy
}

// condition polls a condition of a policy, as "status reason: message".
func (s *scene) condition(name, conditionType string) func() string {
	return func() string {
		policy := s.get(name)
		c := meta.FindStatusCondition(policy.Status.Conditions, conditionType)
		if c == nil || c.ObservedGeneration != policy.Generation {
			return ""
		}
		return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
	}
}

func (s *scene) ready(name string) func() string {
	return s.condition(name, iter8v1alpha1.ConditionReady)
}

func (s *scene) resolved(name string) func() string {
	return s.condition(name, iter8v1alpha1.ConditionChartResolved)
}

func (s *scene) rendered(name string) func() string {
	return s.condition(name, iter8v1alpha1.ConditionRendered)
}

// requests gives what was asked of the apiserver, by the operator or in the name of somebody, since a moment.
func (s *scene) requests(since time.Time, filter func(env.AuditEvent) bool) []string {
	s.Helper()
	events, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
		return e.User == "system:serviceaccount:"+systemNamespace+":"+env.Release && e.Time.After(since) && filter(e)
	})
	s.Expect(err).NotTo(HaveOccurred())
	requests := []string{}
	for _, e := range events {
		requests = append(requests, strings.Join([]string{e.Verb, e.Resource, e.Namespace + "/" + e.Name, e.ImpersonatedUser}, " "))
	}
	return requests
}
