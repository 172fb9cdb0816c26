package apply

import (
	"context"
	"encoding/json"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
)

// leaves reports whether an action is on an object that isn't rendered any more.
func (a Action) leaves() bool { return a == Delete || a == Orphan }

// adopted reports whether an object was adopted: it is recorded, or the object says so of which the last write isn't.
func (o Owner) adopted(e *Existing, entry iter8v1alpha1.AppliedObject) bool {
	return entry.Adopted || e != nil && o.Owns(e, entry) && e.UID != entry.UID && (e.Adopt || o.Deletion != iter8v1alpha1.DeletionOrphan && e.staysAdopted())
}

// staysAdopted reports whether an object counts as adopted where nothing is recorded of it. It may just be to stay for its policy's
// deletionPolicy; then it stays, too.
func (e *Existing) staysAdopted() bool {
	return e.Adopt || e.Mark != nil && e.Mark.Deletion == iter8v1alpha1.DeletionOrphan
}

// settleOrphans finds which of the objects to orphan are done with: they are released, but for those that name subsets of a rule that is to
// go, which has to stay for them.
func settleOrphans(owner Owner, steps []Step) []Step {
	var going []*unstructured.Unstructured
	for _, step := range steps {
		if live := step.live(owner); live != nil && step.Action == Delete {
			going = append(going, live)
		}
	}
	for i := range steps {
		step := &steps[i]
		if step.Action != Orphan {
			continue
		}
		kind := schema.FromAPIVersionAndKind(step.Entry.APIVersion, step.Entry.Kind)
		live := step.Existing.Live(kind, types.NamespacedName{Namespace: owner.Namespace, Name: step.Key.Name})
		for _, rule := range going {
			step.Needed = step.Needed || live != nil && routes.DependsOn(live, rule)
		}
		switch {
		case live != nil && !owner.hasOrphaned(step.Existing, live):
		case step.Needed:
			step.Action = Hold
		default:
			step.Action = Release
		}
	}
	return steps
}

// hasOrphaned reports whether an object of the policy's is as an Orphan leaves it.
func (o Owner) hasOrphaned(e *Existing, live *unstructured.Unstructured) bool {
	_, marked := e.Annotations[iter8v1alpha1.DeletionPolicyAnnotation]
	return e.Controller == nil && !marked && len(routes.Mirrors(live)) == 0
}

// WithoutMirrors returns the patch that takes all mirrors out of an object which is to stay, and with them what says that this is still to be done.
// It applies to the object with this uid only.
func WithoutMirrors(live *unstructured.Unstructured, marked bool) mirrors.Patch {
	none := mirrors.Decide(mirrors.Input{Namespace: live.GetNamespace(), Withheld: []mirrors.Withholding{{
		Reason: iter8v1alpha1.ReasonWithdrawn, Message: "the policy has left it",
	}}})
	patch, _ := mirrors.Edit(live, none)
	if len(patch) == 0 { // else it tests that itself
		patch = mirrors.Patch{{Op: "test", Path: "/metadata/uid", Value: string(live.GetUID())}}
	}
	if marked {
		patch = append(patch, mirrors.Operation{Op: "remove", Path: "/metadata/annotations/" + strings.ReplaceAll(iter8v1alpha1.DeletionPolicyAnnotation, "/", "~1")})
	}
	return patch
}

// orphanAdopted takes the mirrors out of an object that was adopted and has left the render. From then on it is not the policy's.
func (x *Executor) orphanAdopted(ctx context.Context, client dynamic.Interface, owner Owner, step Step) error {
	resource, err := x.resource(step.Watched)
	if err != nil {
		return err
	}
	object := types.NamespacedName{Namespace: owner.Namespace, Name: step.Key.Name}
	live := step.Existing.Live(step.Watched, object)
	if live == nil {
		return nil // nothing of it is the operator's any more
	}
	_, marked := step.Existing.Annotations[iter8v1alpha1.DeletionPolicyAnnotation]
	data, err := json.Marshal(WithoutMirrors(live, marked))
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	written := x.Cache.beginWrite(nameOf(step.Watched, object))
	answer, err := client.Resource(resource).Namespace(owner.Namespace).Patch(ctx, object.Name, types.JSONPatchType, data,
		metav1.PatchOptions{FieldManager: iter8v1alpha1.FieldManager})
	written(answer, err)
	return ignoreGone(err)
}
