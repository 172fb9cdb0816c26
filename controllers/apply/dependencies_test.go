package apply

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	clienttesting "k8s.io/client-go/testing"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// istioObject has a spec that is written as YAML.
func istioObject(t *testing.T, kind, name, spec string) *unstructured.Unstructured {
	t.Helper()
	data, err := yaml.YAMLToJSON([]byte("{apiVersion: networking.istio.io/v1, kind: " + kind + ", metadata: {name: " + name + "}, spec: " + spec + "}"))
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	u := &unstructured.Unstructured{}
	NewWithT(t).Expect(u.UnmarshalJSON(data)).To(Succeed())
	return u
}

// rule is a DestinationRule of a host with subsets: "v1" has the label version=v1, "v1=blue" the label version=blue.
func rule(t *testing.T, name, host string, subsets ...string) *unstructured.Unstructured {
	t.Helper()
	var items []string
	for _, s := range subsets {
		subset, version, given := strings.Cut(s, "=")
		if !given {
			version = subset
		}
		items = append(items, "{name: "+subset+", labels: {version: "+version+"}}")
	}
	return istioObject(t, "DestinationRule", name, "{host: "+host+", subsets: ["+strings.Join(items, ", ")+"]}")
}

// service is a VirtualService that sends clients to a subset of a host, and copies to others of it.
func service(t *testing.T, name, host, subset string, copies ...string) *unstructured.Unstructured {
	t.Helper()
	var mirrors []string
	for _, to := range copies {
		mirrors = append(mirrors, "{destination: {host: "+host+", subset: "+to+"}}")
	}
	return istioObject(t, "VirtualService", name,
		"{http: [{route: [{destination: {host: "+host+", subset: "+subset+"}}], mirrors: ["+strings.Join(mirrors, ", ")+"]}]}")
}

// mesh is a world whose cluster holds objects that were applied for the policy.
type mesh struct {
	*world
	inventory []iter8v1alpha1.AppliedObject
	cluster   map[string]*Existing
}

func newMesh(t *testing.T, applied ...*unstructured.Unstructured) *mesh {
	t.Helper()
	m := &mesh{world: newWorld(t), cluster: map[string]*Existing{}}
	result := m.execute(t, m.plan(applied, nil, nil))
	m.Expect(result.Failures).To(BeEmpty())
	m.client.ClearActions()
	m.inventory = result.Inventory
	for _, object := range applied {
		m.holds(object.GetName(), object)
	}
	return m
}

// holds has the cluster hold an object as the inventory records it.
func (m *mesh) holds(name string, object *unstructured.Unstructured) {
	spec, err := json.Marshal(object.Object["spec"])
	m.Expect(err).NotTo(HaveOccurred())
	i := slices.IndexFunc(m.inventory, func(e iter8v1alpha1.AppliedObject) bool { return e.Name == name })
	existing := &Existing{UID: m.inventory[i].UID, Generation: m.inventory[i].Generation, Controller: controlledBy(owner.UID),
		Labels: map[string]string{iter8v1alpha1.ManagedByLabel: "iter8-operator"}, Spec: spec}
	if subsets, _, _ := unstructured.NestedSlice(object.Object, "spec", "subsets"); len(subsets) > 0 {
		existing = marked(existing)
	}
	m.cluster[name] = existing
}

// bring executes what brings the cluster to manifests, and has it hold what was applied.
func (m *mesh) bring(t *testing.T, manifests ...*unstructured.Unstructured) Result {
	t.Helper()
	m.client.ClearActions()
	result := m.execute(t, m.plan(manifests, m.inventory, maps.Clone(m.cluster)))
	m.inventory = result.Inventory
	for _, patch := range m.patches() {
		if m.answers[patch.Name] == nil {
			written := &unstructured.Unstructured{}
			m.Expect(written.UnmarshalJSON(patch.Patch)).To(Succeed())
			m.holds(patch.Name, written)
		}
	}
	return result
}

// writes returns the writes so far, with the subsets of what was applied: "rule v1 v2=blue", "-rule" for a deletion.
func (m *mesh) writes() []string {
	writes, patches := []string{}, m.patches()
	for _, call := range m.calls() {
		verb, name, _ := strings.Cut(call, " ")
		if verb == "delete" {
			writes = append(writes, "-"+name)
			continue
		}
		var written struct {
			Spec struct {
				Subsets []struct {
					Name   string
					Labels struct{ Version string }
				}
			}
		}
		m.Expect(json.Unmarshal(patches[0].Patch, &written)).To(Succeed())
		patches = patches[1:]
		for _, s := range written.Spec.Subsets {
			name += " " + s.Name
			if s.Labels.Version != s.Name {
				name += "=" + s.Labels.Version
			}
		}
		writes = append(writes, name)
	}
	return writes
}

func messagesOf(result Result) []string {
	messages := []string{}
	for _, f := range result.Failures {
		messages = append(messages, f.Message)
	}
	return messages
}

type objects = []*unstructured.Unstructured

func TestSubsetsAreMadeBeforeTheyAreBroken(t *testing.T) {
	for name, test := range map[string]struct {
		applied, rendered objects
		writes, messages  []string
	}{
		"a subset takes the place of another": {
			objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")}, objects{rule(t, "rule", "app", "v2"), service(t, "web", "app", "v2")},
			[]string{"rule v2 v1", "web", "rule v2"}, nil},
		"a subset for copies goes": {
			objects{rule(t, "rule", "app", "v1", "v2"), service(t, "web", "app", "v1", "v2")}, objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")},
			[]string{"web", "rule v1"}, nil},
		"a subset is added": {
			objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")}, objects{rule(t, "rule", "app", "v1", "v2"), service(t, "web", "app", "v2")},
			[]string{"rule v1 v2", "web"}, nil},
		"a subset goes that nothing names": {
			objects{rule(t, "rule", "app", "v1", "v2"), service(t, "web", "app", "v1")}, objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")},
			[]string{"rule v1"}, nil},
		"a subset goes that is only named of another host": {
			objects{rule(t, "rule", "app", "v1", "v2"), service(t, "web", "other", "v2")}, objects{rule(t, "rule", "app", "v1"), service(t, "web", "other", "v2")},
			[]string{"rule v1"}, nil},
		"the host is written in another way": {
			objects{rule(t, "rule", "app.test.svc.cluster.local", "v1"), service(t, "web", "app.test", "v1")}, objects{rule(t, "rule", "app", "v2"), service(t, "web", "app", "v2")},
			[]string{"rule v2 v1", "web", "rule v2"}, nil},
		"what names it is deleted": {
			objects{rule(t, "rule", "app", "v1", "v2"), service(t, "web", "app", "v1"), service(t, "old", "app", "v2")}, objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")},
			[]string{"-old", "rule v1"}, nil},
		"what names it is rendered to go on": {
			objects{rule(t, "rule", "app", "v1", "v2"), service(t, "web", "app", "v2")}, objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v2")},
			[]string{}, []string{"DestinationRule rule is not changed to what is rendered, since VirtualService web names its subset v2"}},
		"another rule defines it from now on": {
			objects{rule(t, "rule", "app", "v1", "v2"), service(t, "web", "app", "v2")}, objects{rule(t, "rule", "app", "v1"), rule(t, "rule-2", "app", "v2"), service(t, "web", "app", "v2")},
			[]string{"rule-2 v2", "rule v1"}, nil},
		"the rule gets another name": {
			objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")}, objects{rule(t, "rule-2", "app", "v1"), service(t, "web", "app", "v1")},
			[]string{"rule-2 v1", "-rule"}, nil},
		"the rule isn't rendered any more, and what names its subset is": {
			objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")}, objects{service(t, "web", "app", "v1")},
			[]string{}, []string{"DestinationRule rule is not deleted, since VirtualService web names its subset v1"}},
		"nothing is rendered any more": {
			objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")}, nil,
			[]string{"-web", "-rule"}, nil},
		"the rule gets another host, whose subsets nothing names": {
			objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")}, objects{rule(t, "rule", "next", "v1"), istioObject(t, "VirtualService", "web", "{http: [{route: [{destination: {host: app}}]}]}")},
			[]string{"web", "rule v1"}, nil},
		"the rule gets another host, whose subsets are named": {
			objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")}, objects{rule(t, "rule", "next", "v1"), service(t, "web", "next", "v1")},
			[]string{}, []string{"VirtualService web is not applied before DestinationRule rule, on which it depends",
				"DestinationRule rule is not changed to what is rendered, since VirtualService web names its subset v1 and depends on the change; render an object of another name in its place"}},
		"a subset that is named no more gets other labels": {
			objects{rule(t, "rule", "app", "v1", "v2"), service(t, "web", "app", "v2")}, objects{rule(t, "rule", "app", "v1", "v2=next"), service(t, "web", "app", "v1")},
			[]string{"web", "rule v1 v2=next"}, nil},
		"a subset of clients that gets copies from now on gets other labels": {
			objects{rule(t, "rule", "app", "v1", "v2"), service(t, "web", "app", "v2")}, objects{rule(t, "rule", "app", "v1", "v2=next"), service(t, "web", "app", "v1", "v2")},
			[]string{"web", "rule v1 v2=next"}, nil},
		"a subset of copies that gets clients from now on gets other labels": {
			objects{rule(t, "rule", "app", "v1", "v2"), service(t, "web", "app", "v1", "v2")}, objects{rule(t, "rule", "app", "v1", "v2=next"), service(t, "web", "app", "v2")},
			[]string{"rule v1 v2=next", "web"}, nil},
		"a subset that is named on gets other labels": {
			objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")}, objects{rule(t, "rule", "app", "v1=next"), service(t, "web", "app", "v1")},
			[]string{"rule v1=next"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMesh(t, test.applied...)
			result := m.bring(t, test.rendered...)
			m.Expect(m.writes()).To(Equal(test.writes))
			m.Expect(messagesOf(result)).To(Equal(append([]string{}, test.messages...)))
			m.Expect(result.Retry()).To(BeFalse())

			again := m.bring(t, test.rendered...)
			m.Expect(m.writes()).To(BeEmpty(), "at rest")
			m.Expect(messagesOf(again)).To(Equal(append([]string{}, test.messages...)))
			m.Expect(again.Inventory).To(Equal(result.Inventory))
		})
	}
}

func TestASubsetTooManyIsTakenOutByWhatStandsAfterACrash(t *testing.T) {
	before := objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")}
	after := objects{rule(t, "rule", "app", "v2"), service(t, "web", "app", "v2")}
	for name, test := range map[string]struct {
		stand  objects
		writes []string
	}{
		"after the first step":  {objects{rule(t, "rule", "app", "v2", "v1"), before[1]}, []string{"rule v2 v1", "web", "rule v2"}},
		"after the second step": {objects{rule(t, "rule", "app", "v2", "v1"), after[1]}, []string{"rule v2", "web"}},
		"after the last step":   {after, []string{"rule v2", "web"}},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMesh(t, before...)
			for i, object := range test.stand { // of which the inventory doesn't tell
				m.holds(before[i].GetName(), object)
				m.cluster[before[i].GetName()].Generation++
			}
			m.Expect(m.bring(t, after...).Failures).To(BeEmpty())
			m.Expect(m.writes()).To(Equal(test.writes))
			m.bring(t, after...)
			m.Expect(m.writes()).To(BeEmpty())
		})
	}
}

func TestASubsetStaysWhileWhatNamesItCanNotBeWritten(t *testing.T) {
	before := objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1"), rule(t, "gone", "other", "v1")}
	after := objects{rule(t, "rule", "app", "v2"), service(t, "web", "app", "v2")}
	m := newMesh(t, before...)
	m.refuse("web", errors.New("not today"))
	for range 2 {
		result := m.bring(t, after...)
		m.Expect(messagesOf(result)).To(Equal([]string{"applying VirtualService web: not today"}), "of the rule nothing is to be told")
		m.Expect(result.Applied).To(BeEmpty())
		m.Expect(listed(result.Inventory)).To(ConsistOf("rule", "web", "gone"))
	}
	m.Expect(m.writes()).To(Equal([]string{"web"}), "the rule stands as it is to for as long as that takes")

	m.refuse("web", nil)
	result := m.bring(t, after...)
	m.Expect(result.Failures).To(BeEmpty())
	m.Expect(m.writes()).To(Equal([]string{"web", "-gone", "rule v2"}))
	m.Expect(listed(result.Inventory)).To(Equal([]string{"rule", "web"}))
	m.Expect(result.Applied).To(HaveLen(2))
}

func TestWhatCanNotBeTakenAwayAtLastIsTriedAgain(t *testing.T) {
	m := newMesh(t, rule(t, "rule", "app", "v2"), service(t, "web", "app", "v2"))
	writes := 0
	m.client.PrependReactor("patch", "destinationrules", func(clienttesting.Action) (bool, runtime.Object, error) {
		writes++
		if writes == 2 {
			return true, nil, errors.New("not today")
		}
		return false, nil, nil
	})
	after := objects{rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1")}
	result := m.bring(t, after...)
	m.Expect(messagesOf(result)).To(Equal([]string{"applying DestinationRule rule: not today"}))
	m.Expect(result.Retry()).To(BeTrue())
	m.holds("rule", rule(t, "rule", "app", "v1", "v2")) // its last write of it failed
	m.Expect(m.bring(t, after...).Failures).To(BeEmpty())
	m.Expect(m.writes()).To(Equal([]string{"rule v1"}))
}

func TestNothingIsAppliedBeforeWhatItDependsOn(t *testing.T) {
	resource := schema.GroupResource{Group: "networking.istio.io", Resource: "destinationrules"}
	const waiting = "VirtualService web is not applied before DestinationRule rule, on which it depends"
	rendered := objects{rule(t, "rule", "app", "v2"), service(t, "web", "app", "v2"), service(t, "unrelated", "other", "v2"), routeNamed("route")}
	for name, test := range map[string]struct {
		answer   error
		existing *Existing
		message  string
		reason   string
		retry    bool
	}{
		"it is another's":     {nil, &Existing{UID: "u", Controller: controlledBy("other")}, "DestinationRule rule exists and does not belong to this policy", "OwnershipConflict", false},
		"it is being deleted": {nil, &Existing{UID: "u", Controller: controlledBy(owner.UID), Terminating: true}, "DestinationRule rule is being deleted", "Terminating", false},
		"the account may not": {apierrors.NewForbidden(resource, "rule", errors.New("no")), nil, "applying DestinationRule rule: ", "Forbidden", true},
		"it is not valid":     {apierrors.NewBadRequest("no"), nil, "applying DestinationRule rule: no", "Rejected", false},
		"the apiserver fails": {apierrors.NewInternalError(errors.New("etcd")), nil, "applying DestinationRule rule: ", "ApplyFailed", true},
		"it isn't answered":   {errors.New("context deadline exceeded"), nil, "applying DestinationRule rule: context deadline exceeded", "ApplyFailed", true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.refuse("rule", test.answer)
			result := w.execute(t, w.plan(rendered, nil, map[string]*Existing{"rule": test.existing}))
			w.Expect(w.calls()).NotTo(ContainElement("patch web"))
			w.Expect(w.calls()).To(ContainElements("patch unrelated", "patch route"))
			w.Expect(messagesOf(result)).To(HaveExactElements(HavePrefix(test.message), Equal(waiting)))
			w.Expect(result.Reason()).To(Equal(test.reason))
			w.Expect(result.Retry()).To(Equal(test.retry))
			w.Expect(listed(result.Inventory)).To(ContainElement("web"), "it is announced, and stays so")
		})
	}
}

func TestWhatStandsAsItIsRenderedWaitsForNothing(t *testing.T) {
	m := newMesh(t, rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1"))
	m.refuse("rule", errors.New("not today"))
	result := m.bring(t, rule(t, "rule", "app", "v1", "v2"), service(t, "web", "app", "v1"))
	m.Expect(messagesOf(result)).To(Equal([]string{"applying DestinationRule rule: not today"}))
	m.Expect(result.Applied).To(HaveLen(1))
}

func TestWhatIsNotKnownOfAVirtualServiceMayNameAnySubset(t *testing.T) {
	m := newMesh(t, rule(t, "rule", "app", "v1", "v2"), service(t, "web", "app", "v1"))
	m.cluster["web"] = &Existing{UID: "u", Controller: controlledBy("other")} // another's by now
	result := m.bring(t, rule(t, "rule", "app", "v1"), service(t, "web", "app", "v1"))
	m.Expect(m.writes()).To(BeEmpty())
	m.Expect(messagesOf(result)).To(HaveExactElements(HavePrefix("VirtualService web exists and does not belong to this policy")))
}
