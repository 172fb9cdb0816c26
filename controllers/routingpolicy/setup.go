package routingpolicy

import (
	"context"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/source"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/desired"
	"iter8.tools/operator/controllers/notify"
)

// subjectIndex finds the policies that refer to a Subject, by its namespace/name.
const subjectIndex = "spec.subjectRef"

// SetupWithManager has policies enqueued when they change, when their Subject does, and when they are notified of what they
// follow.
func (r *Reconciler) SetupWithManager(ctx context.Context, mgr ctrl.Manager, options controller.Options) error {
	err := mgr.GetFieldIndexer().IndexField(ctx, &iter8v1alpha1.RoutingPolicy{}, subjectIndex, func(object client.Object) []string {
		return []string{desired.SubjectName(object.(*iter8v1alpha1.RoutingPolicy)).String()}
	})
	if err != nil {
		return err
	}
	notified := source.Func(func(ctx context.Context, queue workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
		r.enqueueAfter = queue.AddAfter
		enqueue := func(policies ...types.NamespacedName) {
			for _, policy := range policies {
				queue.Add(ctrl.Request{NamespacedName: policy})
			}
		}
		r.Policies.Subscribe(func(policy types.NamespacedName) {
			if policy == notify.All {
				enqueue(r.list(ctx)...)
			} else {
				enqueue(policy)
			}
		})
		r.Subjects.Subscribe(func(subject types.NamespacedName) {
			enqueue(r.list(ctx, client.MatchingFields{subjectIndex: subject.String()})...)
		})
		return nil
	})
	return ctrl.NewControllerManagedBy(mgr).
		Named("routingpolicy").
		For(&iter8v1alpha1.RoutingPolicy{}, builder.WithPredicates(r.specChanged())).
		WatchesRawSource(notified).
		WithOptions(options).
		Complete(r)
}

// specChanged passes what isn't merely the echo of a status that was written: a status that another wrote is put right. Labels count,
// since templates get to see them.
func (r *Reconciler) specChanged() predicate.Predicate {
	sameStatus := func(a, b *iter8v1alpha1.RoutingPolicy) bool { return equality.Semantic.DeepEqual(a.Status, b.Status) }
	return predicate.Funcs{UpdateFunc: func(e event.UpdateEvent) bool {
		before, shown := e.ObjectOld.(*iter8v1alpha1.RoutingPolicy), e.ObjectNew.(*iter8v1alpha1.RoutingPolicy)
		foreign := !sameStatus(before, shown) && !r.written.IsEcho(shown, sameStatus)
		r.written.Observe(shown)
		r.abandoned.observe(shown)
		const annotation = iter8v1alpha1.ReconcileAnnotation
		return foreign && r.putsRightNow(client.ObjectKeyFromObject(shown)) || predicate.GenerationChangedPredicate{}.Update(e) || predicate.LabelChangedPredicate{}.Update(e) ||
			e.ObjectOld.GetAnnotations()[annotation] != e.ObjectNew.GetAnnotations()[annotation]
	}}
}

// putsRightNow reports whether a status that another wrote is to be put right at once. It is later where that was done a moment ago.
func (r *Reconciler) putsRightNow(policy types.NamespacedName) bool {
	delay := r.foreign.Delay(policy, r.clock())
	if delay > 0 && r.enqueueAfter != nil {
		r.enqueueAfter(ctrl.Request{NamespacedName: policy}, delay)
		return false
	}
	return true
}

// lives reports whether a policy is in the cache.
func (r *Reconciler) lives(ctx context.Context, namespace, name string, uid types.UID) bool {
	policy := &iter8v1alpha1.RoutingPolicy{}
	err := r.Client.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, policy, client.UnsafeDisableDeepCopy)
	return err == nil && policy.UID == uid
}

// list gives the names of policies in the cache.
func (r *Reconciler) list(ctx context.Context, options ...client.ListOption) []types.NamespacedName {
	var policies iter8v1alpha1.RoutingPolicyList
	if err := r.Client.List(ctx, &policies, append(options, client.UnsafeDisableDeepCopy)...); err != nil {
		log.FromContext(ctx).Error(err, "Listing policies in the cache")
		return nil
	}
	names := make([]types.NamespacedName, 0, len(policies.Items))
	for i := range policies.Items {
		names = append(names, types.NamespacedName{Namespace: policies.Items[i].Namespace, Name: policies.Items[i].Name})
	}
	return names
}
