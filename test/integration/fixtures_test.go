package integration

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"testing"

	"github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// scene is a namespace of one test.
type scene struct {
	*testing.T
	*gomega.WithT
	namespace string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{T: t, WithT: gomega.NewWithT(t)}
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "scene-"}}
	s.create(namespace)
	s.namespace = namespace.Name
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(s.reports())
		}
		_ = k8s.Delete(context.Background(), namespace)
	})
	return s
}

// reports are the statuses of what the scene has, for a failure of the test to be understood.
func (s *scene) reports() string {
	var subjects iter8v1alpha1.SubjectList
	var policies iter8v1alpha1.RoutingPolicyList
	if err := errors.Join(k8s.List(context.Background(), &subjects, client.InNamespace(s.namespace)),
		k8s.List(context.Background(), &policies, client.InNamespace(s.namespace))); err != nil {
		return err.Error()
	}
	reports := "at the end, in " + s.namespace + ":"
	report := func(kind, name string, status any) {
		data, err := json.Marshal(status)
		if err != nil {
			data = []byte(err.Error())
		}
		reports += fmt.Sprintf("\n%s %s: %s", kind, name, data)
	}
	for _, o := range subjects.Items {
		report("Subject", o.Name, o.Status)
	}
	for _, o := range policies.Items {
		report("RoutingPolicy", o.Name, o.Status)
	}
	return reports
}

func (s *scene) create(objects ...client.Object) {
	s.Helper()
	for _, o := range objects {
		s.Expect(k8s.Create(s.Context(), o)).To(gomega.Succeed())
	}
}

func (s *scene) delete(objects ...client.Object) {
	s.Helper()
	for _, o := range objects {
		s.Expect(k8s.Delete(s.Context(), o)).To(gomega.Succeed())
	}
}

// patch changes an object as its owner would, whatever the operator writes meanwhile.
func patch[T client.Object](s *scene, object T, change func(T)) {
	s.Helper()
	s.Expect(k8s.Get(s.Context(), client.ObjectKeyFromObject(object), object)).To(gomega.Succeed())
	before := object.DeepCopyObject().(client.Object)
	change(object)
	s.Expect(k8s.Patch(s.Context(), object, client.MergeFrom(before))).To(gomega.Succeed())
}

func (s *scene) key(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: s.namespace, Name: name}
}

// workload is a variant's Deployment and Service, which become ready.
func (s *scene) workload(name string) (*appsv1.Deployment, *corev1.Service) {
	labels := map[string]string{"app": name}
	return env.Deployment(s.namespace, name, labels), env.Service(s.namespace, name, labels)
}

func (s *scene) deploy(name string) (*appsv1.Deployment, *corev1.Service) {
	s.Helper()
	deployment, service := s.workload(name)
	s.create(deployment, service)
	return deployment, service
}

// createPrimary creates just the Service that routeTemplate sends clients to.
func (s *scene) createPrimary() {
	s.Helper()
	s.create(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "httpbin-v1"},
		Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}})
}

// variant of Services and Deployments of one name.
func variant(name, workload string) iter8v1alpha1.Variant {
	return iter8v1alpha1.Variant{Name: name, Resources: []iter8v1alpha1.ResourceReference{
		{APIVersion: "v1", Kind: "Service", Name: workload},
		{APIVersion: "apps/v1", Kind: "Deployment", Name: workload},
	}}
}

func (s *scene) subject(name string, variants ...iter8v1alpha1.Variant) *iter8v1alpha1.Subject {
	return &iter8v1alpha1.Subject{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec:       iter8v1alpha1.SubjectSpec{Variants: variants},
	}
}

// httpbin is the Subject of the tutorial.
func (s *scene) httpbin() *iter8v1alpha1.Subject {
	return s.subject("httpbin", variant("v1", "httpbin-v1"), variant("v2", "httpbin-v2"))
}

func values(v map[string]any) *apiextensionsv1.JSON {
	raw, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return &apiextensionsv1.JSON{Raw: raw}
}

// mirrorValues are those of a mirror from one backend to others.
func mirrorValues(from string, to ...string) map[string]any {
	var filters []any
	for _, name := range to {
		filters = append(filters, map[string]any{"type": "RequestMirror", "requestMirror": map[string]any{
			"backendRef": map[string]any{"name": name, "port": 80}}})
	}
	return map[string]any{
		"parentRefs": []any{map[string]any{"group": "", "kind": "Service", "name": "httpbin", "port": 8000}},
		"rules":      []any{map[string]any{"filters": filters, "backendRefs": []any{map[string]any{"name": from, "port": 80}}}},
	}
}

// mirrorPolicy mirrors httpbin-v1 to httpbin-v2, by the built-in chart.
func (s *scene) mirrorPolicy(name, subject string) *iter8v1alpha1.RoutingPolicy {
	return &iter8v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec: iter8v1alpha1.RoutingPolicySpec{
			SubjectRef: iter8v1alpha1.SubjectReference{Name: subject},
			Trigger:    &iter8v1alpha1.Trigger{Variants: []string{"v2"}},
			Chart:      &iter8v1alpha1.ChartReference{Name: "mirror", Version: "0.14.x"},
			Values:     values(mirrorValues("httpbin-v1", "httpbin-v2")),
		},
	}
}

// templatePolicy renders inline templates, named by their position.
func (s *scene) templatePolicy(name, subject string, templates ...string) *iter8v1alpha1.RoutingPolicy {
	policy := &iter8v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name},
		Spec:       iter8v1alpha1.RoutingPolicySpec{SubjectRef: iter8v1alpha1.SubjectReference{Name: subject}},
	}
	for i, t := range templates {
		policy.Spec.Templates = append(policy.Spec.Templates, iter8v1alpha1.InlineTemplate{Name: fmt.Sprintf("t%d", i+1), Template: t})
	}
	return policy
}

// routeTemplate is an inline template of a route.
func routeTemplate(name string) string {
	return "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: " + name +
		"}\nspec: {rules: [{backendRefs: [{name: httpbin-v1, port: 80}]}]}\n"
}

// tutorial deploys variant 1, and creates the Subject and the policy.
func (s *scene) tutorial() (*iter8v1alpha1.Subject, *iter8v1alpha1.RoutingPolicy) {
	s.Helper()
	s.deploy("httpbin-v1")
	subject, policy := s.httpbin(), s.mirrorPolicy("httpbin-route", "httpbin")
	s.create(subject, policy)
	s.Eventually(s.route("httpbin")).Should(mirrorTo())
	return subject, policy
}

// route polls a route; nil while there is none.
func (s *scene) route(name string) func() (*gatewayv1.HTTPRoute, error) {
	return func() (*gatewayv1.HTTPRoute, error) { return get(s, s.key(name), &gatewayv1.HTTPRoute{}) }
}

func get[T client.Object](s *scene, key types.NamespacedName, object T) (T, error) {
	err := k8s.Get(s.Context(), key, object)
	if apierrors.IsNotFound(err) {
		var none T
		return none, nil
	}
	return object, err
}

// mirrorTo matches a route with mirrors to these backends, and no others.
func mirrorTo(backends ...string) gomegatypes.GomegaMatcher {
	targets := func(route *gatewayv1.HTTPRoute) ([]string, error) {
		if route == nil {
			return nil, fmt.Errorf("there is no route")
		}
		names := []string{}
		for _, rule := range route.Spec.Rules {
			for _, filter := range rule.Filters {
				if filter.RequestMirror != nil {
					names = append(names, string(filter.RequestMirror.BackendRef.Name))
				}
			}
		}
		return names, nil
	}
	if backends == nil {
		backends = []string{}
	}
	return gomega.WithTransform(targets, gomega.Equal(backends))
}

// ready polls the Ready condition of a Subject or policy, as "status reason: message".
func (s *scene) ready(object client.Object) func() (string, error) {
	return s.condition(object, iter8v1alpha1.ConditionReady)
}

func (s *scene) condition(object client.Object, conditionType string) func() (string, error) {
	return func() (string, error) {
		if err := k8s.Get(s.Context(), client.ObjectKeyFromObject(object), object); err != nil {
			return "", err
		}
		var conditions []metav1.Condition
		switch o := object.(type) {
		case *iter8v1alpha1.Subject:
			conditions = o.Status.Conditions
		case *iter8v1alpha1.RoutingPolicy:
			conditions = o.Status.Conditions
		}
		c := meta.FindStatusCondition(conditions, conditionType)
		if c == nil || c.ObservedGeneration != object.GetGeneration() {
			return "", nil
		}
		return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message), nil
	}
}
