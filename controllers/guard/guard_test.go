package guard

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

var rules = Rules{Namespace: "test", Kinds: []schema.GroupKind{
	{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute"},
	{Group: "networking.istio.io", Kind: "VirtualService"},
}}

const good = `
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata:
  name: web
  namespace: test
  labels: {app.kubernetes.io/managed-by: iter8-operator, app: web}
  annotations: {example.com/note: kept}
  creationTimestamp: null
spec: {rules: [{backendRefs: [{name: web, port: 80}]}]}
`

func manifest(t *testing.T, text string) *unstructured.Unstructured {
	t.Helper()
	g := NewWithT(t)
	data, err := yaml.YAMLToJSON([]byte(text))
	g.Expect(err).NotTo(HaveOccurred())
	m := &unstructured.Unstructured{}
	g.Expect(utiljson.Unmarshal(data, &m.Object)).To(Succeed())
	return m
}

func route(metadata string) string {
	return "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {" + metadata + "}\nspec: {}\n"
}

func TestViolations(t *testing.T) {
	for name, test := range map[string]struct {
		manifests []string
		want      []string
	}{
		"nothing is rendered":                         {},
		"a good manifest":                             {manifests: []string{good}},
		"a manifest without a namespace":              {manifests: []string{route("name: web")}},
		"objects of one name and different kinds":     {manifests: []string{good, "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: web}"}},
		"objects of one kind and different names":     {manifests: []string{good, route("name: other")}},
		"a custom resource whose kind ends with List": {manifests: []string{"apiVersion: example.com/v1\nkind: PriceList\nmetadata: {name: web}"}, want: []string{"PriceList web is of a kind that policies may not render: PriceList.example.com; allowed are HTTPRoute.gateway.networking.k8s.io, VirtualService.networking.istio.io"}},
		"a List": {
			manifests: []string{"apiVersion: v1\nkind: List\nitems: []"},
			want:      []string{"List without a name is a list; render its items as documents of their own"},
		},
		"a list of an allowed kind": {
			manifests: []string{"apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRouteList\nitems: []"},
			want:      []string{"HTTPRouteList without a name is a list; render its items as documents of their own"},
		},
		"a list of the core group, without items": {
			manifests: []string{"apiVersion: v1\nkind: ConfigMapList\nmetadata: {name: a}"},
			want:      []string{"ConfigMapList a is a list; render its items as documents of their own"},
		},
		"a kind that isn't allowed": {
			manifests: []string{"apiVersion: v1\nkind: Secret\nmetadata: {name: a}"},
			want:      []string{"Secret a is of a kind that policies may not render: Secret; allowed are HTTPRoute.gateway.networking.k8s.io, VirtualService.networking.istio.io"},
		},
		"an allowed kind's name in another group": {
			manifests: []string{"apiVersion: example.com/v1\nkind: HTTPRoute\nmetadata: {name: a}"},
			want:      []string{"HTTPRoute a is of a kind that policies may not render: HTTPRoute.example.com; allowed are HTTPRoute.gateway.networking.k8s.io, VirtualService.networking.istio.io"},
		},
		"a cluster-scoped kind": {
			manifests: []string{"apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: a}"},
			want:      []string{"ClusterRole a is of a kind that policies may not render: ClusterRole.rbac.authorization.k8s.io; allowed are HTTPRoute.gateway.networking.k8s.io, VirtualService.networking.istio.io"},
		},
		"no name": {
			manifests: []string{route("")},
			want:      []string{"HTTPRoute without a name has no metadata.name"},
		},
		"no metadata": {
			manifests: []string{"apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute"},
			want:      []string{"HTTPRoute without a name has no metadata.name"},
		},
		"metadata that is no object": {
			manifests: []string{"apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: web"},
			want:      []string{"HTTPRoute without a name has no metadata.name"},
		},
		"a generated name": {
			manifests: []string{route("generateName: web-")},
			want:      []string{"HTTPRoute without a name has no metadata.name", "HTTPRoute without a name sets metadata.generateName"},
		},
		"a Namespace": {
			manifests: []string{"apiVersion: v1\nkind: Namespace\nmetadata: {name: a}"},
			want:      []string{"Namespace a is of a kind that policies may not render: Namespace; allowed are HTTPRoute.gateway.networking.k8s.io, VirtualService.networking.istio.io"},
		},
		"a webhook's configuration": {
			manifests: []string{"apiVersion: admissionregistration.k8s.io/v1\nkind: MutatingWebhookConfiguration\nmetadata: {name: a}"},
			want:      []string{"MutatingWebhookConfiguration a is of a kind that policies may not render: MutatingWebhookConfiguration.admissionregistration.k8s.io; allowed are HTTPRoute.gateway.networking.k8s.io, VirtualService.networking.istio.io"},
		},
		"another namespace": {
			manifests: []string{route("name: web, namespace: kube-system")},
			want:      []string{"HTTPRoute web is in namespace kube-system, and a policy of namespace test may only render objects of its own"},
		},
		"owners": {
			manifests: []string{route("name: web, ownerReferences: [{apiVersion: v1, kind: Pod, name: a, uid: b}]")},
			want:      []string{"HTTPRoute web sets metadata.ownerReferences, which are the operator's to set"},
		},
		"finalizers": {
			manifests: []string{route("name: web, finalizers: [example.com/stay]")},
			want:      []string{"HTTPRoute web sets metadata.finalizers"},
		},
		"another manager": {
			manifests: []string{route("name: web, labels: {app.kubernetes.io/managed-by: Helm}")},
			want:      []string{"HTTPRoute web sets the label app.kubernetes.io/managed-by to Helm, which is the operator's to set"},
		},
		"no manager, said explicitly": {
			manifests: []string{route("name: web, labels: {app.kubernetes.io/managed-by: ''}")},
			want:      []string{"HTTPRoute web sets the label app.kubernetes.io/managed-by to , which is the operator's to set"},
		},
		"a Helm hook": {
			manifests: []string{route("name: web, annotations: {helm.sh/hook: post-install}")},
			want:      []string{"HTTPRoute web sets the annotation helm.sh/hook, and Helm's hooks are not run"},
		},
		"what belongs to a Helm hook, in the order of their names": {
			manifests: []string{route("name: web, annotations: {helm.sh/hook-weight: '1', helm.sh/hook-delete-policy: hook-succeeded}")},
			want: []string{
				"HTTPRoute web sets the annotation helm.sh/hook-delete-policy, and Helm's hooks are not run",
				"HTTPRoute web sets the annotation helm.sh/hook-weight, and Helm's hooks are not run",
			},
		},
		"a wish to be kept": {
			manifests: []string{route("name: web, annotations: {helm.sh/resource-policy: keep}")},
			want:      []string{"HTTPRoute web sets the annotation helm.sh/resource-policy, which the operator doesn't keep to: what leaves the render is deleted"},
		},
		"another release's": {
			manifests: []string{route("name: web, annotations: {meta.helm.sh/release-name: other}")},
			want:      []string{"HTTPRoute web sets the annotation meta.helm.sh/release-name, which says that Helm manages the object"},
		},
		"what kubectl goes by": {
			manifests: []string{route("name: web, annotations: {kubectl.kubernetes.io/last-applied-configuration: '{}'}")},
			want:      []string{"HTTPRoute web sets the annotation kubectl.kubernetes.io/last-applied-configuration, which would have kubectl apply remove what others set"},
		},
		"an offer to other policies": {
			manifests: []string{route("name: web, annotations: {iter8.tools/adopt: 'true'}")},
			want:      []string{"HTTPRoute web sets the annotation iter8.tools/adopt, which hands the object over to other policies; that is for a person to do"},
		},
		"a ConfigMap that it comes from": {
			manifests: []string{route("name: web, annotations: {iter8.tools/converted-from: a, iter8.tools/converted-from-uid: b}")},
			want: []string{
				"HTTPRoute web sets the annotation iter8.tools/converted-from, which is the operator's to set",
				"HTTPRoute web sets the annotation iter8.tools/converted-from-uid, which is the operator's to set",
			},
		},
		"the labels of charts": {
			manifests: []string{route("name: web, labels: {helm.sh/chart: web-1.0.0, app.kubernetes.io/instance: web}")},
		},
		"labels that hide a manager": {
			manifests: []string{route("name: web, labels: {app.kubernetes.io/managed-by: Helm, other: 1}")},
			want:      []string{"HTTPRoute web has metadata.labels whose values are not all text"},
		},
		"annotations that hide a hook": {
			manifests: []string{route("name: web, annotations: {helm.sh/hook: post-install, other: {}}")},
			want:      []string{"HTTPRoute web has metadata.annotations whose values are not all text"},
		},
		"owners that are no list": {
			manifests: []string{route("name: web, ownerReferences: {kind: Pod}")},
			want:      []string{"HTTPRoute web sets metadata.ownerReferences, which are the operator's to set"},
		},
		"finalizers that are no texts": {
			manifests: []string{route("name: web, finalizers: [1]")},
			want:      []string{"HTTPRoute web sets metadata.finalizers"},
		},
		"no owners and no finalizers, said explicitly": {
			manifests: []string{route("name: web, ownerReferences: [], finalizers: null, managedFields: {}, labels: {}, annotations: null")},
		},
		"a namespace that is no text": {
			manifests: []string{route("name: web, namespace: [kube-system]")},
			want:      []string{"HTTPRoute web has a metadata.namespace that is not a string"},
		},
		"a name that leads elsewhere": {
			manifests: []string{route("name: ../../kube-system/web")},
			want:      []string{"HTTPRoute ../../kube-system/web has a metadata.name that no object can have"},
		},
		"a name that is as long as it may be": {manifests: []string{route("name: " + strings.Repeat("x", 253))}},
		"a name that is too long": {
			manifests: []string{route("name: " + strings.Repeat("x", 254))},
			want:      []string{"HTTPRoute " + strings.Repeat("x", 250) + "... has a metadata.name that no object can have"},
		},
		"what the apiserver sets": {
			manifests: []string{route("name: web, uid: a, resourceVersion: '1', generation: 2, creationTimestamp: '2026-01-01T00:00:00Z', deletionTimestamp: '2026-01-01T00:00:00Z', managedFields: [{manager: a}], selfLink: a")},
			want: []string{
				"HTTPRoute web sets metadata.uid, which is the apiserver's to set",
				"HTTPRoute web sets metadata.resourceVersion, which is the apiserver's to set",
				"HTTPRoute web sets metadata.generation, which is the apiserver's to set",
				"HTTPRoute web sets metadata.creationTimestamp, which is the apiserver's to set",
				"HTTPRoute web sets metadata.deletionTimestamp, which is the apiserver's to set",
				"HTTPRoute web sets metadata.managedFields, which is the apiserver's to set",
				"HTTPRoute web sets metadata.selfLink, which is the apiserver's to set",
			},
		},
		"status": {
			manifests: []string{route("name: web") + "status: {}\n"},
			want:      []string{"HTTPRoute web sets status"},
		},
		"one object twice": {
			manifests: []string{good, good},
			want:      []string{"HTTPRoute web is rendered twice"},
		},
		"one object in two versions of its kind": {
			manifests: []string{good, strings.Replace(good, "/v1", "/v1beta1", 1)},
			want:      []string{"HTTPRoute web is rendered twice"},
		},
		"one object with its namespace and without": {
			manifests: []string{good, route("name: web")},
			want:      []string{"HTTPRoute web is rendered twice"},
		},
		"several objects, each with something wrong, in their order": {
			manifests: []string{route("name: b, finalizers: [x]"), good, route("name: a") + "status: {}\n"},
			want:      []string{"HTTPRoute b sets metadata.finalizers", "HTTPRoute a sets status"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var manifests, before []*unstructured.Unstructured
			for _, text := range test.manifests {
				m := manifest(t, text)
				manifests, before = append(manifests, m), append(before, m.DeepCopy())
			}
			g.Expect(Violations(rules, manifests)).To(Equal(test.want))
			g.Expect(manifests).To(Equal(before), "the manifests are changed")
		})
	}
}

func TestAPolicyMayRenderSoManyObjectsAndNoMore(t *testing.T) {
	g := NewWithT(t)
	var manifests []*unstructured.Unstructured
	for i := range MaxObjects {
		manifests = append(manifests, manifest(t, route(fmt.Sprintf("name: web-%d", i))))
	}
	g.Expect(Violations(rules, manifests)).To(BeEmpty())
	manifests = append(manifests, manifest(t, good))
	g.Expect(Violations(rules, manifests)).To(Equal([]string{"51 objects are rendered, and at most 50 are allowed"}))
}

func TestAPolicyMayRenderSoManyBytesAndNoMore(t *testing.T) {
	g := NewWithT(t)
	ofSize := func(bytes int) []*unstructured.Unstructured {
		first, second := manifest(t, route("name: a")), manifest(t, route("name: b, annotations: {filler: ''}"))
		manifests := []*unstructured.Unstructured{first, second}
		second.SetAnnotations(map[string]string{"filler": strings.Repeat("x", bytes-size(manifests))})
		return manifests
	}
	g.Expect(Violations(rules, ofSize(MaxBytes))).To(BeEmpty())
	g.Expect(Violations(rules, ofSize(MaxBytes+1))).To(Equal([]string{"1048577 bytes are rendered, and at most 1048576 are allowed"}))
}

func TestWhatCanNotBeEncodedIsTooLarge(t *testing.T) {
	g := NewWithT(t)
	m := manifest(t, good)
	m.Object["spec"] = func() {}
	g.Expect(Violations(rules, []*unstructured.Unstructured{m})).To(HaveExactElements(ContainSubstring("at most 1048576 are allowed")))
}
