// Package routingpolicy keeps what a RoutingPolicy routes in step with its Subject's variants.
//
//	observe → trigger → chart → render → guard → follow → gate → backends → check → apply ─┐
//	   └────────────────────── whatever becomes of any of these ───────────────────────────┴─► withdraw → accept → status
package routingpolicy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/chart"
	"iter8.tools/operator/controllers/gateways"
	"iter8.tools/operator/controllers/notify"
	"iter8.tools/operator/controllers/observe"
	"iter8.tools/operator/controllers/ownwrites"
	"iter8.tools/operator/controllers/render"
)

// +kubebuilder:rbac:groups=iter8.tools,resources=routingpolicies,verbs=get;list;watch
// +kubebuilder:rbac:groups=iter8.tools,resources=routingpolicies/status,verbs=patch
// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=httproutes;grpcroutes,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=networking.istio.io,resources=virtualservices;destinationrules,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups="",resources=serviceaccounts,verbs=impersonate
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// conflictRetry is how soon a reconcile is repeated whose policy was written meanwhile. The event of that write repeats it
// sooner, if the write concerns it.
const conflictRetry = 500 * time.Millisecond

// statusTimeout is how long the apiserver may take to answer to a status, of which no webhook is asked as a rule.
const statusTimeout = 35 * time.Second

// Reconciler brings the routing objects of policies to what their charts render.
type Reconciler struct {
	Client client.Client
	// Policies notifies of policies whose chart, render, routes or gateways have changed, and Subjects of Subjects.
	Policies, Subjects *notify.Notifier
	// Reader reads from the apiserver, past the cache.
	Reader       client.Reader
	Observer     *observe.Observer
	Charts       *chart.Sources
	Capabilities *Capabilities
	Renders      *render.Memory
	Routes       *apply.Cache
	Gateways     *gateways.Gateways
	Executor     *apply.Executor
	Accounts     *apply.Accounts
	Recorder     events.EventRecorder
	// Kinds that policies may render.
	Kinds []schema.GroupKind
	// Build identifies what the operator was built from: another one may render and decide otherwise.
	Build string
	// UnknownGrace is how long mirrors stand for a variant of which it isn't known any more whether it is available.
	UnknownGrace time.Duration
	// Namespaces that are watched; none means all.
	Namespaces []string
	// Resync is about how often a policy is looked at though nothing tells of it: between half as long and half as long again; 0 is never.
	Resync time.Duration
	// AllowCrossNamespace lets a policy refer to a Subject of another namespace.
	AllowCrossNamespace bool

	written   ownwrites.Cache[*iter8v1alpha1.RoutingPolicy]
	abandoned abandoned
	// foreign spaces out how often statuses that others wrote are put right.
	foreign ownwrites.Pacer
	// lookups are of the Services that clients are to be sent to.
	lookups  lookups
	parents  parentLookups
	unknowns unknowns
	putBacks putBacks
	checks   checks
	// enqueueAfter has a policy reconciled after a while; nil where there is no queue.
	enqueueAfter func(ctrl.Request, time.Duration)
	// now is time.Now where it is nil.
	now func() time.Time
}

// Reconcile runs the phases, each of which may end it, and writes the status once where that says something
// else.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	cached := &iter8v1alpha1.RoutingPolicy{}
	if err := r.Client.Get(ctx, req.NamespacedName, cached); err != nil {
		if apierrors.IsNotFound(err) {
			if left := r.abandoned.get(req.NamespacedName); left != nil {
				return r.leave(ctx, left)
			}
			r.unfollow(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if left := r.abandoned.get(req.NamespacedName); left != nil && left.UID != cached.UID {
		if _, err := r.leave(ctx, left); err != nil {
			return ctrl.Result{}, err
		}
	}
	policy := r.written.Latest(cached)
	s := newScope(policy, r.clock())
	if s.deleted() && len(policy.Status.Applied) == 0 {
		return ctrl.Result{}, nil
	}
	s.lives = func(name string, uid types.UID) bool { return r.lives(ctx, req.Namespace, name, uid) }
	s.seenUnknown = r.unknowns.get(s.name(), policy.UID)
	ended := r.run(ctx, s)
	r.lookAtParents(ctx, s, ended)
	if s.subject != nil { // else nothing new is known of its variants
		r.unknowns.set(s.name(), policy.UID, s.unknown)
	}
	r.contend(s)
	if ended != hold || len(s.withdrawn) > 0 || s.deleted() {
		r.writeStatus(ctx, s, ended)
	}
	r.repeat(req, s)
	result, err := s.end()
	if err != nil && result.RequeueAfter > 0 && r.enqueueAfter != nil {
		r.enqueueAfter(req, result.RequeueAfter) // with an error, the result counts for nothing
	}
	return result, err
}

func (r *Reconciler) clock() time.Time {
	if r.now == nil {
		return time.Now()
	}
	return r.now()
}

// run runs the phases, and returns hold where the conditions are to stay as they are.
func (r *Reconciler) run(ctx context.Context, s *scope) outcome {
	if s.deleted() {
		return r.runDeleted(ctx, s)
	}
	ended := s.run(ctx, r.suspend, r.observe, r.trigger, r.followChart, r.request, r.unchanged)
	if s.inputs != "" { // it is unchanged
		return ended
	}
	if ended == advance {
		ended = s.run(ctx, r.render, r.guard)
	}
	s.subjectGone = ended == withdraw
	switch followed := s.run(ctx, r.followRoutes, r.followGateways); {
	case followed == hold:
		ended = hold
	case ended == advance:
		ended = s.run(ctx, r.gate, r.backends, r.check, r.apply)
	case ended == withdraw:
		ended = r.apply(ctx, s)
	}
	r.lookAtMirrors(ctx, s, ended)
	r.orphan(ctx, s)
	s.forgetAltered()
	if ended != hold {
		r.lookAtApplied(s)
		r.accept(s)
	}
	return ended
}

// runDeleted takes mirrors out that may not stand, for as long as finalizers keep a deleted policy. All else that the policy owns is the
// garbage collector's.
func (r *Reconciler) runDeleted(ctx context.Context, s *scope) outcome {
	s.run(ctx, r.suspend, r.observe, r.trigger)
	r.followRoutes(ctx, s)
	r.lookAtMirrors(ctx, s, hold)
	r.orphan(ctx, s)
	return hold
}

// lookAtMirrors takes out of what stands what may not, and finds what the status is to say of all mirrors.
func (r *Reconciler) lookAtMirrors(ctx context.Context, s *scope, ended outcome) {
	if ended != hold || s.decides() {
		r.readUnwatched(ctx, s)
	}
	r.followGateways(ctx, s) // of what stands now
	r.withdraw(ctx, s)
	s.mirrors = r.reportMirrors(s)
	r.countPutBacks(s)
}

// run runs phases until one ends otherwise than with the next.
func (s *scope) run(ctx context.Context, phases ...phase) outcome {
	for _, phase := range phases {
		if ended := phase(ctx, s); ended != advance {
			return ended
		}
	}
	return advance
}

// unfollow forgets a policy that is gone.
func (r *Reconciler) unfollow(policy types.NamespacedName) {
	r.written.Forget(policy)
	r.foreign.Forget(policy)
	r.lookups.keep(policy, nil)
	r.parents.keep(policy, nil)
	r.unknowns.set(policy, "", nil)
	r.putBacks.set(policy, "", nil)
	r.checks.set(policy, nil)
	r.Routes.Follow(policy, nil, nil)
	r.Executor.Forget(policy)
	r.Gateways.Follow(policy, nil)
	r.Charts.Forget(policy)
}

// writeStatus writes the status of a policy where it differs, and Events about what a person should know.
func (r *Reconciler) writeStatus(ctx context.Context, s *scope, ended outcome) {
	status := s.mirrorStatus()
	if ended != hold {
		status = s.status()
	}
	if equality.Semantic.DeepEqual(*status, s.policy.Status) {
		return
	}
	before := s.policy
	switch err := r.patchStatus(ctx, s, *status); {
	case err == nil:
		r.announce(before, s.policy)
	case apierrors.IsConflict(err):
		s.retryAfter(conflictRetry)
	case ownwrites.IsGone(err): // and so is whatever was to be done about it
		s.due, s.err = time.Time{}, nil
	default:
		s.faulty = true
		s.err = errors.Join(s.err, fmt.Errorf("writing the status of RoutingPolicy %s: %w", s.name(), err))
	}
}

// patchStatus writes a status, and has the scope go on from what the apiserver answered. It conflicts where the status was
// written since it was read, or the spec: an inventory that is written over another one would lose what that lists. That may have
// been the next leader, and this a write that was on its way for longer than this process has led.
func (r *Reconciler) patchStatus(ctx context.Context, s *scope, status iter8v1alpha1.RoutingPolicyStatus) error {
	err := r.patchStatusOf(ctx, s, s.policy, status)
	if !apierrors.IsConflict(err) {
		return err
	}
	// A controller that goes on writing other things, such as annotations, must not keep the status from being written.
	live := &iter8v1alpha1.RoutingPolicy{}
	bounded, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	if r.Reader.Get(bounded, s.name(), live) != nil || live.UID != s.policy.UID || live.Generation != s.policy.Generation ||
		!equality.Semantic.DeepEqual(live.Status, s.policy.Status) {
		return err
	}
	return r.patchStatusOf(ctx, s, live, status)
}

func (r *Reconciler) patchStatusOf(ctx context.Context, s *scope, policy *iter8v1alpha1.RoutingPolicy, status iter8v1alpha1.RoutingPolicyStatus) error {
	ctx, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	updated := policy.DeepCopy()
	updated.Status = status
	defer r.written.Begin(updated.DeepCopy())()
	if err := r.Client.Status().Patch(ctx, updated, ownwrites.StatusPatch{Before: policy.Status, After: status}); err != nil {
		return err
	}
	r.written.Add(updated)
	s.policy = updated
	return nil
}
