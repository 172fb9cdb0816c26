package integration

import (
	"context"
	"fmt"
	"testing"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// unschedulable keeps a Deployment's Pods from ever getting a node, so that it never becomes Available.
func unschedulable(d *appsv1.Deployment) {
	d.Spec.Template.Spec.NodeSelector = map[string]string{"there-is": "no-such-node"}
}

func TestADeploymentThatIsNotAvailableGetsNoMirror(t *testing.T) {
	s := newScene(t)
	subject, _ := s.tutorial()
	deployment, service := s.workload("httpbin-v2")
	unschedulable(deployment)
	s.create(service, deployment)
	s.Eventually(s.ready(subject)).Should(gomega.ContainSubstring("Service httpbin-v2 has no ready endpoint"))
	s.Eventually(s.variantMessage(subject, "v2")).Should(gomega.ContainSubstring("Deployment httpbin-v2 has condition Available False: MinimumReplicasUnavailable"))
	s.Consistently(s.route("httpbin"), "500ms").Should(mirrorTo())

	patch(s, deployment, func(d *appsv1.Deployment) { d.Spec.Template.Spec.NodeSelector = nil })
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
}

func TestAServiceWithoutReadyEndpointsGetsNoMirror(t *testing.T) {
	s := newScene(t)
	subject, _ := s.tutorial()
	deployment, service := s.workload("httpbin-v2")
	service.Spec.Selector = map[string]string{"app": "nobody"}
	s.create(service, deployment)
	s.Eventually(s.ready(subject)).Should(gomega.Equal("True Observed: variant v2 is not available: Service httpbin-v2 has no ready endpoint"))
	s.Consistently(s.route("httpbin"), "500ms").Should(mirrorTo())

	patch(s, service, func(o *corev1.Service) { o.Spec.Selector = map[string]string{"app": "httpbin-v2"} })
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))

	patch(s, deployment, func(d *appsv1.Deployment) { d.Spec.Replicas = new(int32) })
	s.Eventually(s.route("httpbin")).Should(mirrorTo())
}

func TestAResourceThatIsBeingDeletedTakesTheMirrorAway(t *testing.T) {
	s := newScene(t)
	subject, _ := s.tutorial()
	deployment, service := s.workload("httpbin-v2")
	deployment.Finalizers = []string{"example.com/keep"}
	s.create(service, deployment)
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))

	s.delete(deployment)
	s.Eventually(s.route("httpbin")).Should(mirrorTo())
	s.Eventually(s.variantMessage(subject, "v2")).Should(gomega.ContainSubstring("Deployment httpbin-v2 is being deleted"))
	patch(s, deployment, func(d *appsv1.Deployment) { d.Finalizers = nil })
}

func TestARollingUpdateOfAnAvailableVariantWritesNothing(t *testing.T) {
	s := newScene(t)
	subject, _ := s.tutorial()
	deployment, _ := s.deploy("httpbin-v2")
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	s.Eventually(s.ready(subject)).Should(gomega.Equal("True Observed: all variants are available"))

	before := s.writesTo("httproutes")
	for restart := range 3 {
		patch(s, deployment, func(d *appsv1.Deployment) {
			d.Spec.Template.Annotations = map[string]string{"kubectl.kubernetes.io/restartedAt": fmt.Sprint(restart)}
		})
		s.Eventually(func(g gomega.Gomega) {
			g.Expect(k8s.Get(s.Context(), client.ObjectKeyFromObject(deployment), deployment)).To(gomega.Succeed())
			g.Expect(deployment.Status.ObservedGeneration).To(gomega.Equal(deployment.Generation))
			g.Expect(deployment.Status.UpdatedReplicas).To(gomega.Equal(int32(1)))
			g.Expect(deployment.Status.Replicas).To(gomega.Equal(int32(1)))
		}).Should(gomega.Succeed())
	}
	s.Expect(s.writesTo("httproutes")).To(gomega.Equal(before))
	s.Expect(s.route("httpbin")()).To(mirrorTo("httpbin-v2"))
}

func TestAMissingLabelIsNamedInTheStatus(t *testing.T) {
	s := newScene(t)
	subject, _ := s.tutorial()
	deployment, service := s.workload("httpbin-v2")
	deployment.Labels = nil
	s.create(service, deployment)
	s.Eventually(s.ready(subject)).Should(gomega.Equal(
		`False LabelMissing: variant v2: Deployment httpbin-v2 exists without the label iter8.tools/detect: "true", so it is not watched`))
	s.Expect(s.route("httpbin")()).To(mirrorTo())

	patch(s, deployment, func(d *appsv1.Deployment) { d.Labels = map[string]string{iter8v1alpha1.DetectLabel: "true"} })
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
	s.Eventually(s.ready(subject)).Should(gomega.Equal("True Observed: all variants are available"))
}

func TestAKindWhoseCRDIsNotInstalledHoldsTheRouteUntilItIs(t *testing.T) {
	s := newScene(t)
	s.deploy("httpbin-v1")
	s.deploy("httpbin-v2")
	v2 := variant("v2", "httpbin-v2")
	v2.Resources = append(v2.Resources, iter8v1alpha1.ResourceReference{
		APIVersion: "serving.kserve.io/v1beta1", Kind: "InferenceService", Name: "model"})
	subject, policy := s.subject("httpbin", variant("v1", "httpbin-v1"), v2), s.mirrorPolicy("httpbin-route", "httpbin")
	s.create(subject, policy)
	s.Eventually(s.ready(subject)).Should(gomega.Equal("False WatchFailed: variant v2: InferenceService model can't be read " +
		"(serving.kserve.io/v1beta1 InferenceService): the cluster does not serve this kind"))
	s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("False VariantStateUnknown: variant v2 counts as not available, as it was last known"))
	s.Eventually(s.route("httpbin")).Should(mirrorTo())

	crd := customResource("serving.kserve.io", "v1beta1", "InferenceService")
	s.create(crd)
	t.Cleanup(func() { _ = k8s.Delete(context.Background(), crd) })
	model := &unstructured.Unstructured{}
	model.SetAPIVersion("serving.kserve.io/v1beta1")
	model.SetKind("InferenceService")
	model.SetNamespace(s.namespace)
	model.SetName("model")
	model.SetLabels(map[string]string{iter8v1alpha1.DetectLabel: "true"})
	s.Eventually(func() error { return k8s.Create(s.Context(), model.DeepCopy()) }).Should(gomega.Succeed())
	s.Eventually(s.ready(subject)).Should(gomega.Equal("True Observed: variant v2 is not available: InferenceService model has no condition Ready yet"))
	s.Expect(s.route("httpbin")()).To(mirrorTo())

	s.Expect(k8s.Get(s.Context(), s.key("model"), model)).To(gomega.Succeed())
	s.Expect(unstructured.SetNestedSlice(model.Object, []any{map[string]any{"type": "Ready", "status": "True"}}, "status", "conditions")).To(gomega.Succeed())
	s.Expect(k8s.Status().Update(s.Context(), model)).To(gomega.Succeed())
	s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
}

func TestAResourceThatTwoSubjectsShareUpdatesBoth(t *testing.T) {
	s := newScene(t)
	s.deploy("httpbin-v1")
	one, two := s.subject("one", variant("v1", "httpbin-v1"), variant("v2", "httpbin-v2")),
		s.subject("two", variant("v1", "httpbin-v1"), variant("v2", "httpbin-v2"))
	s.create(one, two, s.mirrorPolicy("one", "one"), s.mirrorPolicy("two", "two"), s.templatePolicy("three", "one", `
{{- range .Values.iter8.variants }}{{ if and .available (eq .name "v2") }}
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: only-with-v2}
spec: {}
{{ end }}{{ end }}`))
	deployment, service := s.deploy("httpbin-v2")
	for _, name := range []string{"one", "two"} {
		s.Eventually(s.route(name)).Should(mirrorTo("httpbin-v2"))
	}
	s.Eventually(s.route("only-with-v2")).ShouldNot(gomega.BeNil(), "several policies follow one Subject")
	s.delete(deployment, service)
	for _, name := range []string{"one", "two"} {
		s.Eventually(s.route(name)).Should(mirrorTo())
	}
	s.Eventually(s.route("only-with-v2")).Should(gomega.BeNil())
}

func TestReadyWhenOverridesWhatReadyMeans(t *testing.T) {
	for name, test := range map[string]struct {
		when    iter8v1alpha1.ReadyWhen
		message string
	}{
		"a Deployment that only has to exist": {
			when: iter8v1alpha1.ReadyWhen{Exists: ptr(true)},
		},
		"a condition of one's own that isn't there": {
			when:    iter8v1alpha1.ReadyWhen{Conditions: []string{"Blessed"}},
			message: "Deployment httpbin-v2 has no condition Blessed yet",
		},
		"an expression that is true": {
			when: iter8v1alpha1.ReadyWhen{CEL: "object.spec.replicas == 1 && object.metadata.name.startsWith('httpbin')"},
		},
		"an expression that is false": {
			when:    iter8v1alpha1.ReadyWhen{CEL: "object.spec.replicas > 1"},
			message: "Deployment httpbin-v2 does not fulfil its readyWhen.cel",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.createPrimary()
			deployment, _ := s.workload("httpbin-v2")
			unschedulable(deployment)
			v2 := iter8v1alpha1.Variant{Name: "v2", Resources: []iter8v1alpha1.ResourceReference{
				{APIVersion: "apps/v1", Kind: "Deployment", Name: "httpbin-v2", ReadyWhen: &test.when}}}
			subject, policy := s.subject("httpbin", iter8v1alpha1.Variant{Name: "v1"}, v2), s.mirrorPolicy("httpbin-route", "httpbin")
			s.create(deployment, subject, policy)
			if test.message == "" {
				s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
				return
			}
			s.Eventually(s.ready(subject)).Should(gomega.ContainSubstring(test.message))
			s.Eventually(s.route("httpbin")).Should(mirrorTo())
		})
	}
}

func TestTheStatusSaysOfEachVariantWhyItIsNotAvailable(t *testing.T) {
	s := newScene(t)
	service := func(name string, change func(*corev1.Service)) {
		_, o := s.workload(name)
		change(o)
		s.create(o)
	}
	exists := func(o *corev1.Service) { o.Spec.Selector = nil }
	service("available", exists)
	service("not-ready", func(*corev1.Service) {})
	service("label-missing", func(o *corev1.Service) { o.Labels = nil })
	service("terminating", func(o *corev1.Service) { exists(o); o.Finalizers = []string{"example.com/keep"} })
	_, terminating := s.workload("terminating")
	s.delete(terminating)
	s.Cleanup(func() {
		_ = k8s.Patch(context.Background(), terminating, client.RawPatch(types.MergePatchType, []byte(`{"metadata":{"finalizers":null}}`)))
	})

	subject := s.subject("app")
	for _, name := range []string{"available", "not-found", "not-ready", "label-missing", "terminating"} {
		subject.Spec.Variants = append(subject.Spec.Variants, iter8v1alpha1.Variant{Name: name, Resources: []iter8v1alpha1.ResourceReference{
			{APIVersion: "v1", Kind: "Service", Name: name}}})
	}
	subject.Spec.Variants = append(subject.Spec.Variants,
		iter8v1alpha1.Variant{Name: "unknown", Resources: []iter8v1alpha1.ResourceReference{{APIVersion: "v1", Kind: "Secret", Name: "key"}}},
		iter8v1alpha1.Variant{Name: "invalid", Resources: []iter8v1alpha1.ResourceReference{{APIVersion: "v1", Kind: "Namespace", Name: "default"}}})
	s.create(subject)
	s.Eventually(func() (map[string]string, error) {
		reported := map[string]string{}
		err := k8s.Get(s.Context(), client.ObjectKeyFromObject(subject), subject)
		for _, v := range subject.Status.Variants {
			reported[v.Name] = string(v.Available) + " " + v.Reason
		}
		return reported, err
	}).Should(gomega.Equal(map[string]string{
		"available":     "True Available",
		"not-found":     "False NotFound",
		"not-ready":     "False NotReady",
		"label-missing": "False LabelMissing",
		"terminating":   "False Terminating",
		"unknown":       "Unknown Unknown",
		"invalid":       "Unknown InvalidResource",
	}))
	s.Expect(subject.Status.Available).To(gomega.Equal("1/7"))
}

// variantMessage polls what the Subject says of a variant.
func (s *scene) variantMessage(subject *iter8v1alpha1.Subject, name string) func() (string, error) {
	return func() (string, error) {
		if err := k8s.Get(s.Context(), client.ObjectKeyFromObject(subject), subject); err != nil {
			return "", err
		}
		for _, v := range subject.Status.Variants {
			if v.Name == name {
				return v.Message, nil
			}
		}
		return "", nil
	}
}

// writesTo counts the writes to a resource in the scene's namespace so far.
func (s *scene) writesTo(resource string) int {
	s.Helper()
	events, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
		return e.IsWrite() && e.Resource == resource && e.Namespace == s.namespace
	})
	s.Expect(err).NotTo(gomega.HaveOccurred())
	return len(events)
}

func ptr[T any](v T) *T { return &v }
