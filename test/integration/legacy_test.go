package integration

import (
	"fmt"
	"strings"
	"testing"

	"github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// The ConfigMaps of Iter8's mirroring tutorial.
const (
	tutorialSubject = `
gvrs: [svc, deploy]
variants:
- [httpbin-v1, httpbin-v1]
- [httpbin-v2, httpbin-v2]
`
	tutorialPolicy = `
trigger:
  owner: httpbin
  update: variant/2
repo: https://iter8-tools.github.io/iter8
chart: mirror
version: 0.14.x
values:
  parentRefs:
  - {group: "", kind: Service, name: httpbin, port: 8000}
  rules:
  - filters:
    - type: RequestMirror
      requestMirror: {backendRef: {name: httpbin-v2, port: 80}}
    backendRefs:
    - {name: httpbin-v1, port: 80}
`
	weightedRoutemap = `
versions:
- resources:
  - {gvrShort: svc, name: httpbin-v1}
- weight: 3
  resources:
  - {gvrShort: svc, name: httpbin-v2}
routingTemplates:
  canary:
    gvrShort: httproute
    template: |
      apiVersion: gateway.networking.k8s.io/v1
      kind: HTTPRoute
      metadata:
        name: {{ .Name }}
      spec:
        rules:
        - backendRefs:
          - {name: httpbin-v1, port: 80, weight: {{ index .Weights 0 }}}
          {{- if gt (index .Weights 1) 0 }}
          - {name: httpbin-v2, port: 80, weight: {{ index .Weights 1 }}}
          {{- end }}
`
)

// configMap is an immutable one of Iter8's.
func (s *scene) configMap(name, key, spec string, labels ...string) *corev1.ConfigMap {
	c := &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: name, Labels: map[string]string{"app.kubernetes.io/managed-by": "iter8"}},
		Data:       map[string]string{key: spec},
		Immutable:  ptr(true),
	}
	for i := 0; i+1 < len(labels); i += 2 {
		c.Labels[labels[i]] = labels[i+1]
	}
	return c
}

func (s *scene) routemap(spec string) *corev1.ConfigMap {
	return s.configMap("httpbin", "strSpec", spec, "iter8.tools/kind", "routemap", "iter8.tools/version", "v1.1")
}

// weights polls the weights of a route's backends.
func (s *scene) weights(name string) func() ([]int32, error) {
	return func() ([]int32, error) {
		route, err := s.route(name)()
		if err != nil || route == nil {
			return nil, err
		}
		var weights []int32
		for _, ref := range route.Spec.Rules[0].BackendRefs {
			weights = append(weights, *ref.Weight)
		}
		return weights, nil
	}
}

// events polls the notes of the Events with a reason about an object.
func (s *scene) events(reason, name string) func() ([]string, error) {
	return func() ([]string, error) {
		var list eventsv1.EventList
		err := k8s.List(s.Context(), &list, client.InNamespace(s.namespace))
		notes := []string{}
		for _, e := range list.Items {
			if e.Reason == reason && e.Regarding.Name == name {
				notes = append(notes, e.Note)
			}
		}
		return notes, err
	}
}

// TestIter8ConfigMaps runs in the compatibility mode.
func TestIter8ConfigMaps(t *testing.T) {
	g := gomega.NewWithT(t)
	reinstall := func(values ...string) {
		_, err := cluster.Install(t.Context(), systemNamespace, values...)
		g.Expect(err).NotTo(gomega.HaveOccurred())
	}
	restart(t, func() {
		reinstall("--set", "legacy.enabled=true", "--set", "legacy.removeFinalizers=true", "--set", "legacy.gracePeriod=2s")
	})
	defer restart(t, func() { reinstall("--reset-values") })

	t.Run("the tutorial", func(t *testing.T) {
		s := newScene(t)
		s.deploy("httpbin-v1")
		subject, policy := s.configMap("httpbin", "spec", tutorialSubject), s.configMap("httpbin-route", "spec", tutorialPolicy)
		s.create(subject, policy)
		s.Eventually(s.route("httpbin")).Should(mirrorTo())
		deployment, service := s.deploy("httpbin-v2")
		s.Eventually(s.route("httpbin")).Should(mirrorTo("httpbin-v2"))
		s.Eventually(func() string { return s.kubectl("get", "subjects,routingpolicies") }).Should(gomega.And(
			gomega.MatchRegexp(`subject.iter8.tools/httpbin +2/2 +v1,v2 +True`),
			gomega.MatchRegexp(`routingpolicy.iter8.tools/httpbin-route +httpbin +httpbin-v2:80 +True`)))
		s.delete(deployment, service)
		s.Eventually(s.route("httpbin")).Should(mirrorTo())
		s.delete(subject, policy)
		s.Eventually(s.route("httpbin"), "60s").Should(gomega.BeNil())
		s.Expect(s.kubectl("get", "subjects,routingpolicies")).To(gomega.ContainSubstring("No resources found"))
	})

	t.Run("a routemap weighs by availability, by its own weights and by annotation", func(t *testing.T) {
		s := newScene(t)
		s.create(s.routemap(weightedRoutemap))
		s.Eventually(s.weights("httpbin")).Should(gomega.Equal([]int32{1}))
		_, v1 := s.workload("httpbin-v1")
		_, v2 := s.workload("httpbin-v2")
		v2.Labels = map[string]string{iter8v1alpha1.LegacyWatchLabel: "true"}
		s.create(v1, v2)
		s.Eventually(s.weights("httpbin")).Should(gomega.Equal([]int32{1, 3}))
		patch(s, v2, func(o *corev1.Service) { o.Annotations = map[string]string{iter8v1alpha1.WeightAnnotation: "9"} })
		s.Eventually(s.weights("httpbin")).Should(gomega.Equal([]int32{1, 9}))
		s.delete(v2)
		s.Eventually(s.weights("httpbin")).Should(gomega.Equal([]int32{1}))
	})

	t.Run("a ConfigMap that is made again hands over without the route being withdrawn", func(t *testing.T) {
		s := newScene(t)
		_, v1 := s.workload("httpbin-v1")
		_, v2 := s.workload("httpbin-v2")
		first := s.routemap(weightedRoutemap)
		s.create(v1, v2, first)
		s.Eventually(s.weights("httpbin")).Should(gomega.Equal([]int32{1, 3}))
		route, err := s.route("httpbin")()
		s.Expect(err).NotTo(gomega.HaveOccurred())

		s.delete(first)
		second := s.routemap(weightedRoutemap)
		second.Data["strSpec"] = replaceOnce(weightedRoutemap, "weight: 3", "weight: 5")
		s.create(second)
		s.Eventually(s.weights("httpbin")).Should(gomega.Equal([]int32{1, 5}))
		s.Consistently(s.route("httpbin"), "4s", "100ms").Should(gomega.HaveField("UID", route.UID))
		deletions, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
			return e.Verb == "delete" && e.Namespace == s.namespace && e.Resource != "configmaps"
		})
		s.Expect(err).NotTo(gomega.HaveOccurred())
		s.Expect(deletions).To(gomega.BeEmpty())

		restart(t, func() {})
		s.Consistently(s.route("httpbin"), "3s", "100ms").Should(gomega.HaveField("UID", route.UID))
		restart(t, func() { s.delete(second) })
		s.Eventually(s.route("httpbin"), "60s").Should(gomega.BeNil(), "also when it went while the operator was down")
	})

	t.Run("what a running Iter8 applied is taken over", func(t *testing.T) {
		s := newScene(t)
		// The operator comes after Iter8: it sees the ConfigMap when Iter8 has long applied its route.
		configMap := s.routemap(weightedRoutemap)
		labels := configMap.Labels
		configMap.Labels = nil
		s.create(configMap)
		theirs := s.appliedByIter8("httpbin", configMap)
		s.Expect(theirs.GetManagedFields()).To(gomega.ContainElement(gomega.HaveField("Manager", "iter8-controller")))
		patch(s, configMap, func(c *corev1.ConfigMap) { c.Labels = labels })
		s.Eventually(func(g gomega.Gomega) {
			route, err := s.route("httpbin")()
			g.Expect(err).NotTo(gomega.HaveOccurred())
			g.Expect(route).NotTo(gomega.BeNil())
			g.Expect(route.UID).To(gomega.Equal(theirs.GetUID()))
			g.Expect(route.OwnerReferences).To(gomega.ConsistOf(gomega.HaveField("Kind", "RoutingPolicy")))
			g.Expect(route.ManagedFields).NotTo(gomega.ContainElement(gomega.HaveField("Manager", "iter8-controller")))
			g.Expect(route.Spec.Hostnames).To(gomega.BeEmpty(), "a field that isn't rendered any more goes")
		}).Should(gomega.Succeed())
		policy := &iter8v1alpha1.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "httpbin"}}
		s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
		writes, err := cluster.AuditEvents(func(e env.AuditEvent) bool {
			return e.IsWrite() && e.User == operatorUser && e.Namespace == s.namespace && e.Resource == "httproutes"
		})
		s.Expect(err).NotTo(gomega.HaveOccurred())
		s.Expect(writes).To(gomega.HaveLen(2), "one for the fields' owner, which changes no routing, and one for the route")
	})

	t.Run("the finalizer that Iter8 left is removed, and no other", func(t *testing.T) {
		s := newScene(t)
		deployment, service := s.workload("httpbin-v2")
		service.Finalizers = []string{"example.com/keep", iter8v1alpha1.LegacyFinalizer}
		deployment.Finalizers = []string{iter8v1alpha1.LegacyFinalizer}
		s.create(deployment, service, s.configMap("httpbin", "spec", tutorialSubject))
		s.Eventually(func(g gomega.Gomega) {
			g.Expect(k8s.Get(s.Context(), s.key("httpbin-v2"), service)).To(gomega.Succeed())
			g.Expect(service.Finalizers).To(gomega.Equal([]string{"example.com/keep"}))
			g.Expect(k8s.Get(s.Context(), s.key("httpbin-v2"), deployment)).To(gomega.Succeed())
			g.Expect(deployment.Finalizers).To(gomega.BeEmpty())
		}).Should(gomega.Succeed())
		patch(s, service, func(o *corev1.Service) { o.Finalizers = nil })
	})

	t.Run("an edit of what a ConfigMap was mirrored into is put back, and somebody else's object left alone", func(t *testing.T) {
		s := newScene(t)
		theirs := s.subject("taken", iter8v1alpha1.Variant{Name: "mine"})
		s.create(theirs, s.configMap("httpbin", "spec", tutorialSubject), s.configMap("taken", "spec", tutorialSubject))
		s.Eventually(s.events("NameTaken", "taken")).Should(gomega.ContainElement(gomega.ContainSubstring("Subject taken exists and was not converted from this ConfigMap")))
		s.Expect(k8s.Get(s.Context(), s.key("taken"), theirs)).To(gomega.Succeed())
		s.Expect(theirs.Spec.Variants).To(gomega.HaveLen(1))

		subject := s.subject("httpbin")
		s.Eventually(func() error { return k8s.Get(s.Context(), s.key("httpbin"), subject) }).Should(gomega.Succeed())
		patch(s, subject, func(o *iter8v1alpha1.Subject) { o.Spec.Variants = o.Spec.Variants[:1] })
		s.Eventually(func() ([]iter8v1alpha1.Variant, error) {
			return subject.Spec.Variants, k8s.Get(s.Context(), s.key("httpbin"), subject)
		}).Should(gomega.HaveLen(2))
		s.Eventually(s.events("EditPutBack", "httpbin")).Should(gomega.ContainElement(gomega.ContainSubstring("mirrors ConfigMap httpbin; edit that")))
	})

	t.Run("a template that fails for some combination of availability is told of, and leaves the route as it is", func(t *testing.T) {
		s := newScene(t)
		spec := replaceOnce(weightedRoutemap, "weight: {{ index .Weights 1 }}", "weight: {{ index .Weights 9 }}")
		s.create(s.routemap(spec))
		s.Eventually(s.weights("httpbin")).Should(gomega.Equal([]int32{1}))
		_, v2 := s.workload("httpbin-v2")
		s.create(v2)
		policy := &iter8v1alpha1.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "httpbin"}}
		s.Eventually(s.ready(policy)).Should(gomega.And(gomega.HavePrefix("False RenderFailed"), gomega.ContainSubstring("canary:10")))
		s.Eventually(s.events("RenderFailed", "httpbin")).Should(gomega.ContainElement(gomega.ContainSubstring("index out of range: 9")))
		s.Expect(s.weights("httpbin")()).To(gomega.Equal([]int32{1}))
		s.delete(v2)
		s.Eventually(s.ready(policy)).Should(gomega.HavePrefix("True"))
	})

	t.Run("what is unmarked stays when its ConfigMap goes", func(t *testing.T) {
		s := newScene(t)
		configMap := s.configMap("httpbin", "spec", tutorialSubject)
		s.create(configMap)
		subject := s.subject("httpbin")
		s.Eventually(func() error { return k8s.Get(s.Context(), s.key("httpbin"), subject) }).Should(gomega.Succeed())
		patch(s, subject, func(o *iter8v1alpha1.Subject) { o.Annotations = nil })
		s.Eventually(s.events("NameTaken", "httpbin")).ShouldNot(gomega.BeEmpty())
		s.delete(configMap)
		s.Consistently(func() error { return k8s.Get(s.Context(), s.key("httpbin"), subject) }, "4s", "200ms").Should(gomega.Succeed())
	})

	for name, test := range map[string]struct{ key, kind, spec, message string }{
		"no spec":               {"other", "routemap", "a: b", "strSpec"},
		"not YAML":              {"strSpec", "routemap", "versions: [", "line"},
		"wrong types":           {"strSpec", "routemap", "versions: many", "versions"},
		"an unknown short name": {"strSpec", "routemap", "versions: [{resources: [{gvrShort: pdb, name: a}]}]", "pdb"},
		"variant/0":             {"spec", "", replaceOnce(tutorialPolicy, "variant/2", "variant/0"), "variant/0"},
	} {
		t.Run("bad input is told of and withdraws nothing: "+name, func(t *testing.T) {
			s := newScene(t)
			bad := s.configMap("bad", test.key, test.spec)
			if test.kind != "" {
				bad.Labels["iter8.tools/kind"] = test.kind
			}
			good := s.routemap(weightedRoutemap)
			good.Immutable = nil
			s.create(good, bad)
			s.Eventually(s.events("NotConverted", "bad")).Should(gomega.ContainElement(gomega.ContainSubstring(test.message)))
			s.Eventually(s.weights("httpbin")).Should(gomega.Equal([]int32{1}))

			patch(s, good, func(c *corev1.ConfigMap) { c.Data = map[string]string{"strSpec": "versions: ["} })
			s.Eventually(s.events("NotConverted", "httpbin")).ShouldNot(gomega.BeEmpty())
			s.Consistently(s.weights("httpbin"), "3s", "200ms").Should(gomega.Equal([]int32{1}))
		})
	}

	t.Run("a metric counts what can't be converted", func(t *testing.T) {
		s := newScene(t)
		token := s.metricsToken()
		s.allowMetrics()
		bad := s.routemap("versions: [")
		s.create(bad)
		metric := fmt.Sprintf(`iter8_legacy_configmap_unconverted{name="httpbin",namespace=%q} 1`, s.namespace)
		metrics := func() string {
			_, body := s.readMetrics(token)
			return body
		}
		s.Eventually(metrics, "60s", "200ms").Should(gomega.ContainSubstring(metric))
		s.delete(bad)
		s.Eventually(metrics, "60s", "200ms").ShouldNot(gomega.ContainSubstring(metric))
	})

	t.Run("variant/9 of two stalls the policy, not the conversion", func(t *testing.T) {
		s := newScene(t)
		s.create(s.configMap("httpbin", "spec", tutorialSubject), s.configMap("httpbin-route", "spec", replaceOnce(tutorialPolicy, "variant/2", "variant/9")))
		policy := &iter8v1alpha1.RoutingPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: s.namespace, Name: "httpbin-route"}}
		s.Eventually(func(g gomega.Gomega) {
			ready, err := s.ready(policy)()
			g.Expect(err).NotTo(gomega.HaveOccurred())
			g.Expect(ready).To(gomega.HavePrefix(`False VariantNotFound: spec.trigger names variant "v9"`))
		}).Should(gomega.Succeed())
	})

	t.Run("with a selector, only the ConfigMaps of namespaces that opt in are converted", func(t *testing.T) {
		restart(t, func() { reinstall("--reuse-values", "--set", "legacy.namespaceSelector.matchLabels.iter8=operator") })
		in, out := newScene(t), newScene(t)
		optIn := func(s *scene) {
			patch(s, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: s.namespace}}, func(n *corev1.Namespace) { n.Labels["iter8"] = "operator" })
		}
		optIn(in)
		out.create(out.routemap(weightedRoutemap))
		in.create(in.routemap(weightedRoutemap))
		in.Eventually(in.weights("httpbin")).Should(gomega.Equal([]int32{1}))
		out.Expect(out.route("httpbin")()).To(gomega.BeNil())
		optIn(out)
		out.Eventually(out.weights("httpbin")).Should(gomega.Equal([]int32{1}))
	})
}

// appliedByIter8 is a route as Iter8's controller left it.
func (s *scene) appliedByIter8(name string, owner *corev1.ConfigMap) *unstructured.Unstructured {
	s.Helper()
	manifest := fmt.Sprintf(`
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: %s
  namespace: %s
  ownerReferences:
  - {apiVersion: v1, kind: configmap, name: %s, uid: %s}
spec:
  hostnames: [old.example.com]
  rules:
  - backendRefs: [{name: httpbin-v1, port: 80, weight: 1}]
`, name, s.namespace, owner.Name, owner.UID)
	route := &unstructured.Unstructured{}
	s.Expect(yaml.Unmarshal([]byte(manifest), &route.Object)).To(gomega.Succeed())
	s.Expect(k8s.Apply(s.Context(), client.ApplyConfigurationFromUnstructured(route), client.FieldOwner("iter8-controller"), client.ForceOwnership)).To(gomega.Succeed())
	live := &unstructured.Unstructured{}
	live.SetGroupVersionKind(route.GroupVersionKind())
	s.Expect(k8s.Get(s.Context(), s.key(name), live)).To(gomega.Succeed())
	return live
}

func replaceOnce(text, old, replacement string) string {
	return strings.Replace(text, old, replacement, 1)
}
