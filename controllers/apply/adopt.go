package apply

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
)

// compare has what was handed over, or left by an earlier policy of the name, adopted only where that changes nothing for clients: where the apiserver, asked by a dry run, would
// make of the object what it is already, mirrors apart. All else is refused, and left alone until the object or what is rendered is
// another.
//
//	rendered, without mirrors ─► dry run on the live object ─► its fields, without mirrors ─┬─ the same ─► adopted, at this version
//	live object ───────────────────────────────────────────► its fields, without mirrors ──┴─ others ───► AdoptionDiffers
//
// What was refused once isn't asked about again while both are what they were, so that a flip of another object reads nothing: see
// refuseKnown.
func (x *Executor) compare(ctx context.Context, request Request, steps []Step) {
	refused := map[Key]comparison{}
	asked := false
	for i := range steps {
		step := &steps[i]
		if step.Action == Refuse {
			refused[step.Key], _ = x.comparisons.of(request.Owner, step.Key)
		}
		if step.Action != Adopt {
			continue
		}
		if !asked && request.BeforeComparing != nil {
			request.BeforeComparing()
		}
		asked = true
		unmirrored := request.unmirrored(*step)
		version, failure := x.compareStep(ctx, request, *step, unmirrored)
		if failure == nil {
			step.version = version
			continue
		}
		if failure.Reason == iter8v1alpha1.ReasonAdoptionDiffers {
			if !step.Existing.Adopt { // it is an earlier policy's
				failure = conflict(request.Owner, *step)
			}
			refused[step.Key] = comparisonOf(*step, unmirrored, failure)
		}
		step.refuse(failure)
	}
	x.comparisons.keep(request.Owner, refused)
}

// refuseKnown refuses to adopt what was refused when it was what it is, for what is rendered now.
func (x *Executor) refuseKnown(request Request, steps []Step) {
	for i := range steps {
		step := &steps[i]
		if step.Action != Adopt {
			continue
		}
		known, ok := x.comparisons.of(request.Owner, step.Key)
		if ok && known.isOf(comparisonOf(*step, request.unmirrored(*step), nil)) {
			step.refuse(known.failure)
		}
	}
}

// refuse has a step leave its object alone.
func (s *Step) refuse(why *Failure) { s.Action, s.refused = Refuse, why }

// unmirrored returns the manifest of a step as it is to be once no mirror may stand.
func (r Request) unmirrored(step Step) *unstructured.Unstructured {
	for _, m := range r.Ungated {
		if m.GroupVersionKind().GroupKind() == step.Key.GroupKind && m.GetName() == step.Key.Name {
			return mirrors.Without(claim(r.Owner, m, true))
		}
	}
	return mirrors.Without(step.Manifest)
}

// compareStep returns the version of the live object that a step may adopt, or why it may not.
func (x *Executor) compareStep(ctx context.Context, request Request, step Step, unmirrored *unstructured.Unstructured) (version string, failure *Failure) {
	live, err := x.liveFor(ctx, request, step)
	if err != nil {
		return "", &Failure{Reason: reasonOf(step, err), Message: describe("reading what is to be adopted:", step, err), Err: err}
	}
	if live.GetUID() != step.Existing.UID {
		err := errReplaced
		return "", &Failure{Reason: iter8v1alpha1.ReasonApplyFailed, Message: describe("reading what is to be adopted:", step, err), Err: err}
	}
	step.Manifest = unmirrored.DeepCopy()
	step.Manifest.SetUID(live.GetUID())
	step.Manifest.SetResourceVersion(live.GetResourceVersion())
	adopted, err := x.dryRunAdoption(ctx, request, step)
	switch {
	case err != nil && isDryRunUnsupported(err):
		return "", differs(step, "what that would change can't be shown: "+message(err))
	case err != nil:
		return "", &Failure{Reason: reasonOf(step, err), Message: describe("a dry run of adopting", step, err), Err: err}
	}
	if fields := changedFields(live, adopted); len(fields) > 0 {
		if more := len(fields) - listedChanges; more > 0 {
			fields = append(fields[:listedChanges], fmt.Sprintf("and %d more", more))
		}
		return "", differs(step, "that would change "+strings.Join(fields, ", "))
	}
	return live.GetResourceVersion(), nil
}

// listedChanges is how many fields the message about an adoption lists.
const listedChanges = 10

var errReplaced = errors.New("another object has taken its place")

func differs(step Step, why string) *Failure {
	return &Failure{Reason: iter8v1alpha1.ReasonAdoptionDiffers, Message: fmt.Sprintf(
		"%s %s is handed over and isn't adopted, since %s; change the object or what is rendered until they say the same, mirrors apart", step.Key.Kind, step.Key.Name, why)}
}

// liveFor reads the object that a step is to adopt, in the version of the manifest.
func (x *Executor) liveFor(ctx context.Context, request Request, step Step) (*unstructured.Unstructured, error) {
	resource, err := x.resourceOf(step.Manifest)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, editTimeout)
	defer cancel()
	return request.reader().Client.Resource(resource).Namespace(request.Owner.Namespace).Get(ctx, step.Key.Name, metav1.GetOptions{})
}

func (x *Executor) dryRunAdoption(ctx context.Context, request Request, step Step) (*unstructured.Unstructured, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	return x.dryRun(ctx, request.Account.Client, step)
}

// changedFields returns the paths, sorted, at which two states of an object differ, but for its metadata, its status and its mirrors.
func changedFields(before, after *unstructured.Unstructured) []string {
	before, after = mirrors.Without(before), mirrors.Without(after)
	var fields []string
	names := slices.Concat(slices.Collect(maps.Keys(before.Object)), slices.Collect(maps.Keys(after.Object)))
	for _, name := range names {
		switch name {
		case "apiVersion", "kind", "metadata", "status":
			continue
		}
		was, is, path := withoutEmptyLists(before.Object[name]), withoutEmptyLists(after.Object[name]), routes.Path{name}
		fields = append(fields, slices.Concat(differing(path, was, is), differing(path, is, was))...)
	}
	slices.Sort(fields)
	return slices.Compact(fields)
}

// withoutEmptyLists returns a value without fields that are empty lists, which say no more than absent ones: built-in charts render them to
// own them.
func withoutEmptyLists(value any) any {
	switch value := value.(type) {
	case map[string]any:
		fields := make(map[string]any, len(value))
		for name, field := range value {
			if list, ok := field.([]any); !ok || len(list) > 0 {
				fields[name] = withoutEmptyLists(field)
			}
		}
		return fields
	case []any:
		items := make([]any, 0, len(value))
		for _, item := range value {
			items = append(items, withoutEmptyLists(item))
		}
		return items
	default:
		return value
	}
}

// comparison is of an object that was refused, in a generation, with what was rendered, by its digest.
type comparison struct {
	uid        types.UID
	generation int64
	digest     string
	failure    *Failure
}

func comparisonOf(step Step, unmirrored *unstructured.Unstructured, failure *Failure) comparison {
	digest, err := digestOf(unmirrored)
	if err != nil {
		digest = ""
	}
	return comparison{step.Existing.UID, step.Existing.Generation, digest, failure}
}

// isOf reports whether a comparison is of the same as another one. An object without a generation gives no sign of a change.
func (c comparison) isOf(other comparison) bool {
	return c.uid == other.uid && c.generation == other.generation && c.generation != 0 && c.digest == other.digest && c.digest != ""
}

// comparisons are those that were refused, for each policy those of its last request.
type comparisons struct {
	mu       sync.Mutex
	byPolicy map[types.NamespacedName]map[Key]comparison
}

func (c *comparisons) of(owner Owner, key Key) (comparison, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	known, ok := c.byPolicy[types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}][key]
	return known, ok
}

// keep has some comparisons count for a policy, and no others.
func (c *comparisons) keep(owner Owner, some map[Key]comparison) {
	c.mu.Lock()
	defer c.mu.Unlock()
	policy := types.NamespacedName{Namespace: owner.Namespace, Name: owner.Name}
	if len(some) == 0 {
		delete(c.byPolicy, policy)
		return
	}
	if c.byPolicy == nil {
		c.byPolicy = map[types.NamespacedName]map[Key]comparison{}
	}
	c.byPolicy[policy] = some
}

// Forget forgets what was compared for a policy that is gone.
func (x *Executor) Forget(policy types.NamespacedName) {
	x.comparisons.keep(Owner{Namespace: policy.Namespace, Name: policy.Name}, nil)
}
