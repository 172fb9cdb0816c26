package apply

import (
	"encoding/json"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
)

// Mark says which policy an object was applied for that carries no owner reference to it, since the garbage collector isn't to take it
// with the policy.
type Mark struct {
	// UID and Policy, its name, are those of the policy.
	UID    types.UID
	Policy string
	// Deletion is what becomes of the object when the policy is gone.
	Deletion iter8v1alpha1.DeletionPolicy
}

// MarkOf returns the mark of an object; nil where it has none that counts. It counts where the apiserver has it, in the object's managed
// fields, that the operator wrote all of it, and the spec: what was copied from an object of the operator's, or labeled by another, isn't
// the operator's. What may write the managed fields of an object under the operator's name can forge its mark.
func MarkOf(u *unstructured.Unstructured) *Mark {
	mark := &Mark{
		UID:      types.UID(u.GetLabels()[iter8v1alpha1.PolicyUIDLabel]),
		Policy:   u.GetAnnotations()[iter8v1alpha1.PolicyAnnotation],
		Deletion: iter8v1alpha1.DeletionPolicy(u.GetAnnotations()[iter8v1alpha1.DeletionPolicyAnnotation]),
	}
	known := mark.Deletion == iter8v1alpha1.DeletionDelete || mark.Deletion == iter8v1alpha1.DeletionOrphan
	if mark.UID == "" || mark.Policy == "" || !known || !wroteMark(u.GetManagedFields()) {
		return nil
	}
	return mark
}

// markFields are what the operator must have written of an object for its mark to count, as paths of managed fields.
var markFields = [][]string{
	{"f:spec"},
	{"f:metadata", "f:labels", "f:" + iter8v1alpha1.PolicyUIDLabel},
	{"f:metadata", "f:annotations", "f:" + iter8v1alpha1.PolicyAnnotation},
	{"f:metadata", "f:annotations", "f:" + iter8v1alpha1.DeletionPolicyAnnotation},
}

// wroteMark reports whether the operator owns the fields of a mark: by applying them, or by an edit.
func wroteMark(managed []metav1.ManagedFieldsEntry) bool {
	var ours []map[string]any
	for _, entry := range managed {
		var fields map[string]any
		if entry.Manager != iter8v1alpha1.FieldManager || entry.Subresource != "" || entry.FieldsV1 == nil || json.Unmarshal(entry.FieldsV1.GetRawBytes(), &fields) != nil {
			continue
		}
		ours = append(ours, fields)
	}
	return !slices.ContainsFunc(markFields, func(path []string) bool {
		return !slices.ContainsFunc(ours, func(fields map[string]any) bool {
			_, found, err := unstructured.NestedFieldNoCopy(fields, path...)
			return found && err == nil
		})
	})
}

// Claimed reports whether an object says whose it is.
func (e *Existing) Claimed() bool { return e.Controller != nil || e.Mark != nil }

// claimedAs reports whether an object says whose it is as a manifest does: by an owner reference, or by a mark.
func (e *Existing) claimedAs(manifest *unstructured.Unstructured) bool {
	return e.Claimed() && (e.Controller != nil) == (len(manifest.GetOwnerReferences()) > 0)
}

// marksOther reports whether an object is marked as that of another policy which exists. A policy of the owner's name and another uid
// doesn't.
func (o Owner) marksOther(e *Existing) bool {
	return e.Mark != nil && e.Mark.Policy != o.Name && o.Lives != nil && o.Lives(e.Mark.Policy, e.Mark.UID)
}

// succeeds reports whether an object is what an earlier policy of the owner's name has left to be deleted.
func (o Owner) succeeds(e *Existing) bool {
	return e.Controller == nil && !e.Terminating && e.Mark != nil && e.Mark.Policy == o.Name && e.Mark.UID != o.UID && e.Mark.Deletion == iter8v1alpha1.DeletionDelete
}

// claim returns a copy of a manifest with what makes it the policy's: an owner reference, or a mark where the garbage collector isn't to take
// it, as where it is to be orphaned or was adopted. A DestinationRule that defines subsets carries no owner reference: the
// garbage collector would take it before the VirtualService that names them.
func claim(owner Owner, manifest *unstructured.Unstructured, adopted bool) *unstructured.Unstructured {
	switch {
	case adopted, owner.Deletion == iter8v1alpha1.DeletionOrphan:
		return withMark(owner, manifest, iter8v1alpha1.DeletionOrphan)
	case len(routes.Subsets(manifest, owner.Namespace)) > 0:
		return withMark(owner, manifest, iter8v1alpha1.DeletionDelete)
	}
	return withOwner(owner, manifest)
}

// withOwner returns a copy of a manifest with an owner reference to the policy.
func withOwner(owner Owner, manifest *unstructured.Unstructured) *unstructured.Unstructured {
	m := managed(owner, manifest)
	isController := true
	// Without blockOwnerDeletion, which would take the right to update the policy's finalizers.
	m.SetOwnerReferences([]metav1.OwnerReference{{
		APIVersion: iter8v1alpha1.GroupVersion.String(),
		Kind:       "RoutingPolicy",
		Name:       owner.Name,
		UID:        owner.UID,
		Controller: &isController,
	}})
	return m
}

// withMark returns a copy of a manifest with the policy's mark.
func withMark(owner Owner, manifest *unstructured.Unstructured, deletion iter8v1alpha1.DeletionPolicy) *unstructured.Unstructured {
	m := managed(owner, manifest)
	m.SetOwnerReferences(nil)
	m.SetLabels(with(m.GetLabels(), iter8v1alpha1.PolicyUIDLabel, string(owner.UID)))
	m.SetAnnotations(with(with(m.GetAnnotations(), iter8v1alpha1.PolicyAnnotation, owner.Name), iter8v1alpha1.DeletionPolicyAnnotation, string(deletion)))
	return m
}

// managed returns a copy of a manifest in the policy's namespace, with the operator's label and without any mark, which is not a template's to
// give.
func managed(owner Owner, manifest *unstructured.Unstructured) *unstructured.Unstructured {
	m := manifest.DeepCopy()
	m.SetNamespace(owner.Namespace)
	m.SetLabels(with(without(m.GetLabels(), iter8v1alpha1.PolicyUIDLabel), iter8v1alpha1.ManagedByLabel, iter8v1alpha1.FieldManager))
	if annotations := m.GetAnnotations(); annotations != nil {
		m.SetAnnotations(without(annotations, iter8v1alpha1.PolicyAnnotation, iter8v1alpha1.DeletionPolicyAnnotation))
	}
	return m
}

// with and without change labels or annotations that are a copy already.
func with(all map[string]string, key, value string) map[string]string {
	if all == nil {
		all = map[string]string{}
	}
	all[key] = value
	return all
}

func without(all map[string]string, keys ...string) map[string]string {
	for _, key := range keys {
		delete(all, key)
	}
	return all
}

// migrates reports whether an object lacks nothing but its mark: it stands as an operator applied it that gave every object an owner
// reference.
func migrates(owner Owner, step Step, manifest *unstructured.Unstructured) bool {
	if step.Existing.Controller == nil || step.Manifest.GetAnnotations()[iter8v1alpha1.DeletionPolicyAnnotation] != string(iter8v1alpha1.DeletionDelete) {
		return false
	}
	before := step
	before.Manifest = withOwner(owner, manifest)
	var err error
	before.Digest, err = digestOf(before.Manifest)
	return err == nil && decide(owner, before) == Keep
}

// migrateLast has objects that only lack their mark keep their owner reference where nothing else is to be written, so that a new version of
// the operator writes nothing at rest; else they are written after all that is rendered, which none of them has to wait for. One write
// takes the owner reference off and puts the mark on.
func migrateLast(steps []Step, inventory []iter8v1alpha1.AppliedObject, wanted map[Key]bool) []Step {
	var migrating, rest []Step
	writes := len(leaving(inventory, wanted)) > 0
	for _, step := range steps {
		if step.migrates {
			migrating = append(migrating, step)
			continue
		}
		writes = writes || len(step.Action.verbs()) > 0
		rest = append(rest, step)
	}
	if writes {
		return append(rest, migrating...)
	}
	for i := range steps {
		if steps[i].migrates {
			steps[i].Action, steps[i].migrates = Keep, false
		}
	}
	return steps
}
