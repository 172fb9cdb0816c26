// Package controller mirrors Iter8's ConfigMaps into Subjects and RoutingPolicies.
//
//	ConfigMap ──► conversion.Convert ──► Subject and RoutingPolicy of its name, marked with its name and uid
//	   gone    ──► grace period      ──► they go, and with the RoutingPolicy what it applied
//
// No owner reference leads from them to the ConfigMap: an immutable ConfigMap can only be changed by making it
// again, and the garbage collector would withdraw the route in between.
package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/events"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/conversion"
)

// +kubebuilder:rbac:groups="",resources=configmaps,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=list;watch
// +kubebuilder:rbac:groups=iter8.tools,resources=subjects;routingpolicies,verbs=create;update;delete

// cacheDelay is how long to wait for a cache that doesn't show yet what the apiserver has.
const cacheDelay = 500 * time.Millisecond

// Reconciler converts ConfigMaps.
type Reconciler struct {
	Client   client.Client
	Recorder events.EventRecorder
	// Options of the conversion.
	Options conversion.Options
	// Namespaces selects by their labels the namespaces whose ConfigMaps are converted; nil means all.
	Namespaces labels.Selector
	// GracePeriod is how long a ConfigMap may be gone before what it was converted to goes as well.
	GracePeriod time.Duration

	mu sync.Mutex
	// gone is since when a ConfigMap is known to be gone.
	gone map[types.NamespacedName]time.Time
	// told is the version of each ConfigMap that Events were last written about, so that each is told of once.
	told map[types.NamespacedName]string
}

// Reconcile brings what a ConfigMap is converted to in step with it.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	configMap := &corev1.ConfigMap{}
	err := r.Client.Get(ctx, req.NamespacedName, configMap)
	if client.IgnoreNotFound(err) != nil {
		return ctrl.Result{}, err
	}
	selected, err := r.selected(ctx, req.Namespace)
	if err != nil {
		return ctrl.Result{}, err
	}
	if configMap.Name == "" || !configMap.DeletionTimestamp.IsZero() || !selected {
		return r.release(ctx, req.NamespacedName)
	}
	if _, ok := conversion.Recognise(configMap); !ok {
		return r.release(ctx, req.NamespacedName)
	}
	r.seen(req.NamespacedName)

	result, err := conversion.Convert(configMap, r.Options)
	if err != nil {
		unconverted.WithLabelValues(req.Namespace, req.Name).Set(1)
		r.tell(configMap, iter8v1alpha1.EventNotConverted, err.Error()+"; what it was converted to before stays")
		return ctrl.Result{}, nil // only another ConfigMap mends it, and its event comes by itself
	}
	if len(result.Warnings) > 0 {
		messages := make([]string, 0, len(result.Warnings))
		for _, w := range result.Warnings {
			messages = append(messages, w.String())
		}
		r.tell(configMap, iter8v1alpha1.EventConvertedInPart, strings.Join(messages, "; "))
	}
	behind, err := faults(r.mirror(ctx, configMap, result.Subject, &iter8v1alpha1.Subject{}),
		r.mirror(ctx, configMap, result.Policy, &iter8v1alpha1.RoutingPolicy{}))
	unconverted.DeleteLabelValues(req.Namespace, req.Name)
	if taken := (*nameTakenError)(nil); errors.As(err, &taken) {
		unconverted.WithLabelValues(req.Namespace, req.Name).Set(1)
		r.tell(configMap, iter8v1alpha1.EventNameTaken, taken.Error())
		return ctrl.Result{}, nil
	}
	if behind && err == nil {
		return ctrl.Result{RequeueAfter: cacheDelay}, nil
	}
	return ctrl.Result{}, err
}

// faults joins those errors that are faults. A ConfigMap in a namespace on its way out goes with it, and its event comes by
// itself. Where an object exists already, or is another by now, the cache is behind, and will show it.
func faults(errs ...error) (behind bool, fault error) {
	for _, err := range errs {
		switch {
		case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		case apierrors.IsAlreadyExists(err), apierrors.IsConflict(err):
			behind = true
		default:
			fault = errors.Join(fault, err)
		}
	}
	return behind, fault
}

// selected tells whether the ConfigMaps of a namespace are to be converted.
func (r *Reconciler) selected(ctx context.Context, name string) (bool, error) {
	if r.Namespaces == nil {
		return true, nil
	}
	namespace := &metav1.PartialObjectMetadata{}
	namespace.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := r.Client.Get(ctx, types.NamespacedName{Name: name}, namespace); err != nil {
		return false, client.IgnoreNotFound(err)
	}
	return r.Namespaces.Matches(labels.Set(namespace.Labels)), nil
}

// release takes away what a ConfigMap was converted to, once that has been gone for the grace period; the
// policy first, so that its route goes by the garbage collector.
func (r *Reconciler) release(ctx context.Context, name types.NamespacedName) (ctrl.Result, error) {
	unconverted.DeleteLabelValues(name.Namespace, name.Name)
	var orphans []client.Object
	for _, object := range []client.Object{&iter8v1alpha1.RoutingPolicy{}, &iter8v1alpha1.Subject{}} {
		err := r.Client.Get(ctx, name, object)
		if client.IgnoreNotFound(err) != nil {
			return ctrl.Result{}, err
		}
		if err == nil && convertedFrom(object, name.Name) {
			orphans = append(orphans, object)
		}
	}
	if len(orphans) == 0 {
		r.seen(name)
		return ctrl.Result{}, nil
	}
	if left := r.GracePeriod - time.Since(r.goneSince(name)); left > 0 {
		return ctrl.Result{RequeueAfter: left}, nil
	}
	for _, object := range orphans {
		uid := object.GetUID()
		err := r.Client.Delete(ctx, object, client.Preconditions{UID: &uid})
		if client.IgnoreNotFound(err) != nil && !apierrors.IsConflict(err) {
			return ctrl.Result{}, fmt.Errorf("deleting what ConfigMap %s was converted to: %w", name, err)
		}
	}
	r.seen(name)
	return ctrl.Result{}, nil
}

func (r *Reconciler) goneSince(name types.NamespacedName) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone == nil {
		r.gone = map[types.NamespacedName]time.Time{}
	}
	since, ok := r.gone[name]
	if !ok {
		since = time.Now()
		r.gone[name] = since
	}
	return since
}

func (r *Reconciler) seen(name types.NamespacedName) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.gone, name)
}

// tell writes a Warning about a version of a ConfigMap, once.
func (r *Reconciler) tell(configMap *corev1.ConfigMap, reason, message string) {
	name := client.ObjectKeyFromObject(configMap)
	version := string(configMap.UID) + "/" + configMap.ResourceVersion + "/" + reason
	r.mu.Lock()
	if r.told == nil {
		r.told = map[types.NamespacedName]string{}
	}
	known := r.told[name] == version
	r.told[name] = version
	r.mu.Unlock()
	if !known {
		r.Recorder.Eventf(configMap, nil, corev1.EventTypeWarning, reason, "Convert", "%s", truncate(message))
	}
}

// maxNote is what the API allows of an Event's note, in bytes.
const maxNote = 1024

func truncate(message string) string {
	if len(message) <= maxNote {
		return message
	}
	return strings.ToValidUTF8(message[:maxNote-3], "") + "..."
}

// convertedFrom tells whether an object was converted from the ConfigMap of a name.
func convertedFrom(object client.Object, configMap string) bool {
	return object.GetAnnotations()[iter8v1alpha1.ConvertedFromAnnotation] == configMap
}
