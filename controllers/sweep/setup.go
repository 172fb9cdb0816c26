package sweep

import (
	"context"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/notify"
	"iter8.tools/operator/controllers/watch"
)

type queueOfObjects = workqueue.TypedRateLimitingInterface[Object]

// SetupWithManager has marked objects seen to when they change, when their policy goes, and when what may need them changes.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.TypedOptions[Object]) error {
	changes := source.TypedFunc[Object](func(_ context.Context, queue queueOfObjects) error {
		r.mu.Lock()
		r.enqueue = func(o Object) { queue.Add(o) }
		r.mu.Unlock()
		r.Changed.Subscribe(func(name types.NamespacedName) {
			if name == notify.All {
				queue.Add(everything)
			}
		})
		queue.Add(everything)
		return nil
	})
	policies := source.TypedKind(mgr.GetCache(), &iter8v1alpha1.RoutingPolicy{}, handler.TypedFuncs[*iter8v1alpha1.RoutingPolicy, Object]{
		DeleteFunc: func(_ context.Context, e event.TypedDeleteEvent[*iter8v1alpha1.RoutingPolicy], queue queueOfObjects) {
			r.enqueueMarkedBy(e.Object, queue)
		},
		UpdateFunc: func(_ context.Context, e event.TypedUpdateEvent[*iter8v1alpha1.RoutingPolicy], queue queueOfObjects) {
			if e.ObjectOld.UID != e.ObjectNew.UID { // it was made again while the watch was interrupted
				r.enqueueMarkedBy(e.ObjectOld, queue)
			}
		},
	})
	return builder.TypedControllerManagedBy[Object](mgr).Named("sweep").
		WatchesRawSource(changes).WatchesRawSource(policies).WithOptions(options).Complete(r)
}

// enqueueMarkedBy has all that a policy has marked seen to.
func (r *Reconciler) enqueueMarkedBy(policy *iter8v1alpha1.RoutingPolicy, queue queueOfObjects) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for kind, version := range r.served {
		members, _ := r.marked.Members(watch.Target{GroupVersionKind: version}, markedBy(policy.Namespace, policy.UID))
		for _, o := range members {
			queue.Add(Object{kind, types.NamespacedName{Namespace: o.Namespace, Name: o.Name}})
		}
	}
}
