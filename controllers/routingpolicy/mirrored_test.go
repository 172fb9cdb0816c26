package routingpolicy

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	. "github.com/onsi/gomega"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// plain is a built-in chart that renders its values' rules as a route that is named after the Subject, and an empty route of
// each name in others. It doesn't look at the variants.
var plain = fstest.MapFS{
	"plain/Chart.yaml": {Data: []byte("{apiVersion: v2, name: plain, version: 1.0.0, annotations: {iter8.tools/stateless: \"true\"}}")},
	"plain/templates/route.yaml": {Data: []byte("{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, " +
		"metadata: {name: {{ .Values.iter8.subject.name }} }, spec: { {{ with .Values.parentRefs }}parentRefs: {{ toJson . }}, {{ end }}rules: {{ toJson .Values.rules }} } }\n" +
		"{{ range .Values.others }}---\n" + aRoute("{{ . }}", "") + "\n{{ end }}")},
	"plain/values.schema.json": {Data: []byte(`{"type": "object", "properties": {"rules": {"type": "array"}}}`)},
}

// plainAnd returns charts, and plain among them.
func plainAnd(t *testing.T, charts fs.FS) fs.FS {
	t.Helper()
	all := fstest.MapFS{}
	for path, file := range plain {
		all[path] = file
	}
	NewWithT(t).Expect(fs.WalkDir(charts, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		data, err := fs.ReadFile(charts, path)
		all[path] = &fstest.MapFile{Data: data}
		return err
	})).To(Succeed())
	return all
}

// rulesOf are the rules of the route of a mirrored world with such filters in the first and the second.
func rulesOf(first, second string) string {
	with := func(filters string) string {
		if filters == "" {
			return ""
		}
		return `, "filters": [` + filters + `]`
	}
	return `[{"backendRefs": [{"name": "web-v1", "port": 80}]` + with(first) + `}, ` +
		`{"matches": [{"path": {"type": "PathPrefix", "value": "/api"}}], "backendRefs": [{"name": "web-v1", "port": 80}]` + with(second) + `}]`
}

const (
	toV2 = `{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web-v2", "port": 80}}}`
	toV3 = `{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web-v3", "port": 80}}}`
)

// What status.mirrors has in a mirrored world, but for the times.
const (
	mirroredToV2 = "web-v2:80 100% Unconfirmed v2"
	mirroredToV3 = "web-v3:80 100% Unconfirmed v3"
	goneV2       = "web-v2:80 0% Withheld v2 VariantNotAvailable: no mirror to web-v2:80: Service web-v2 does not exist"
)

func valuesOf(text string) *apiextensionsv1.JSON { return &apiextensionsv1.JSON{Raw: []byte(text)} }

func aService(name string) *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Service",
		"metadata": map[string]any{"namespace": "test", "name": name, "labels": map[string]any{iter8v1alpha1.DetectLabel: "true"}},
		"spec":     map[string]any{"ports": []any{map[string]any{"name": "http", "port": int64(80)}}},
	}}
}

// threeVariants is a Subject whose variants are available where their Services exist.
func threeVariants() *iter8v1alpha1.Subject {
	variant := func(name string) iter8v1alpha1.Variant {
		return iter8v1alpha1.Variant{Name: name, Resources: []iter8v1alpha1.ResourceReference{{APIVersion: "v1", Kind: "Service", Name: "web-" + name}}}
	}
	return aSubject(variant("v1"), variant("v2"), variant("v3"))
}

// mirroring is a policy that mirrors to v2 in its route's first rule, and to v3 in its second.
func mirroring() *iter8v1alpha1.RoutingPolicy {
	policy := aPolicy()
	policy.Spec.Chart = &iter8v1alpha1.ChartReference{Name: "plain"}
	policy.Spec.Values = valuesOf(`{"rules": ` + rulesOf(toV2, toV3) + `}`)
	return policy
}

// newMirrored is a world in which v2 and v3 are mirrored to.
func newMirrored(t *testing.T) *world {
	t.Helper()
	w := newMirroredBy(t, mirroring())
	w.settled(t, "True Succeeded: 1 object applied for v1 available, v2 available, v3 available")
	w.Expect(w.rules("web")).To(MatchJSON(rulesOf(toV2, toV3)))
	w.Expect(w.mirrors(t)).To(HaveExactElements(mirroredToV2, mirroredToV3))
	w.written()
	return w
}

// newMirroredBy is a world in which all three variants are available, and a policy that isn't reconciled yet. Its clock stands.
func newMirroredBy(t *testing.T, policy *iter8v1alpha1.RoutingPolicy) *world {
	t.Helper()
	w := newWorld(t, threeVariants(), policy)
	w.clockAt(now.Time)
	for _, name := range []string{"web-v1", "web-v2", "web-v3"} {
		w.Expect(w.cluster.Tracker().Create(services, aService(name), "test")).To(Succeed())
	}
	w.subjects.OnAdd(threeVariants(), false)
	return w
}

func (w *world) clockAt(at time.Time) { w.reconciler.now = func() time.Time { return at } }

// goes has the Service of a variant deleted, and comes has it created again; both return when that is observed.
func (w *world) goes(t *testing.T, name string) {
	t.Helper()
	w.Expect(w.cluster.Tracker().Delete(services, "test", "web-"+name)).To(Succeed())
	w.observedAs(t, name, false)
}

func (w *world) comes(t *testing.T, name string) {
	t.Helper()
	w.Expect(w.cluster.Tracker().Create(services, aService("web-"+name), "test")).To(Succeed())
	w.observedAs(t, name, true)
}

func (w *world) observedAs(t *testing.T, name string, available bool) {
	t.Helper()
	subject := &iter8v1alpha1.Subject{}
	w.Expect(w.client.Get(t.Context(), client.ObjectKeyFromObject(threeVariants()), subject)).To(Succeed())
	w.Eventually(func() map[string]bool {
		seen := map[string]bool{}
		for _, v := range w.reconciler.Observer.Observe(subject).Variants {
			seen[v.Name] = v.Available()
		}
		return seen
	}).Should(HaveKeyWithValue(name, available))
}

// rules returns the rules of a route as JSON, null where there is no route.
func (w *world) rules(name string) string {
	route := w.route(name)
	if route == nil {
		return "null"
	}
	spec, err := route.MarshalJSON()
	w.Expect(err).NotTo(HaveOccurred())
	return jsonOf(w.WithT, spec, "spec", "rules")
}

// mirrors returns status.mirrors, each as "target percent state variant reason: message".
func (w *world) mirrors(t *testing.T) []string {
	t.Helper()
	return mirrorsAsText(w.policy(t).Status.Mirrors)
}

func mirrorsAsText(mirrors []iter8v1alpha1.Mirror) []string {
	texts := make([]string, 0, len(mirrors))
	for _, m := range mirrors {
		text := fmt.Sprintf("%s %s%% %s %s", m.To, m.Percent, m.State, m.Variant)
		if m.Reason != "" {
			text += " " + m.Reason + ": " + m.Message
		}
		texts = append(texts, strings.TrimSpace(text))
	}
	return texts
}

// ready returns the condition Ready as "status reason: message".
func (w *world) ready(t *testing.T) string {
	t.Helper()
	c := meta.FindStatusCondition(w.policy(t).Status.Conditions, iter8v1alpha1.ConditionReady)
	if c == nil {
		return ""
	}
	return fmt.Sprintf("%s %s: %s", c.Status, c.Reason, c.Message)
}
