package apply

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

const mirroringSpec = `{"rules": [{"filters": [{"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "v2", "port": 80}}}], "backendRefs": [{"name": "v1", "port": 80}]}]}`

// adoptedAs has an object be marked, with a mirror in it.
func adoptedAs(deletion iter8v1alpha1.DeletionPolicy) func(*Existing) {
	return func(e *Existing) {
		e.Controller, e.Mark, e.Spec = nil, &Mark{UID: owner.UID, Policy: owner.Name, Deletion: deletion}, []byte(mirroringSpec)
		e.Labels[iter8v1alpha1.PolicyUIDLabel] = "policy-uid"
		e.Annotations[iter8v1alpha1.DeletionPolicyAnnotation] = string(deletion)
	}
}

// adopt has the cluster hold an object as it is once it was adopted.
func (m *mesh) adopt(name string) {
	e := m.cluster[name]
	e.Controller, e.Mark = nil, &Mark{UID: owner.UID, Policy: owner.Name, Deletion: "Orphan"}
	e.Labels["iter8.tools/policy-uid"] = "policy-uid"
	e.Annotations = map[string]string{"iter8.tools/policy": "policy", "iter8.tools/deletion-policy": "Orphan"}
	for i := range m.inventory {
		m.inventory[i].Adopted = m.inventory[i].Adopted || m.inventory[i].Name == name
	}
}

func TestWhetherAnObjectIsRememberedAsAdopted(t *testing.T) {
	for name, test := range map[string]struct {
		deletion iter8v1alpha1.DeletionPolicy
		existing func(*Existing)
		entry    func(*iter8v1alpha1.AppliedObject)
		gone     bool
		unlisted bool
		action   Action
		adopted  bool
	}{
		"it is the policy's own":                  {action: Keep},
		"it was recorded":                         {existing: adoptedAs("Orphan"), entry: func(e *iter8v1alpha1.AppliedObject) { e.Adopted = true }, action: Update, adopted: true},
		"it is adopted now":                       {existing: func(e *Existing) { e.Controller, e.UID, e.Adopt = nil, "theirs", true }, action: Adopt, adopted: true},
		"it is gone, and made anew":               {gone: true, entry: func(e *iter8v1alpha1.AppliedObject) { e.Adopted = true }, action: Create},
		"a crash came before it was recorded":     {existing: adoptedAs("Orphan"), entry: func(e *iter8v1alpha1.AppliedObject) { e.UID = "" }, action: Update, adopted: true},
		"the inventory was lost":                  {existing: adoptedAs("Orphan"), unlisted: true, action: Update, adopted: true},
		"it is to stay for the policy's own sake": {deletion: "Orphan", existing: adoptedAs("Orphan"), unlisted: true, action: Update},
		"the policy was to orphan it until now":   {existing: adoptedAs("Orphan"), action: Update},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			existing, entry := standing(), recorded(t)
			if test.existing != nil {
				test.existing(existing)
			}
			if test.entry != nil {
				test.entry(&entry)
			}
			if test.gone {
				existing = nil
			}
			inventory := []iter8v1alpha1.AppliedObject{entry}
			if test.unlisted {
				inventory = nil
			}
			whose := owner
			whose.Deletion = test.deletion
			steps, err := plan(whose, []*unstructured.Unstructured{route()}, inventory, holding(existing))
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(steps).To(HaveLen(1))
			g.Expect(steps[0].Action).To(Equal(test.action))
			g.Expect(steps[0].Entry.Adopted).To(Equal(test.adopted))
			stays := test.adopted || test.deletion == "Orphan"
			g.Expect(steps[0].Manifest.GetOwnerReferences()).To(HaveLen(map[bool]int{true: 0, false: 1}[stays]))
		})
	}
}

func TestWhatWasAdoptedStaysWithoutMirrorsWhenItLeavesTheRender(t *testing.T) {
	m := newMesh(t, service(t, "web", "reviews", "v1", "v2"))
	m.adopt("web")
	m.client.ClearActions()
	result := m.execute(t, m.plan(nil, m.inventory, m.cluster))
	m.Expect(result.Failures).To(BeEmpty())
	m.Expect(result.Inventory).To(BeEmpty())
	m.Expect(m.calls()).To(Equal([]string{"patch web"}))
	m.Expect(string(m.patches()[0].Patch)).To(MatchJSON(`[
		{"op": "test", "path": "/metadata/uid", "value": "uid-of-web"},
		{"op": "test", "path": "/spec/http/0/mirrors", "value": [{"destination": {"host": "reviews", "subset": "v2"}}]},
		{"op": "remove", "path": "/spec/http/0/mirrors"},
		{"op": "remove", "path": "/metadata/annotations/iter8.tools~1deletion-policy"}]`))
}

func TestWhatWasAdoptedStaysListedWhereItCannotBeLeft(t *testing.T) {
	m := newMesh(t, service(t, "web", "reviews", "v1", "v2"))
	m.adopt("web")
	m.refuse("web", errors.New("not today"))
	result := m.execute(t, m.plan(nil, m.inventory, m.cluster))
	m.Expect(result.Failures).To(HaveExactElements(And(HaveField("Reason", "PruneFailed"),
		HaveField("Message", "taking mirrors out of VirtualService web: not today"))))
	m.Expect(result.Inventory).To(HaveExactElements(HaveField("Adopted", true)))
}

func TestARuleStaysForWhatWasAdoptedAndNamesItsSubsets(t *testing.T) {
	m := newMesh(t, rule(t, "rule", "reviews", "v1"), service(t, "web", "reviews", "v1"))
	m.adopt("web")
	needed := And(HaveField("Reason", "SubsetInUse"), HaveField("Message", "DestinationRule rule is not deleted, since VirtualService web names its subset v1"))
	for _, round := range []string{"it is left", "it was left"} {
		m.client.ClearActions()
		result := m.execute(t, m.plan(nil, m.inventory, m.cluster))
		m.Expect(result.Failures).To(HaveExactElements(needed), round)
		m.Expect(result.Inventory).To(HaveLen(2), "the policy goes on to know what needs its rule")
		m.inventory = result.Inventory
		m.Expect(m.calls()).NotTo(ContainElement("delete rule"))
		web := m.cluster["web"]
		web.Mark = nil
		delete(web.Annotations, "iter8.tools/deletion-policy")
	}
	m.Expect(m.calls()).To(BeEmpty())

	delete(m.cluster, "web")
	result := m.execute(t, m.plan(nil, m.inventory, m.cluster))
	m.Expect(result.Failures).To(BeEmpty())
	m.Expect(m.calls()).To(Equal([]string{"delete rule"}))
	m.Expect(result.Inventory).To(BeEmpty())
}
