package sweep

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/ownwrites"
	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

const (
	// callTimeout is how long the apiserver may take for a call, which asks admission webhooks of up to 30 seconds.
	callTimeout = 35 * time.Second
	// followRetry is how soon the cluster is asked again what it serves, where it didn't say.
	followRetry = 5 * time.Second
	// laneRetry is how soon an object is seen to again that finds as many being orphaned as may be at once.
	laneRetry = time.Second
	// conflictRetry is how soon an object is seen to again that was written meanwhile, and firstRefused one that the operator may not write:
	// from then on ever later, up to lastRefused, since rights that are taken away are often back soon, and a mirror stands meanwhile.
	conflictRetry = time.Second
	firstRefused  = 2 * time.Second
	lastRefused   = 10 * time.Minute
)

// errNoPolicies says that the cluster doesn't know of policies, as while their kind is made again: then the operator decides nothing.
var errNoPolicies = errors.New("the cluster serves no policies")

// isGone reports whether the policy that marked an object is gone: there is none of its name, or one of another uid. That is read past the
// cache, which may not show a policy yet whose objects are shown already.
func (r *Reconciler) isGone(ctx context.Context, namespace string, object *markedObject) (bool, error) {
	if r.lives(ctx, namespace, object.mark) {
		return false, nil
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	policy := &iter8v1alpha1.RoutingPolicy{}
	err := r.Reader.Get(ctx, types.NamespacedName{Namespace: namespace, Name: object.mark.Policy}, policy)
	switch {
	case err == nil:
		return policy.UID != object.mark.UID, nil
	case ownwrites.IsGone(err):
		return true, nil
	case apierrors.IsNotFound(err), meta.IsNoMatchError(err):
		return false, errNoPolicies
	default:
		return false, fmt.Errorf("reading RoutingPolicy %s: %w", object.mark.Policy, err)
	}
}

// lives reports whether the policy of a mark is in the cache.
func (r *Reconciler) lives(ctx context.Context, namespace string, mark *apply.Mark) bool {
	policy := &iter8v1alpha1.RoutingPolicy{}
	err := r.Policies.Get(ctx, types.NamespacedName{Namespace: namespace, Name: mark.Policy}, policy)
	return err == nil && policy.UID == mark.UID
}

// remove deletes a rule once no VirtualService needs its subsets: not while one names them, nor while that can't be known. The rule's own
// namespace is read past the cache before, which may be about to show another VirtualService.
func (r *Reconciler) remove(ctx context.Context, o Object, rule *markedObject) (ctrl.Result, error) {
	r.await(o, rule.subsets)
	if users, known := r.allUsers(o.Namespace); !known || r.isNeeded(ctx, rule, users) {
		return ctrl.Result{}, nil // an event tells
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	switch users, err := r.usersNow(ctx, o.Namespace); {
	case err != nil:
		return ctrl.Result{}, err
	case r.isNeeded(ctx, rule, users):
		return ctrl.Result{}, nil
	}
	objects, err := r.resource(o.GroupKind, o.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	err = objects.Delete(ctx, o.Name, metav1.DeleteOptions{
		Preconditions: &metav1.Preconditions{UID: &rule.UID, ResourceVersion: &rule.ResourceVersion},
	})
	return r.wrote(ctx, o, err)
}

// wrote says what comes after a write.
func (r *Reconciler) wrote(ctx context.Context, o Object, err error) (ctrl.Result, error) {
	log := ctrl.LoggerFrom(ctx).WithValues("kind", o.Kind, "namespace", o.Namespace, "name", o.Name)
	switch {
	case err == nil:
		log.Info("Saw to what a policy that is gone has left")
		r.forget(o)
		return ctrl.Result{}, nil
	case apierrors.IsNotFound(err):
		r.forget(o)
		return ctrl.Result{}, nil
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	case apierrors.IsForbidden(err), apierrors.IsInvalid(err): // the latter also where the tests of a patch fail, for which an event comes
		log.Info("The operator may not see to what a policy that is gone has left", "error", err.Error())
		return ctrl.Result{RequeueAfter: r.refused(o)}, nil
	default:
		return ctrl.Result{}, fmt.Errorf("seeing to %s %s, which a policy that is gone has left: %w", o.Kind, o.NamespacedName, err)
	}
}

// allUsers returns what is known of all objects that name or define subsets, and reports whether that is enough to delete a rule of a namespace.
// Another one of those that are listed, which the operator may not read any more, as after its end, counts by what was read before: it
// stops no other.
func (r *Reconciler) allUsers(namespace string) ([]*user, bool) {
	var users []*user
	for _, target := range r.userTargets() {
		all, state := r.users.List(target)
		if (!state.Synced || state.Err != nil) && !r.isKnownEnough(target, namespace) {
			return nil, false
		}
		users = append(users, all...)
	}
	return users, true
}

func (r *Reconciler) isKnownEnough(target watch.Target, namespace string) bool {
	listed := r.Namespaces
	return len(listed) > 0 && !slices.ContainsFunc(listed, func(other string) bool {
		state := r.users.State(target, other)
		if other != namespace && other != metav1.NamespaceAll && lacksRight(state.Err) {
			return false
		}
		return !state.Synced || state.Err != nil
	})
}

// lacksRight reports whether a target can't be read because the operator may not, see watch.State.
func lacksRight(err error) bool {
	return err != nil && !errors.Is(err, watch.ErrUnavailable) && !errors.Is(err, watch.ErrNotServed) &&
		!errors.Is(err, watch.ErrClusterScoped) && !errors.Is(err, watch.ErrNotWatched)
}

// usersNow reads the objects of a namespace that name or define subsets.
func (r *Reconciler) usersNow(ctx context.Context, namespace string) ([]*user, error) {
	var users []*user
	for _, target := range r.userTargets() {
		objects, err := r.resource(target.GroupKind(), namespace)
		if err != nil {
			return nil, err
		}
		list, err := objects.List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, fmt.Errorf("listing what may name subsets: %w", err)
		}
		for i := range list.Items {
			users = append(users, transformUser(target, &list.Items[i]))
		}
	}
	return users, nil
}

// isNeeded reports whether an object names a subset of a rule that no other rule beside it defines.
func (r *Reconciler) isNeeded(ctx context.Context, rule *markedObject, users []*user) bool {
	return slices.ContainsFunc(rule.subsets, func(s routes.SubsetDefinition) bool {
		return slices.ContainsFunc(users, func(u *user) bool { return u.names.Has(s.Subset) }) &&
			!slices.ContainsFunc(users, func(u *user) bool { return r.replaces(ctx, u, rule, s.Subset) })
	})
}

// replaces reports whether another rule defines a subset of one that is to go, and isn't to go itself.
func (r *Reconciler) replaces(ctx context.Context, other *user, rule *markedObject, s routes.Subset) bool {
	return other.Namespace == rule.Namespace && other.UID != rule.UID && !other.terminating && other.forAll && other.definesSubset(s) &&
		(other.mark == nil || r.lives(ctx, other.Namespace, other.mark))
}
