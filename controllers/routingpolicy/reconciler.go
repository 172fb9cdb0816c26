// Package routingpolicy keeps what a RoutingPolicy routes in step with its Subject's variants.
//
//	observe → trigger → chart → render → guard → support → apply → accept → status
package routingpolicy

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
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
	// AllowCrossNamespace lets a policy refer to a Subject of another namespace.
	AllowCrossNamespace bool

	written ownwrites.Cache[*iter8v1alpha1.RoutingPolicy]
}

// Reconcile runs the phases, each of which may end it, and writes the status once where that says something
// else.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	cached := &iter8v1alpha1.RoutingPolicy{}
	if err := r.Client.Get(ctx, req.NamespacedName, cached); err != nil {
		if apierrors.IsNotFound(err) {
			r.written.Forget(req.NamespacedName)
			r.Routes.Follow(req.NamespacedName, nil, nil)
			r.Gateways.Follow(req.NamespacedName, nil)
			r.Charts.Forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	policy := r.written.Latest(cached)
	if !policy.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil // what it owns is the garbage collector's
	}
	s := newScope(policy)
	for _, phase := range []func(context.Context, *scope) outcome{
		r.suspend, r.observe, r.trigger, r.chart, r.render, r.guard, r.support, r.apply,
	} {
		if o := phase(ctx, s); o != proceed {
			if o == await {
				return ctrl.Result{RequeueAfter: s.again}, s.retry
			}
			break
		}
	}
	if r.accept(s) == await {
		return ctrl.Result{}, s.retry
	}
	switch err := r.writeStatus(ctx, s); {
	case apierrors.IsConflict(err):
		s.again = conflictRetry
	case apierrors.IsNotFound(err):
		return ctrl.Result{}, nil
	case err != nil:
		return ctrl.Result{}, errors.Join(s.retry, fmt.Errorf("writing the status of RoutingPolicy %s: %w", req, err))
	}
	return ctrl.Result{RequeueAfter: s.again}, s.retry
}

// writeStatus writes the status of a policy where it differs, and tells in Events of what a person should know.
func (r *Reconciler) writeStatus(ctx context.Context, s *scope) error {
	status := s.finish(metav1.NewTime(time.Now()))
	if equality.Semantic.DeepEqual(*status, s.policy.Status) {
		return nil
	}
	before := s.policy
	if err := r.patchStatus(ctx, s, *status); err != nil {
		return err
	}
	r.announce(before, s.policy)
	return nil
}

// patchStatus writes a status, and has the scope go on from what the apiserver answered. It conflicts where the status was
// written since it was read, or the spec: an inventory that is written over another one would lose what that lists. That may have
// been the next leader, and this a write that was on its way for longer than this process has led.
func (r *Reconciler) patchStatus(ctx context.Context, s *scope, status iter8v1alpha1.RoutingPolicyStatus) error {
	err := r.patchStatusOf(ctx, s, s.policy, status)
	if !apierrors.IsConflict(err) {
		return err
	}
	// One who goes on writing other things, such as annotations, must not keep the status from being written.
	live := &iter8v1alpha1.RoutingPolicy{}
	if r.Reader.Get(ctx, s.name(), live) != nil || live.UID != s.policy.UID || live.Generation != s.policy.Generation ||
		!equality.Semantic.DeepEqual(live.Status, s.policy.Status) {
		return err
	}
	return r.patchStatusOf(ctx, s, live, status)
}

func (r *Reconciler) patchStatusOf(ctx context.Context, s *scope, policy *iter8v1alpha1.RoutingPolicy, status iter8v1alpha1.RoutingPolicyStatus) error {
	updated := policy.DeepCopy()
	updated.Status = status
	if err := r.Client.Status().Patch(ctx, updated, client.MergeFromWithOptions(policy, client.MergeFromWithOptimisticLock{})); err != nil {
		return err
	}
	r.written.Add(updated)
	s.policy = updated
	return nil
}
