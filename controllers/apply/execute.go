package apply

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/watch"
)

// Failure is why a step didn't do what it should.
type Failure struct {
	// Reason is one of the API's for the condition Applied.
	Reason string
	// Message names the object, and says what to do where that is known.
	Message string
	// Err is what the apiserver answered; nil for what was decided without asking it.
	Err error
	// Until is when to try again, zero where nothing says.
	Until time.Time
}

// Result is what came of a Request.
type Result struct {
	// Aborted is why nothing was applied or deleted; nil where the steps were taken. Its Err is what record returned,
	// where that is why.
	Aborted *Failure
	// Steps that were taken.
	Steps []Step
	// Inventory to record.
	Inventory []iter8v1alpha1.AppliedObject
	// Applied are the objects that stand as they were rendered.
	Applied map[Key]bool
	// Failures in the order of the steps.
	Failures []Failure
	// Deleted are the objects that were deleted, in the order of the steps.
	Deleted []Step
}

// Reason returns the reason of all failures together: of the first that is tried again, else of the first. There must be one.
func (r Result) Reason() string {
	if i := slices.IndexFunc(r.Failures, func(f Failure) bool { return f.recovery() == iter8v1alpha1.Retries }); i >= 0 {
		return r.Failures[i].Reason
	}
	return r.Failures[0].Reason
}

// Retry reports whether some failure may pass by itself without any event that would tell of it.
func (r Result) Retry() bool {
	return slices.ContainsFunc(r.Failures, func(f Failure) bool {
		return f.recovery() == iter8v1alpha1.Retries || isNotServed(f.Err) // which the watch of the kind hasn't noticed yet
	})
}

func (f Failure) recovery() iter8v1alpha1.Recovery {
	r, _ := iter8v1alpha1.LookupReason(f.Reason)
	return r.Recovery
}

// Terminating reports whether the namespace is on its way out, with all that is in it.
func (r Result) Terminating() bool {
	for _, f := range r.Failures {
		if apierrors.HasStatusCause(f.Err, corev1.NamespaceTerminatingCause) {
			return true
		}
	}
	return false
}

// Executor brings the cluster to what Requests ask for: see Apply.
type Executor struct {
	Mapper meta.RESTMapper
	Cache  *Cache

	fights      fights
	comparisons comparisons
}

// execute takes the steps, as the client's account. Nothing is applied before what it depends on. Objects that left the render are deleted only once all
// that is rendered stands, and those that others refer to once these are gone; what can't be deleted holds up no other. The reader, where there
// is one, says what others have in the namespace: see needed.
func (x *Executor) execute(ctx context.Context, client, reader dynamic.Interface, owner Owner, steps []Step) Result {
	e := &execution{owner: owner, steps: steps, outcomes: make([]outcome, 0, len(steps)), result: Result{Applied: map[Key]bool{}}}
	for len(steps) > 0 {
		n := independent(steps)
		outcomes := make([]outcome, n)
		inTurn(n, writePatience, func(i int) { outcomes[i] = x.take(ctx, client, reader, e, steps[i]) })
		for i, o := range outcomes {
			e.add(steps[i], o)
		}
		steps = steps[n:]
	}
	slices.Reverse(e.result.Inventory[e.rendered:]) // in the order in which they were listed: the oldest is last
	return e.result
}

// take takes a step, unless it isn't to be taken.
func (x *Executor) take(ctx context.Context, client, reader dynamic.Interface, e *execution, step Step) outcome {
	if passed := e.pass(step); passed != nil {
		return *passed
	}
	if step.Action == Delete {
		if needed := x.needed(ctx, reader, e.owner, step); needed != nil {
			return outcome{entry: &step.Entry, failure: needed}
		}
	}
	taken := outcome{tried: true}
	taken.entry, taken.failure = x.executeStep(ctx, client, e.owner, step)
	return taken
}

// executeStep takes one step, and returns the entry that the inventory is to hold of the object, if any.
func (x *Executor) executeStep(ctx context.Context, client dynamic.Interface, owner Owner, step Step) (*iter8v1alpha1.AppliedObject, *Failure) {
	entry := &step.Entry
	switch step.Action {
	case Keep:
		if kind := schema.FromAPIVersionAndKind(entry.APIVersion, entry.Kind); x.Cache.notServed(kind, owner.Namespace) {
			return entry, &Failure{Reason: iter8v1alpha1.ReasonKindNotServed, Message: NotServed(kind)}
		}
		return entry, nil
	case Release:
		return nil, nil
	case Yield:
		about, _ := x.fights.contended(step.Existing.UID, time.Now())
		return entry, &Failure{Reason: iter8v1alpha1.ReasonContended, Message: about.String(), Until: step.until}
	case Conflict:
		return nil, conflict(owner, step)
	case Refuse:
		return nil, step.refused
	case Wait:
		return entry, &Failure{Reason: iter8v1alpha1.ReasonTerminating,
			Message: fmt.Sprintf("%s %s is being deleted; it is applied again once it is gone", step.Key.Kind, step.Key.Name)}
	case Hold:
		return entry, nil
	case Orphan:
		if err := x.orphanAdopted(ctx, client, owner, step); err != nil {
			return entry, &Failure{Reason: iter8v1alpha1.ReasonPruneFailed, Message: describe("taking mirrors out of", step, err), Err: err}
		}
		if step.Needed {
			return entry, nil
		}
		return nil, nil
	case Delete:
		if err := x.deleteObject(ctx, client, owner, step); err != nil {
			return entry, &Failure{Reason: iter8v1alpha1.ReasonPruneFailed, Message: describe("deleting", step, err), Err: err}
		}
		return nil, nil
	default:
		applied, err := x.applyObject(ctx, client, step)
		if err != nil {
			return entry, &Failure{Reason: reasonOf(step, err), Message: describe("applying", step, err), Err: err}
		}
		return applied, nil
	}
}

func (x *Executor) applyObject(ctx context.Context, client dynamic.Interface, step Step) (*iter8v1alpha1.AppliedObject, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	resource, err := x.resourceOf(step.Manifest)
	if err != nil {
		return nil, err
	}
	manifest := step.Manifest
	if step.Action == TakeOver {
		if err := takeFields(ctx, client.Resource(resource).Namespace(manifest.GetNamespace()), step); err != nil {
			return nil, fmt.Errorf("taking over the fields of %s: %w", iter8v1alpha1.LegacyFieldManager, err)
		}
	}
	if step.Action == Update && step.Existing.Edited {
		reclaimFields(ctx, client.Resource(resource).Namespace(manifest.GetNamespace()), step)
	}
	// An object that is new must not push another manager's fields aside; one that exists must be the one that the
	// plan was made for, which its uid makes sure of.
	force := step.Action != Create
	if force {
		manifest.SetUID(step.Existing.UID)
	}
	if step.version != "" {
		manifest.SetResourceVersion(step.version) // what has been changed since it was compared is compared again
	}
	data, err := manifest.MarshalJSON()
	if err != nil {
		return nil, err
	}
	written := x.Cache.beginWrite(nameOf(manifest.GroupVersionKind(), types.NamespacedName{Namespace: manifest.GetNamespace(), Name: step.Key.Name}))
	answer, err := client.Resource(resource).Namespace(manifest.GetNamespace()).Patch(ctx, manifest.GetName(), types.ApplyPatchType, data, patchOptions(force))
	written(answer, err)
	if err != nil {
		return nil, err
	}
	if step.reverts {
		x.fights.reverted(answer.GetUID(), time.Now())
		putRight.WithLabelValues(step.Key.Kind).Inc()
	}
	x.fights.wrote(answer.GetUID(), answer.GetGeneration(), time.Now())
	return &iter8v1alpha1.AppliedObject{
		APIVersion: answer.GetAPIVersion(), Kind: answer.GetKind(), Name: answer.GetName(),
		UID: answer.GetUID(), Generation: answer.GetGeneration(), Digest: step.Digest, Adopted: step.Entry.Adopted, Metadata: summarize(answer).existing.MetadataDigest(),
	}, nil
}

func patchOptions(force bool) metav1.PatchOptions {
	return metav1.PatchOptions{
		FieldManager: iter8v1alpha1.FieldManager,
		Force:        &force,
		// A field that the cluster doesn't know must not be dropped in silence: without its percentage, a mirror gets
		// everything.
		FieldValidation: metav1.FieldValidationStrict,
	}
}

// dryRun has the apiserver say what it would answer to an apply.
func (x *Executor) dryRun(ctx context.Context, client dynamic.Interface, step Step) (*unstructured.Unstructured, error) {
	resource, err := x.resourceOf(step.Manifest)
	if err != nil {
		return nil, err
	}
	data, err := step.Manifest.MarshalJSON()
	if err != nil {
		return nil, err
	}
	options := patchOptions(step.Action != Create)
	options.DryRun = []string{metav1.DryRunAll}
	return client.Resource(resource).Namespace(step.Manifest.GetNamespace()).Patch(ctx, step.Key.Name, types.ApplyPatchType, data, options)
}

func (x *Executor) deleteObject(ctx context.Context, client dynamic.Interface, owner Owner, step Step) error {
	resource, err := x.resource(step.Watched)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	err = client.Resource(resource).Namespace(owner.Namespace).Delete(ctx, step.Entry.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &step.Existing.UID},
	})
	return ignoreGone(err)
}

// resourceOf returns the resource of a manifest. A kind that is known not to be served is not asked for: its watch triggers the
// policy once it is.
func (x *Executor) resourceOf(manifest *unstructured.Unstructured) (schema.GroupVersionResource, error) {
	kind := manifest.GroupVersionKind()
	if x.Cache.notServed(kind, manifest.GetNamespace()) {
		return schema.GroupVersionResource{}, watch.ErrNotServed
	}
	return x.resource(kind)
}

func (x *Executor) resource(kind schema.GroupVersionKind) (schema.GroupVersionResource, error) {
	mapping, err := x.Mapper.RESTMapping(kind.GroupKind(), kind.Version)
	if err != nil {
		return schema.GroupVersionResource{}, err
	}
	return mapping.Resource, nil
}

// ignoreGone takes an object that is gone, or has been replaced by another, as deleted; but not one whose kind isn't served in the version
// that was asked for.
func ignoreGone(err error) error {
	if apierrors.IsNotFound(err) && !isNotServed(err) || isOfAnotherUID(err) {
		return nil
	}
	return err
}

// isOfAnotherUID recognizes the answer to a deletion whose precondition, the uid, is not that of the object. The apiserver says so in
// one of two sentences and nowhere else. With any other conflict, such as a webhook's, the object stands.
func isOfAnotherUID(err error) bool {
	return apierrors.IsConflict(err) && (strings.Contains(err.Error(), "Precondition failed: UID in precondition: ") ||
		strings.Contains(err.Error(), "the UID in the precondition ("))
}

// isOurs recognizes owner references to objects of this API.
func isOurs(ref metav1.OwnerReference) bool {
	return strings.HasPrefix(ref.APIVersion, iter8v1alpha1.GroupVersion.Group+"/")
}

// reasonOf tells what may pass by itself from what the apiserver will always refuse.
func reasonOf(step Step, err error) string {
	switch {
	case isUnknownField(err):
		return iter8v1alpha1.ReasonUnsupportedByCluster
	case isUntyped(err):
		return iter8v1alpha1.ReasonRejected
	case isUnwell(err):
		return iter8v1alpha1.ReasonApplyFailed
	case meta.IsNoMatchError(err), isNotServed(err), errors.Is(err, watch.ErrNotServed):
		return iter8v1alpha1.ReasonKindNotServed
	case isOverQuota(err):
		return iter8v1alpha1.ReasonApplyFailed
	case apierrors.IsForbidden(err):
		return iter8v1alpha1.ReasonForbidden
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err), apierrors.IsRequestEntityTooLargeError(err):
		return iter8v1alpha1.ReasonRejected
	case step.Action == Create && apierrors.HasStatusCause(err, metav1.CauseTypeFieldManagerConflict):
		return iter8v1alpha1.ReasonOwnershipConflict
	default:
		return iter8v1alpha1.ReasonApplyFailed
	}
}

// isUnwell recognizes an answer that says nothing of the request: the apiserver, or a webhook, can't handle it now.
func isUnwell(err error) bool {
	var status apierrors.APIStatus
	return errors.As(err, &status) && (status.Status().Code >= http.StatusInternalServerError || status.Status().Code == http.StatusTooManyRequests)
}

// isOverQuota recognizes the answers of the admission plugin ResourceQuota, which is no matter of rights.
func isOverQuota(err error) bool {
	return apierrors.IsForbidden(err) && slices.ContainsFunc([]string{"exceeded quota: ", "status unknown for quota: ", "failed quota: ", "insufficient quota to "},
		func(said string) bool { return strings.Contains(err.Error(), said) })
}

// isNotServed recognizes the answer to a write of a kind that the cluster doesn't serve any more. That its namespace is
// gone is another one, which names the namespace.
func isNotServed(err error) bool {
	return apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

// NotServed returns the message about a kind that the cluster doesn't serve.
func NotServed(kind schema.GroupVersionKind) string {
	return fmt.Sprintf("the cluster does not serve %s %s; install its CustomResourceDefinition", kind.GroupVersion(), kind.Kind)
}

// isUnknownField recognizes a manifest with a field that its kind doesn't have, which the apiserver answers
// with an internal error (500) to a server-side apply.
func isUnknownField(err error) bool {
	return strings.Contains(err.Error(), "field not declared in schema")
}

// isUntyped recognizes a manifest with a value of another type than its field's, which the apiserver answers with such an
// error too.
func isUntyped(err error) bool {
	return strings.Contains(err.Error(), "failed to create typed patch object") && !strings.Contains(err.Error(), "no corresponding type")
}

func describe(doing string, step Step, err error) string {
	if step.Manifest != nil && reasonOf(step, err) == iter8v1alpha1.ReasonKindNotServed {
		return NotServed(step.Manifest.GroupVersionKind())
	}
	if isUnknownField(err) {
		return fmt.Sprintf("%s %s %s: %s: correct the field, or install a CustomResourceDefinition of %s that has it",
			doing, step.Key.Kind, step.Key.Name, message(err), step.Manifest.GroupVersionKind().GroupVersion())
	}
	return fmt.Sprintf("%s %s %s: %s", doing, step.Key.Kind, step.Key.Name, message(err))
}

// message leaves out what changes from one try to the next.
func message(err error) string {
	var status apierrors.APIStatus
	if errors.As(err, &status) && status.Status().Message != "" {
		return status.Status().Message
	}
	return err.Error()
}
