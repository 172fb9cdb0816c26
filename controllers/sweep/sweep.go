// Package sweep sees to what policies that are gone have left: the objects that they marked (see apply.Mark), since no owner reference has
// the garbage collector take them. They are found by a label, also where a policy went while no operator ran.
//
//	marked objects ──► policy gone? ─┬─ Delete ──► no VirtualService names a subset of it? ──► deleted
//	(own watch)        (uid, read)   └─ Orphan ──► mirrors out, and left
package sweep

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/notify"
	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// Object names an object, in whatever version of its kind.
type Object struct {
	schema.GroupKind
	types.NamespacedName
}

// Concurrent is how many objects are seen to at once: a webhook that hangs on one isn't to hold up all.
const Concurrent = 4

// everything has the kinds followed that the cluster serves.
var everything = Object{}

// self is the follower by the name of which the watches are kept.
var self = types.NamespacedName{Name: "sweep"}

// Options of a Reconciler.
type Options struct {
	// Policies reads policies from a cache, and Reader from the apiserver.
	Policies, Reader client.Reader
	Client           dynamic.Interface
	Mapper           meta.RESTMapper
	// Namespaces that are watched; none means all.
	Namespaces []string
	// Served returns the kinds that policies may render, each in a version in which the cluster serves it. Changed notifies of All once that
	// has changed.
	Served  func() ([]schema.GroupVersionKind, error)
	Changed *notify.Notifier
	// Ask asks the cluster in which versions it serves a kind that policies may not render.
	Ask func(schema.GroupKind) ([]string, error)
}

// Reconciler sees to one object that a policy has marked.
type Reconciler struct {
	Options
	marked *watch.Set[*markedObject]
	// users are the objects that may name subsets, or define them too. They are only watched while a rule is to go.
	users *watch.Set[*user]

	// orphaning has a place for each object that may be orphaned at once, which a webhook may hold up for long: one less than are seen to.
	orphaning chan struct{}

	// followMu has the watches of users be those that were asked for last.
	followMu sync.Mutex

	mu sync.Mutex
	// served are the kinds that are followed.
	served map[schema.GroupKind]schema.GroupVersionKind
	// waiting are the rules that are to go, with the subsets that they define.
	waiting map[Object][]routes.SubsetDefinition
	// refusals are how soon objects are seen to again that the operator may not write, or can't know the policies of.
	refusals map[Object]time.Duration
	// enqueue has an object seen to; nil where there is no queue.
	enqueue func(Object)
}

// New returns a Reconciler whose watches end with the context.
func New(ctx context.Context, options Options) *Reconciler {
	r := &Reconciler{Options: options, served: map[schema.GroupKind]schema.GroupVersionKind{}, waiting: map[Object][]routes.SubsetDefinition{}, refusals: map[Object]time.Duration{},
		orphaning: make(chan struct{}, Concurrent-1)}
	r.marked = watch.New(ctx, watch.Options[*markedObject]{
		Client: options.Client, Mapper: options.Mapper, Namespaces: options.Namespaces,
		LabelSelectors: []string{iter8v1alpha1.PolicyUIDLabel},
		Transform:      transformMarked, MemberOf: (*markedObject).memberOf, Changed: r.markedChanged,
	})
	r.users = watch.New(ctx, watch.Options[*user]{
		Client: options.Client, Mapper: options.Mapper, Namespaces: options.Namespaces,
		Transform: transformUser, Changed: r.userChanged, Notify: func(types.NamespacedName) { r.enqueueWaiting() },
	})
	return r
}

// Reconcile sees to an object whose policy is gone.
func (r *Reconciler) Reconcile(ctx context.Context, o Object) (ctrl.Result, error) {
	if o == everything {
		if err := r.follow(); err != nil {
			ctrl.LoggerFrom(ctx).Info("It isn't known yet what the cluster serves", "error", err.Error())
			return ctrl.Result{RequeueAfter: followRetry}, nil
		}
		return ctrl.Result{}, nil
	}
	object := r.get(o)
	if object == nil || object.mark == nil || object.terminating {
		r.forget(o)
		return ctrl.Result{}, nil
	}
	if object.mark.Deletion == iter8v1alpha1.DeletionOrphan && !r.lives(ctx, o.Namespace, object.mark) {
		select {
		case r.orphaning <- struct{}{}:
			defer func() { <-r.orphaning }()
		default:
			return ctrl.Result{RequeueAfter: laneRetry}, nil
		}
	}
	switch gone, err := r.isGone(ctx, o.Namespace, object); {
	case errors.Is(err, errNoPolicies): // no event tells of what was deleted with their kind
		return ctrl.Result{RequeueAfter: r.refused(o)}, nil
	case err != nil:
		return ctrl.Result{}, err
	case !gone:
		r.forget(o)
		return ctrl.Result{}, nil
	}
	switch {
	case object.mark.Deletion == iter8v1alpha1.DeletionOrphan:
		return r.orphan(ctx, o, object)
	case routes.DefinesSubsets(o.GroupKind) && !object.adopt:
		return r.remove(ctx, o, object)
	default:
		r.forget(o)
		return ctrl.Result{}, nil
	}
}

// follow watches for marked objects of what the cluster serves.
func (r *Reconciler) follow() error {
	kinds, err := r.Served()
	if err != nil {
		return err
	}
	served := make(map[schema.GroupKind]schema.GroupVersionKind, len(kinds))
	targets := make([]watch.Target, 0, len(kinds))
	for _, kind := range kinds {
		served[kind.GroupKind()] = kind
		targets = append(targets, watch.Target{GroupVersionKind: kind})
	}
	if err := r.addNaming(served); err != nil {
		return err
	}
	r.mu.Lock()
	r.served = served
	r.mu.Unlock()
	r.marked.Follow(self, targets, nil)
	r.followUsers()
	return nil
}

// addNaming adds what names subsets to the kinds that are served, also where policies may render only what defines them: the objects of others
// count as well.
func (r *Reconciler) addNaming(served map[schema.GroupKind]schema.GroupVersionKind) error {
	defines := false
	for kind := range served {
		defines = defines || routes.DefinesSubsets(kind)
	}
	if _, known := served[routes.NamingSubsets]; known || !defines {
		return nil
	}
	versions, err := r.Ask(routes.NamingSubsets)
	if err == nil && len(versions) > 0 {
		served[routes.NamingSubsets] = routes.NamingSubsets.WithVersion(versions[0])
	}
	return err
}

// followUsers watches what may name subsets for as long as a rule is to go.
func (r *Reconciler) followUsers() {
	r.followMu.Lock()
	defer r.followMu.Unlock()
	r.mu.Lock()
	waiting := len(r.waiting) > 0
	r.mu.Unlock()
	var targets []watch.Target
	if waiting {
		targets = r.userTargets()
	}
	r.users.Follow(self, targets, nil)
}

// userTargets are the kinds that name subsets or define them, of those that the cluster serves.
func (r *Reconciler) userTargets() []watch.Target {
	r.mu.Lock()
	defer r.mu.Unlock()
	var targets []watch.Target
	for kind, version := range r.served {
		if routes.NamesSubsets(kind) || routes.DefinesSubsets(kind) {
			targets = append(targets, watch.Target{GroupVersionKind: version})
		}
	}
	return targets
}

// get returns what is known of an object, nil where there is none with a mark.
func (r *Reconciler) get(o Object) *markedObject {
	r.mu.Lock()
	kind, served := r.served[o.GroupKind]
	r.mu.Unlock()
	if !served {
		return nil
	}
	object, _ := r.marked.Get(watch.Name{Target: watch.Target{GroupVersionKind: kind}, Object: o.NamespacedName})
	return object
}

// resource returns what reads and writes the objects of a kind in a namespace, in the version that is served.
func (r *Reconciler) resource(kind schema.GroupKind, namespace string) (dynamic.ResourceInterface, error) {
	r.mu.Lock()
	version := r.served[kind].Version
	r.mu.Unlock()
	mapping, err := r.Mapper.RESTMapping(kind, version)
	if err != nil {
		return nil, err
	}
	return r.Client.Resource(mapping.Resource).Namespace(namespace), nil
}

// await has a rule seen to again whenever what needs its subsets changes.
func (r *Reconciler) await(o Object, subsets []routes.SubsetDefinition) {
	r.mu.Lock()
	first := len(r.waiting) == 0
	r.waiting[o] = subsets
	r.mu.Unlock()
	if first {
		r.followUsers()
	}
}

// refused returns how soon an object is seen to again of which no event tells.
func (r *Reconciler) refused(o Object) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refusals[o] = min(max(2*r.refusals[o], firstRefused), lastRefused)
	return r.refusals[o]
}

// forget ends that.
func (r *Reconciler) forget(o Object) {
	r.mu.Lock()
	_, waited := r.waiting[o]
	delete(r.waiting, o)
	delete(r.refusals, o)
	last := waited && len(r.waiting) == 0
	r.mu.Unlock()
	if last {
		r.followUsers()
	}
}
