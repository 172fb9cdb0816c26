package apply

import (
	"encoding/json"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// marked returns an object of the owner's with its mark in place of the owner reference.
func marked(e *Existing) *Existing {
	e.Controller, e.Mark = nil, &Mark{UID: owner.UID, Policy: "policy", Deletion: "Delete"}
	e.Labels["iter8.tools/policy-uid"] = "policy-uid"
	e.Annotations = map[string]string{"iter8.tools/policy": "policy", "iter8.tools/deletion-policy": "Delete"}
	return e
}

// written are the fields of an object that a manager wrote, by an operation.
func written(t *testing.T, manager string, operation metav1.ManagedFieldsOperationType, fields ...string) metav1.ManagedFieldsEntry {
	t.Helper()
	all := map[string]any{}
	for _, field := range fields {
		parts := map[string][]string{
			"spec": {"f:spec", "f:host"}, "uid": {"f:metadata", "f:labels", "f:iter8.tools/policy-uid"},
			"policy": {"f:metadata", "f:annotations", "f:iter8.tools/policy"}, "deletion": {"f:metadata", "f:annotations", "f:iter8.tools/deletion-policy"},
		}[field]
		NewWithT(t).Expect(unstructured.SetNestedMap(all, map[string]any{}, parts...)).To(Succeed())
	}
	data, err := json.Marshal(all)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return metav1.ManagedFieldsEntry{Manager: manager, Operation: operation, FieldsType: "FieldsV1", FieldsV1: metav1.NewFieldsV1(string(data))}
}

func TestAMarkCountsWhereTheOperatorWroteAllOfItAndTheSpec(t *testing.T) {
	const us, applied, updated = iter8v1alpha1.FieldManager, metav1.ManagedFieldsOperationApply, metav1.ManagedFieldsOperationUpdate
	for name, test := range map[string]struct {
		deletion string
		managed  []metav1.ManagedFieldsEntry
		want     *Mark
	}{
		"the operator applied it": {
			managed: []metav1.ManagedFieldsEntry{written(t, us, applied, "spec", "uid", "policy", "deletion")},
			want:    &Mark{UID: "a-uid", Policy: "a-policy", Deletion: "Delete"},
		},
		"the operator applied the spec, and marked it by an edit": {
			managed: []metav1.ManagedFieldsEntry{written(t, us, applied, "spec"), written(t, us, updated, "uid", "policy", "deletion")},
			want:    &Mark{UID: "a-uid", Policy: "a-policy", Deletion: "Delete"},
		},
		"it is to be orphaned": {
			deletion: "Orphan", managed: []metav1.ManagedFieldsEntry{written(t, us, applied, "spec", "uid", "policy", "deletion")},
			want: &Mark{UID: "a-uid", Policy: "a-policy", Deletion: "Orphan"},
		},
		"another made it, with a mark that it copied": {managed: []metav1.ManagedFieldsEntry{written(t, "kubectl", updated, "spec", "uid", "policy", "deletion")}},
		"another changed whose it is": {
			managed: []metav1.ManagedFieldsEntry{written(t, us, applied, "spec", "policy", "deletion"), written(t, "kubectl", updated, "uid")},
		},
		"another changed what becomes of it": {
			managed: []metav1.ManagedFieldsEntry{written(t, us, applied, "spec", "uid", "policy"), written(t, "kubectl", updated, "deletion")},
		},
		"another wrote its spec": {
			managed: []metav1.ManagedFieldsEntry{written(t, us, applied, "uid", "policy", "deletion"), written(t, "kubectl", updated, "spec")},
		},
		"what is to become of it is not valid": {
			deletion: "Keep", managed: []metav1.ManagedFieldsEntry{written(t, us, applied, "spec", "uid", "policy", "deletion")},
		},
		"it says nothing of who wrote it": {},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			u := rule(t, "rule", "reviews", "v1")
			u.SetLabels(map[string]string{"iter8.tools/policy-uid": "a-uid"})
			u.SetAnnotations(map[string]string{"iter8.tools/policy": "a-policy", "iter8.tools/deletion-policy": "Delete"})
			if test.deletion != "" {
				u.SetAnnotations(map[string]string{"iter8.tools/policy": "a-policy", "iter8.tools/deletion-policy": test.deletion})
			}
			u.SetManagedFields(test.managed)
			g.Expect(MarkOf(u)).To(Equal(test.want))
		})
	}
}

func TestOnlyRulesThatDefineSubsetsAreMarked(t *testing.T) {
	g := NewWithT(t)
	for name, test := range map[string]struct {
		manifest *unstructured.Unstructured
		marked   bool
	}{
		"a rule with subsets":    {rule(t, "rule", "reviews", "v1"), true},
		"a rule without subsets": {rule(t, "rule", "reviews"), false},
		"what names subsets":     {service(t, "web", "reviews", "v1"), false},
		"a route":                {route(), false},
	} {
		claimed := claim(owner, test.manifest, false)
		if test.marked {
			g.Expect(claimed.GetOwnerReferences()).To(BeEmpty(), name)
			g.Expect(claimed.GetLabels()).To(HaveKeyWithValue("iter8.tools/policy-uid", "policy-uid"), name)
			g.Expect(claimed.GetAnnotations()).To(And(HaveKeyWithValue("iter8.tools/policy", "policy"), HaveKeyWithValue("iter8.tools/deletion-policy", "Delete")), name)
			continue
		}
		g.Expect(claimed.GetOwnerReferences()).To(HaveLen(1), name)
		g.Expect(claimed.GetLabels()).NotTo(HaveKey("iter8.tools/policy-uid"), name)
	}
}

func TestWhatIsToStayIsMarkedWhateverItIs(t *testing.T) {
	g := NewWithT(t)
	stays := owner
	stays.Deletion = "Orphan"
	for _, manifest := range []*unstructured.Unstructured{route(), rule(t, "rule", "reviews", "v1"), rule(t, "rule", "reviews"), service(t, "web", "reviews", "v1")} {
		claimed := claim(stays, manifest, false)
		g.Expect(claimed.GetOwnerReferences()).To(BeEmpty(), manifest.GetKind())
		g.Expect(claimed.GetLabels()).To(HaveKeyWithValue("iter8.tools/policy-uid", "policy-uid"), manifest.GetKind())
		g.Expect(claimed.GetAnnotations()).To(And(HaveKeyWithValue("iter8.tools/policy", "policy"), HaveKeyWithValue("iter8.tools/deletion-policy", "Orphan")), manifest.GetKind())
	}
}

func TestAPolicyThatIsToOrphanTakesOwnerReferencesOffAtRest(t *testing.T) {
	m := newMesh(t, rule(t, "rule", "reviews", "v1"))
	m.owned(t, "rule", rule(t, "rule", "reviews", "v1"))
	stays := owner
	stays.Deletion = "Orphan"
	steps, err := plan(stays, []*unstructured.Unstructured{rule(t, "rule", "reviews", "v1")}, m.inventory, func(Key) *Existing { return m.cluster["rule"] })
	m.Expect(err).NotTo(HaveOccurred())
	m.Expect(steps).To(HaveLen(1))
	m.Expect(steps[0].Action).To(Equal(Update))
}

func TestAMarkIsNotATemplatesToGive(t *testing.T) {
	g := NewWithT(t)
	m := route()
	m.SetLabels(map[string]string{"iter8.tools/policy-uid": "foreign"})
	m.SetAnnotations(map[string]string{"iter8.tools/policy": "foreign", "iter8.tools/deletion-policy": "Delete"})
	claimed := claim(owner, m, false)
	g.Expect(claimed.GetLabels()).To(Equal(map[string]string{"app.kubernetes.io/managed-by": "iter8-operator"}))
	g.Expect(claimed.GetAnnotations()).To(BeEmpty())
}

func TestWhatIsDoneAboutARuleThatDefinesSubsets(t *testing.T) {
	lives := owner
	lives.Lives = func(policy string, uid types.UID) bool { return policy == "other" && uid == "other-uid" }
	for name, test := range map[string]struct {
		existing func(*Existing)
		unlisted bool
		want     Action
	}{
		"it stands as it was applied":                                     {want: Keep},
		"its mark was taken off":                                          {existing: func(e *Existing) { e.Mark = nil; e.Labels, e.Annotations = nil, nil }, want: Update},
		"its mark was forged, and counts no more":                         {existing: func(e *Existing) { e.Mark = nil; e.Labels["iter8.tools/policy-uid"] = "foreign" }, want: Update},
		"it is marked, and the inventory was lost":                        {unlisted: true, want: Update},
		"it was made again by the operator":                               {existing: func(e *Existing) { e.UID = "made-again" }, want: Update},
		"another policy marked it":                                        {existing: func(e *Existing) { e.Mark = &Mark{UID: "other-uid", Policy: "other"} }, want: Conflict},
		"another policy marked it, and it is handed over":                 {existing: func(e *Existing) { e.Mark = &Mark{UID: "other-uid", Policy: "other"}; e.Adopt = true }, want: Conflict},
		"a policy that is gone marked it":                                 {existing: func(e *Existing) { e.Mark = &Mark{UID: "gone-uid", Policy: "gone"} }, want: Conflict},
		"a policy that is gone marked it, and it is handed over":          {existing: func(e *Existing) { e.Mark = &Mark{UID: "gone-uid", Policy: "gone"}; e.Adopt = true }, want: Adopt},
		"an earlier policy of the name marked it":                         {existing: func(e *Existing) { e.Mark = &Mark{UID: "earlier", Policy: "policy", Deletion: "Delete"} }, want: Adopt},
		"an earlier policy of the name marked it, and its end is another": {existing: func(e *Existing) { e.Mark = &Mark{UID: "earlier", Policy: "policy", Deletion: "Orphan"} }, want: Conflict},
		"an earlier policy of the name marked it, and it is going": {existing: func(e *Existing) {
			e.Mark = &Mark{UID: "earlier", Policy: "policy", Deletion: "Delete"}
			e.Terminating = true
		}, want: Conflict},
		"an earlier policy of the name marked it, and another controls it": {existing: func(e *Existing) {
			e.Controller, e.Mark = controlledBy("other"), &Mark{UID: "earlier", Policy: "policy", Deletion: "Delete"}
		}, want: Conflict},
		"an earlier policy of the name marked it, and it is handed over": {existing: func(e *Existing) { e.Mark = &Mark{UID: "earlier", Policy: "policy"}; e.Adopt = true }, want: Adopt},
		"it has a mark of the policy's, and another controls it":         {existing: func(e *Existing) { e.Controller = controlledBy("other") }, want: Conflict},
		"it is made by another, and not marked":                          {existing: func(e *Existing) { e.UID, e.Mark = "others", nil }, want: Conflict},
		"it is being deleted":                                            {existing: func(e *Existing) { e.Terminating = true }, want: Wait},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			m := newMesh(t, rule(t, "rule", "reviews", "v1"))
			existing := m.cluster["rule"]
			if test.existing != nil {
				test.existing(existing)
			}
			inventory := m.inventory
			if test.unlisted {
				inventory = nil
			}
			steps, err := plan(lives, []*unstructured.Unstructured{rule(t, "rule", "reviews", "v1")}, inventory, func(Key) *Existing { return existing })
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(steps).To(HaveLen(1))
			g.Expect(steps[0].Action).To(Equal(test.want))
		})
	}
}

// owned has the cluster hold a rule as an operator applied it that gave every object an owner reference.
func (m *mesh) owned(t *testing.T, name string, object *unstructured.Unstructured) {
	t.Helper()
	digest, err := digestOf(withOwner(owner, object))
	m.Expect(err).NotTo(HaveOccurred())
	e := m.cluster[name]
	e.Controller, e.Mark, e.Annotations = controlledBy(owner.UID), nil, nil
	e.Labels = map[string]string{"app.kubernetes.io/managed-by": "iter8-operator"}
	for i := range m.inventory {
		if m.inventory[i].Name == name {
			m.inventory[i].Digest = digest
		}
	}
}

func TestAnOwnerReferenceIsTakenOffWithTheNextWriteAndNotAtRest(t *testing.T) {
	m := newMesh(t, rule(t, "rule", "reviews", "v1", "v2"), service(t, "web", "reviews", "v1"))
	m.owned(t, "rule", rule(t, "rule", "reviews", "v1", "v2"))

	result := m.bring(t, rule(t, "rule", "reviews", "v1", "v2"), service(t, "web", "reviews", "v1"))
	m.Expect(m.writes()).To(BeEmpty())
	m.Expect(result.Failures).To(BeEmpty())

	result = m.bring(t, rule(t, "rule", "reviews", "v1", "v2"), service(t, "web", "reviews", "v1", "v2"))
	m.Expect(result.Failures).To(BeEmpty())
	m.Expect(m.writes()).To(Equal([]string{"web", "rule v1 v2"}), "the mirror doesn't wait for it")
	var written unstructured.Unstructured
	m.Expect(written.UnmarshalJSON(m.patches()[1].Patch)).To(Succeed())
	m.Expect(written.GetOwnerReferences()).To(BeEmpty())
	m.Expect(written.GetLabels()).To(HaveKeyWithValue("iter8.tools/policy-uid", "policy-uid"), "one write does both")

	m.bring(t, rule(t, "rule", "reviews", "v1", "v2"), service(t, "web", "reviews", "v1", "v2"))
	m.Expect(m.writes()).To(BeEmpty())
}

func TestARuleThatChangesLosesItsOwnerReferenceWithThat(t *testing.T) {
	m := newMesh(t, rule(t, "rule", "reviews", "v1"), service(t, "web", "reviews", "v1"))
	m.owned(t, "rule", rule(t, "rule", "reviews", "v1"))
	m.bring(t, rule(t, "rule", "reviews", "v1", "v2"), service(t, "web", "reviews", "v1", "v2"))
	m.Expect(m.writes()).To(Equal([]string{"rule v1 v2", "web"}))
	var written unstructured.Unstructured
	m.Expect(written.UnmarshalJSON(m.patches()[0].Patch)).To(Succeed())
	m.Expect(written.GetOwnerReferences()).To(BeEmpty())
}
