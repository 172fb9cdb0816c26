package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Edit is a change of an object that stands, whatever is rendered.
type Edit struct {
	// Kind of the object, in the version in which it is watched, and Object its name.
	Kind   schema.GroupVersionKind
	Object types.NamespacedName
	// UID of the object.
	UID types.UID
	// Patch is what marshals to a JSON patch (RFC 6902).
	Patch any
	// Accounts that make the edit: each where the one before it is refused.
	Accounts []*Account
}

// How long the apiserver may take for a write, which asks admission webhooks of up to 30 seconds; and for an edit, of which the next try is worth
// more than a late answer. Without them a lost answer would hold a policy up for good.
const (
	writeTimeout = 35 * time.Second
	editTimeout  = 10 * time.Second
)

// Edit makes an edit, and returns why that failed. The Failure's Err is an apiserver's 422 (Invalid) where the object isn't what
// the patch was made of.
func (x *Executor) Edit(ctx context.Context, edit Edit) *Failure {
	if until := x.fights.edit(edit.UID, time.Now()); !until.IsZero() {
		return &Failure{Reason: iter8v1alpha1.ReasonContended, Until: until,
			Message: fmt.Sprintf("mirrors are put back into %s %s as often as they are taken out", edit.Kind.Kind, edit.Object.Name)}
	}
	data, err := json.Marshal(edit.Patch)
	if err == nil {
		for _, account := range edit.Accounts {
			if err = x.patch(ctx, account, edit, data); !refused(err) {
				break
			}
		}
	}
	if err == nil || apierrors.IsNotFound(err) && !isNotServed(err) {
		return nil
	}
	return &Failure{Reason: reasonOf(Step{}, err), Err: err,
		Message: fmt.Sprintf("taking mirrors out of %s %s: %s", edit.Kind.Kind, edit.Object.Name, message(err))}
}

// refused reports whether another account may be allowed what one isn't: an admission policy may look at who asks, and answers as to
// what is not valid.
func refused(err error) bool {
	return apierrors.IsForbidden(err) || apierrors.IsInvalid(err) || apierrors.IsUnauthorized(err)
}

func (x *Executor) patch(ctx context.Context, account *Account, edit Edit, data []byte) error {
	resource, err := x.resource(edit.Kind)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, editTimeout)
	defer cancel()
	written := x.Cache.beginWrite(nameOf(edit.Kind, edit.Object))
	answer, err := account.Client.Resource(resource).Namespace(edit.Object.Namespace).Patch(ctx, edit.Object.Name, types.JSONPatchType, data,
		metav1.PatchOptions{FieldManager: iter8v1alpha1.FieldManager})
	written(answer, err)
	if err == nil {
		x.fights.edited(edit.UID, time.Now())
		x.fights.wrote(answer.GetUID(), answer.GetGeneration(), time.Now())
	}
	return err
}

// Read reads an object past the cache, for what the cache doesn't know or has shown too late; nil where it doesn't exist.
func (x *Executor) Read(ctx context.Context, account *Account, kind schema.GroupVersionKind, object types.NamespacedName) (*Existing, error) {
	resource, err := x.resource(kind)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, editTimeout)
	defer cancel()
	live, err := account.Client.Resource(resource).Namespace(object.Namespace).Get(ctx, object.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err) && !isNotServed(err):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("reading %s %s: %s", kind.Kind, object.Name, message(err)) // without what changes with each try
	}
	return &summarize(live).existing, nil
}

// Live returns an object of ours as the cluster holds it, without its labels and annotations; nil where no spec of it is known.
func (e *Existing) Live(kind schema.GroupVersionKind, object types.NamespacedName) *unstructured.Unstructured {
	var spec map[string]any
	if e == nil || e.Spec == nil || utiljson.Unmarshal(e.Spec, &spec) != nil {
		return nil
	}
	live := &unstructured.Unstructured{Object: map[string]any{"spec": spec}}
	live.SetGroupVersionKind(kind)
	live.SetNamespace(object.Namespace)
	live.SetName(object.Name)
	live.SetUID(e.UID)
	return live
}
