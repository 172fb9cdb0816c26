package controller

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// unconverted is 1 for each ConfigMap that can't be converted.
var unconverted = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "iter8_legacy_configmap_unconverted",
	Help: "1 for each of Iter8's ConfigMaps that can't be converted into a Subject or RoutingPolicy as it stands.",
}, []string{"namespace", "name"})

func init() { metrics.Registry.MustRegister(unconverted) }

// SetupWithManager has the reconciler woken by ConfigMaps, by what they were converted to, and by namespaces
// where these are selected. The manager's cache must hold Iter8's ConfigMaps only.
func (r *Reconciler) SetupWithManager(mgr ctrl.Manager, options controller.Options) error {
	source := handler.EnqueueRequestsFromMapFunc(func(_ context.Context, object client.Object) []reconcile.Request {
		name := object.GetAnnotations()[iter8v1alpha1.ConvertedFromAnnotation]
		if name != object.GetName() {
			return nil
		}
		return []reconcile.Request{{NamespacedName: types.NamespacedName{Namespace: object.GetNamespace(), Name: name}}}
	})
	changed := builder.WithPredicates(predicate.Or[client.Object](
		predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}, predicate.LabelChangedPredicate{}))
	b := ctrl.NewControllerManagedBy(mgr).
		Named("conversion").
		For(&corev1.ConfigMap{}).
		Watches(&iter8v1alpha1.Subject{}, source, changed).
		Watches(&iter8v1alpha1.RoutingPolicy{}, source, changed).
		WithOptions(options)
	if r.Namespaces != nil {
		b = b.WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.configMapsOf), builder.WithPredicates(predicate.LabelChangedPredicate{}))
	}
	return b.Complete(r)
}

func (r *Reconciler) configMapsOf(ctx context.Context, namespace client.Object) []reconcile.Request {
	var list corev1.ConfigMapList
	if err := r.Client.List(ctx, &list, client.InNamespace(namespace.GetName()), client.UnsafeDisableDeepCopy); err != nil {
		log.FromContext(ctx).Error(err, "Listing ConfigMaps in the cache")
		return nil
	}
	requests := make([]reconcile.Request, 0, len(list.Items))
	for i := range list.Items {
		requests = append(requests, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
	}
	return requests
}
