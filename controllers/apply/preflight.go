package apply

import (
	"context"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// right is what an account may do in its namespace.
type right struct {
	verb     string
	resource schema.GroupResource
}

// verbs that routing objects are always written with, in the order in which messages name them.
var verbs = []string{"create", "patch", "delete"}

var accessReviews = authorizationv1.SchemeGroupVersion.WithResource("selfsubjectaccessreviews")

// preflight asks, as a ServiceAccount, whether it may take the steps (to delete, only where nothing else is to be
// done: what it may write must not wait for that right), and returns a failure that names every right
// that it lacks on their kinds; nil if it may, or the cluster doesn't say. Rights that it was found to have are not asked
// for again until the cluster denies one: see denied. The operator itself isn't asked, its chart gives it its rights.
func (x *Executor) preflight(ctx context.Context, account *Account, steps []Step) *Failure {
	if account.ServiceAccount.Name == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, editTimeout) // mirrors that are to go wait for it
	defer cancel()
	var needed []right
	var resources []schema.GroupResource
	onlyDeletes := !slices.ContainsFunc(steps, func(s Step) bool { return !s.Action.leaves() && len(s.Action.verbs()) > 0 })
	for _, step := range steps {
		if step.Action.leaves() && !onlyDeletes {
			continue
		}
		kind := schema.FromAPIVersionAndKind(step.Entry.APIVersion, step.Entry.Kind)
		if step.Action.leaves() {
			kind = step.Watched
		}
		resource, err := x.resource(kind)
		if err != nil {
			continue // the step itself will say so
		}
		for _, verb := range step.Action.verbs() {
			needed = append(needed, right{verb, resource.GroupResource()})
			if !slices.Contains(resources, resource.GroupResource()) {
				resources = append(resources, resource.GroupResource())
			}
		}
	}
	if !slices.ContainsFunc(needed, func(r right) bool { return account.lacks(ctx, r) }) {
		return nil
	}
	missing := make([]string, 0, len(resources))
	for _, resource := range resources {
		asked := slices.Clone(verbs)
		if slices.Contains(needed, right{"get", resource}) {
			asked = slices.Insert(asked, 0, "get")
		}
		lacking := slices.DeleteFunc(asked, func(verb string) bool { return !account.lacks(ctx, right{verb, resource}) })
		if len(lacking) > 0 {
			missing = append(missing, strings.Join(lacking, ", ")+" "+resource.String())
		}
	}
	return &Failure{
		Reason: iter8v1alpha1.ReasonForbidden,
		Message: fmt.Sprintf("ServiceAccount %s may not %s in its namespace; bind a Role with these verbs to it",
			account.ServiceAccount, strings.Join(missing, "; ")),
		Err: fmt.Errorf("ServiceAccount %s lacks rights", account.ServiceAccount),
	}
}

// verbs that an action takes.
func (a Action) verbs() []string {
	switch a {
	case Create:
		return []string{"create", "patch"} // server-side apply takes both where it creates
	case Update, Adopt, Orphan:
		return []string{"patch"}
	case TakeOver:
		return []string{"get", "patch"} // see takeFields
	case Delete:
		return []string{"delete"}
	case Keep, Yield, Conflict, Refuse, Wait, Release, Hold:
	}
	return nil
}

// lacks reports whether the account certainly lacks a right.
func (a *Account) lacks(ctx context.Context, r right) bool {
	a.mu.Lock()
	_, known := a.allowed[r]
	a.mu.Unlock()
	if known {
		return false
	}
	review, err := runtime.DefaultUnstructuredConverter.ToUnstructured(&authorizationv1.SelfSubjectAccessReview{
		TypeMeta: metav1.TypeMeta{APIVersion: authorizationv1.SchemeGroupVersion.String(), Kind: "SelfSubjectAccessReview"},
		Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &authorizationv1.ResourceAttributes{
			Namespace: a.ServiceAccount.Namespace, Verb: r.verb, Group: r.resource.Group, Resource: r.resource.Resource,
		}},
	})
	if err != nil {
		return false
	}
	answer, err := a.Client.Resource(accessReviews).Create(ctx, &unstructured.Unstructured{Object: review}, metav1.CreateOptions{})
	if err != nil {
		return false // unknown; the write will tell
	}
	allowed, _, _ := unstructured.NestedBool(answer.Object, "status", "allowed")
	if allowed {
		a.mu.Lock()
		a.allowed[r] = struct{}{}
		a.mu.Unlock()
	}
	return !allowed
}

// denied makes the account's rights be asked for again, since the cluster has denied one.
func (a *Account) denied() {
	a.mu.Lock()
	defer a.mu.Unlock()
	clear(a.allowed)
}
