package apply

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
)

// Owner is the RoutingPolicy that objects are applied for.
type Owner struct {
	Namespace, Name string
	UID             types.UID
	// ConvertedFrom is the ConfigMap of Iter8 that the policy mirrors, empty for any other policy.
	ConvertedFrom string
	// Deletion is what becomes of the objects when the policy is gone; empty means that they are deleted.
	Deletion iter8v1alpha1.DeletionPolicy
	// Lives reports whether another policy of the namespace exists, by its name and uid. Without it none does.
	Lives func(policy string, uid types.UID) bool
}

// Key names an object in the namespace of its policy, in whatever version of its kind.
type Key struct {
	schema.GroupKind
	Name string
}

// Existing is what the cluster holds under a Key.
type Existing struct {
	UID        types.UID
	Generation int64
	// Labels and Annotations are those of an object that a RoutingPolicy controls, and Spec is its spec, as JSON.
	Labels, Annotations map[string]string
	Spec                []byte
	// Controller is the owner that controls the object, nil if none does, and Mark says whose an object is that none does.
	Controller *metav1.OwnerReference
	Mark       *Mark
	// Managers are who owns its fields, sorted, for messages.
	Managers string
	// Adopt says that the object was handed over.
	Adopt bool
	// Edited says that fields of it are those of an Edit, and not of what is applied.
	Edited bool
	// Terminating says that it is being deleted.
	Terminating bool
	// Acceptance is what the gateways say of it, and Reporters are the controllers that report on it for parents that are no Gateways.
	Acceptance routes.Verdict
	// Reported is what those of them say that have ever said something of it.
	Reported  routes.Verdict
	Reporters []routes.Controller
	// Legacy says that Iter8's controller applied it, and LegacyOwner for which ConfigMap, where it recorded that.
	Legacy      bool
	LegacyOwner string
}

// Action is what is done about one object.
type Action int

// The actions of a plan.
const (
	// Keep: the cluster holds what was recorded; nothing is called.
	Keep Action = iota
	// Create: no such object exists.
	Create
	// Update: it is the policy's, and differs from what was recorded or from what is rendered now.
	Update
	// Adopt: no controller owns it, and it was handed over, or an earlier policy of the name has left it.
	Adopt
	// TakeOver: Iter8's controller applied it for the ConfigMap that the policy mirrors.
	TakeOver
	// Yield: it is the policy's, and another changes it back over and over: for a while it is left as it is.
	Yield
	// Conflict: it isn't the policy's, and is left alone.
	Conflict
	// Refuse: it was handed over, and is left alone, since it isn't known that adopting it changes nothing for clients: see compare.
	Refuse
	// Wait: it is on its way out; what comes after follows from the event of its end.
	Wait
	// Delete: it is the policy's, and isn't rendered any more.
	Delete
	// Orphan: it was adopted, and isn't rendered any more: it stays, without mirrors.
	Orphan
	// Release: the inventory lists it, but it is gone or another owner's.
	Release
	// Hold: it is the policy's, and stays as it is until the last step on it.
	Hold
)

// Stage says which step on an object it is, where a plan takes two: see interim.
type Stage int

// The stages of a change.
const (
	// Whole: there is one step on the object.
	Whole Stage = iota
	// Interim: the object is brought to what serves those that need it as it stands, and those that need it as it is rendered.
	Interim
	// Final: it is brought to what is rendered, once no object needs what that lacks.
	Final
)

// Step is an Action on one object.
type Step struct {
	Action Action
	Key    Key
	// Manifest to apply, with its owner; nil for Delete, Orphan and Release.
	Manifest *unstructured.Unstructured
	// Digest of the manifest.
	Digest string
	// Entry is the inventory's line: as recorded, or for a new object as planned.
	Entry iter8v1alpha1.AppliedObject
	// Existing is what the cluster holds, nil if nothing.
	Existing *Existing
	// Watched is its kind in the version in which it is looked up, which is served and may be another than that of Manifest or Entry.
	Watched schema.GroupVersionKind
	// Stage of the change.
	Stage Stage
	// Needed is set for an Orphan that stays listed, since a rule that is to go defines subsets which it names.
	Needed bool
	// Spare is set for a Delete or Orphan that is only to be tried in place of one that failed.
	Spare bool
	// until is how long a Yield lasts.
	until time.Time
	// refused is why it is a Refuse, and version the resourceVersion of the object that an Adopt was compared with.
	refused *Failure
	version string
	// migrates is set for an Update that makes a mark of the owner reference, and does nothing else.
	migrates bool
	// reverts is set for an Update that puts right what another changed, and does nothing else.
	reverts bool
}

// plan decides about every manifest, in their order but for those that others refer to, which come first, and
// then about every object that only the inventory lists, the other way round, with these last. Manifests must be free of
// duplicates. What is taken away of an object that others need comes last: see interim. Nothing that is given is changed.
func plan(owner Owner, manifests []*unstructured.Unstructured, inventory []iter8v1alpha1.AppliedObject, lookup func(Key) *Existing) ([]Step, error) {
	recorded := make(map[Key]iter8v1alpha1.AppliedObject, len(inventory))
	for _, entry := range inventory {
		recorded[KeyOf(entry)] = entry
	}
	steps := make([]Step, 0, len(manifests)+len(inventory))
	wanted := make(map[Key]bool, len(manifests))
	for _, m := range inOrder(manifests) {
		key := Key{GroupKind: m.GroupVersionKind().GroupKind(), Name: m.GetName()}
		wanted[key] = true
		step, err := stepOn(owner, m, recorded[key], lookup(key))
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", key.Kind, key.Name, err)
		}
		steps = append(steps, step)
	}
	steps = migrateLast(steps, inventory, wanted)
	for _, entry := range leaving(inventory, wanted) {
		key := KeyOf(entry)
		step := Step{Key: key, Entry: entry, Existing: lookup(key), Action: Release}
		if step.Existing != nil && owner.Owns(step.Existing, entry) {
			step.Action = Delete
			if owner.adopted(step.Existing, entry) {
				step.Action = Orphan
			}
		}
		steps = append(steps, step)
	}
	return interim(owner, settleOrphans(owner, steps))
}

// stepOn returns the step on an object that is rendered.
func stepOn(owner Owner, m *unstructured.Unstructured, entry iter8v1alpha1.AppliedObject, existing *Existing) (Step, error) {
	step := Step{Key: Key{GroupKind: m.GroupVersionKind().GroupKind(), Name: m.GetName()}, Existing: existing,
		Entry: iter8v1alpha1.AppliedObject{
			APIVersion: m.GetAPIVersion(), Kind: m.GetKind(), Name: m.GetName(), Adopted: owner.adopted(existing, entry),
			UID: entry.UID, Generation: entry.Generation, Digest: entry.Digest, Metadata: entry.Metadata,
		}}
	if err := step.claim(owner, m); err != nil {
		return Step{}, err
	}
	switch step.Action = decide(owner, step); {
	case step.Action == Update:
		step.migrates = migrates(owner, step, m)
	case step.Action == Adopt, step.Action == Create && step.Entry.Adopted:
		step.Entry.Adopted = step.Action == Adopt && existing.Adopt // what is made anew, or was an earlier policy's, is the policy's own
		if err := step.claim(owner, m); err != nil {
			return Step{}, err
		}
	}
	return step, nil
}

// claim sets what is to be applied of a manifest.
func (s *Step) claim(owner Owner, manifest *unstructured.Unstructured) (err error) {
	s.Manifest = claim(owner, manifest, s.Entry.Adopted)
	s.Digest, err = digestOf(s.Manifest)
	return err
}

// inOrder returns the manifests as they are to be applied.
func inOrder(manifests []*unstructured.Unstructured) []*unstructured.Unstructured {
	return slices.SortedStableFunc(slices.Values(manifests), func(a, b *unstructured.Unstructured) int {
		return rank(a.GroupVersionKind().GroupKind()) - rank(b.GroupVersionKind().GroupKind())
	})
}

// leaving returns the entries that aren't wanted any more, as their objects are to be deleted. The inventory's own
// order isn't enough: what was planned last, or could not be deleted before, stands in it at another place.
func leaving(inventory []iter8v1alpha1.AppliedObject, wanted map[Key]bool) []iter8v1alpha1.AppliedObject {
	entries := slices.DeleteFunc(slices.Clone(inventory), func(entry iter8v1alpha1.AppliedObject) bool { return wanted[KeyOf(entry)] })
	slices.Reverse(entries)
	slices.SortStableFunc(entries, func(a, b iter8v1alpha1.AppliedObject) int { return rank(KeyOf(b).GroupKind) - rank(KeyOf(a).GroupKind) })
	return entries
}

// rank is lower for a kind that is applied earlier, and deleted later.
func rank(kind schema.GroupKind) int {
	if routes.DefinesSubsets(kind) {
		return 0
	}
	return 1
}

func decide(owner Owner, step Step) Action {
	e := step.Existing
	switch {
	case e == nil:
		return Create
	case !owner.Owns(e, step.Entry):
		switch {
		case e.Terminating:
			return Conflict // for as long as it takes
		case owner.takesOver(e):
			return TakeOver
		case e.Adopt && e.Controller == nil && !owner.marksOther(e):
			return Adopt
		case owner.succeeds(e):
			return Adopt // where that changes nothing: see compare
		default:
			return Conflict
		}
	case e.Terminating:
		return Wait
	case e.claimedAs(step.Manifest) && step.Entry.UID == e.UID && step.Entry.Digest == step.Digest &&
		// An object without a generation gives no sign of a change; applying it again is the only check.
		e.Generation != 0 && step.Entry.Generation == e.Generation &&
		containsAll(e.Labels, step.Manifest.GetLabels()) && containsAll(e.Annotations, step.Manifest.GetAnnotations()):
		return Keep
	default:
		return Update
	}
}

// Owns reports whether an object is the policy's: the policy controls or marks it, or did when it was recorded and no other
// owner has taken control since. Control goes before the mark, and both before the recorded uid. An object that carries the policy's owner
// reference or mark and another uid was made again by the operator, which could not record it any more, or from a backup;
// taken for another's, it would be left behind when it leaves the render. Without these an object
// of another uid is another's, and never touched.
func (o Owner) Owns(e *Existing, entry iter8v1alpha1.AppliedObject) bool {
	switch {
	case e.Controller != nil:
		return e.Controller.UID == o.UID
	case e.Mark != nil:
		return e.Mark.UID == o.UID
	}
	return entry.UID != "" && entry.UID == e.UID
}

// takesOver reports whether an object is what Iter8's controller made of the ConfigMap that the policy mirrors.
func (o Owner) takesOver(e *Existing) bool {
	return o.ConvertedFrom != "" && e.Legacy && (e.LegacyOwner == "" || e.LegacyOwner == o.ConvertedFrom) &&
		(e.Controller == nil || isLegacyOwner(*e.Controller))
}

// isLegacyOwner recognizes the owner references of Iter8, which name the kind in lower case.
func isLegacyOwner(ref metav1.OwnerReference) bool { return strings.EqualFold(ref.Kind, "configmap") }

// plannedInventory returns the inventory to record before the steps are taken, so that a crash leaves no object
// unlisted, and whether it differs from the one there is.
func plannedInventory(inventory []iter8v1alpha1.AppliedObject, steps []Step) ([]iter8v1alpha1.AppliedObject, bool) {
	listed := make(map[Key]bool, len(inventory))
	for _, entry := range inventory {
		listed[KeyOf(entry)] = true
	}
	planned := append([]iter8v1alpha1.AppliedObject(nil), inventory...)
	for _, step := range steps {
		if (step.Action == Create || step.Action == Adopt || step.Action == TakeOver) && !listed[step.Key] {
			planned = append(planned, step.Entry)
		}
	}
	return planned, len(planned) > len(inventory)
}

// KeyOf returns the key of an inventory entry.
func KeyOf(entry iter8v1alpha1.AppliedObject) Key {
	return Key{GroupKind: schema.FromAPIVersionAndKind(entry.APIVersion, entry.Kind).GroupKind(), Name: entry.Name}
}

// digestOf is of the manifest's JSON, whose keys are sorted.
func digestOf(m *unstructured.Unstructured) (string, error) {
	data, err := json.Marshal(m.Object)
	if err != nil {
		return "", fmt.Errorf("encoding the manifest: %w", err)
	}
	return sum(data), nil
}

func sum(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// MetadataDigest is that of an object's labels and annotations.
func (e *Existing) MetadataDigest() string {
	data, err := json.Marshal([]map[string]string{e.Labels, e.Annotations}) // a map's keys are sorted in JSON
	if err != nil {
		return ""
	}
	return sum(data)
}

// containsAll reports whether labels or annotations have all the others, with their values.
func containsAll(have, want map[string]string) bool {
	for key, value := range want {
		if got, ok := have[key]; !ok || got != value {
			return false
		}
	}
	return true
}
