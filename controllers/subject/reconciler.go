// Package subject reports in each Subject's status which of its variants are available.
package subject

import (
	"context"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/notify"
	"iter8.tools/operator/controllers/observe"
	"iter8.tools/operator/controllers/ownwrites"
)

// +kubebuilder:rbac:groups=iter8.tools,resources=subjects,verbs=get;list;watch
// +kubebuilder:rbac:groups=iter8.tools,resources=subjects/status,verbs=patch

// reportDelay lets the routes go first, which are what anybody waits for, and gathers the several changes by
// which a variant comes or goes into one report.
const reportDelay = 100 * time.Millisecond

// conflictRetry is how soon a status is written again whose Subject was written meanwhile.
const conflictRetry = 500 * time.Millisecond

// statusTimeout is how long the apiserver may take to answer to a status, for which those of other Subjects wait.
const statusTimeout = 35 * time.Second

// Reconciler writes the status of Subjects.
type Reconciler struct {
	Client   client.Client
	Observer *observe.Observer
	// Subjects notifies of Subjects whose spec or resources have changed.
	Subjects *notify.Notifier
	// Resync is about how often a Subject is looked at though nothing tells of it: between half as long and half as long again; 0 is never.
	Resync time.Duration

	written ownwrites.Cache[*iter8v1alpha1.Subject]
	// pace spaces out how often statuses that others wrote are put right.
	pace ownwrites.Pacer
}

// Reconcile observes a Subject's variants and writes its status where that says something else.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	cached := &iter8v1alpha1.Subject{}
	if err := r.Client.Get(ctx, req.NamespacedName, cached); err != nil {
		if apierrors.IsNotFound(err) {
			r.written.Forget(req.NamespacedName)
			r.pace.Forget(req.NamespacedName)
		}
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	subject := r.written.Latest(cached)
	if !subject.DeletionTimestamp.IsZero() {
		return ctrl.Result{}, nil
	}
	observation := r.Observer.Observe(subject)
	if observation.Pending() {
		return ctrl.Result{}, nil // the observer calls again
	}
	status := statusOf(subject, observation, metav1.Now().Rfc3339Copy())
	if equality.Semantic.DeepEqual(status, &subject.Status) {
		return r.atRest(), nil
	}
	updated := subject.DeepCopy()
	updated.Status = *status
	defer r.written.Begin(updated.DeepCopy())()
	// A write that is late, as after the loss of the Lease, must not undo that of the next leader.
	bounded, cancel := context.WithTimeout(ctx, statusTimeout)
	defer cancel()
	err := r.Client.Status().Patch(bounded, updated, ownwrites.StatusPatch{Before: subject.Status, After: status})
	switch {
	case apierrors.IsConflict(err):
		return ctrl.Result{RequeueAfter: conflictRetry}, nil
	case ownwrites.IsGone(err):
		return ctrl.Result{}, nil
	case err != nil:
		return ctrl.Result{}, fmt.Errorf("writing the status of Subject %s: %w", req, err)
	}
	r.written.Add(updated)
	return r.atRest(), nil
}

// atRest is how a reconcile ends that leaves nothing to do.
func (r *Reconciler) atRest() ctrl.Result {
	if r.Resync == 0 {
		return ctrl.Result{}
	}
	return ctrl.Result{RequeueAfter: wait.Jitter(r.Resync/2, 2)}
}

// SetupWithManager has Subjects enqueued when the observer notifies of them.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	enqueue := func(queue workqueue.TypedRateLimitingInterface[ctrl.Request], subject types.NamespacedName) {
		queue.AddAfter(ctrl.Request{NamespacedName: subject}, reportDelay)
	}
	notified := source.Func(func(_ context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		r.Subjects.Subscribe(func(subject types.NamespacedName) { enqueue(queue, subject) })
		return nil
	})
	// Of what happens to a Subject the observer notifies. Those that it followed before this controller began are here, and those whose
	// status another wrote, which is put right.
	shown := handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) {
			enqueue(queue, client.ObjectKeyFromObject(e.Object))
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) {
			if r.foreign(e.ObjectOld.(*iter8v1alpha1.Subject), e.ObjectNew.(*iter8v1alpha1.Subject)) {
				subject := client.ObjectKeyFromObject(e.ObjectNew)
				queue.AddAfter(ctrl.Request{NamespacedName: subject}, max(reportDelay, r.pace.Delay(subject, time.Now())))
			}
		},
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("subject").
		Watches(&iter8v1alpha1.Subject{}, shown).
		WatchesRawSource(notified).
		WithOptions(options).
		Complete(r)
}

// foreign reports whether what the cache shows of a Subject has a status that another wrote.
func (r *Reconciler) foreign(before, shown *iter8v1alpha1.Subject) bool {
	sameStatus := func(a, b *iter8v1alpha1.Subject) bool { return equality.Semantic.DeepEqual(a.Status, b.Status) }
	defer r.written.Observe(shown)
	return !sameStatus(before, shown) && !r.written.IsEcho(shown, sameStatus)
}
