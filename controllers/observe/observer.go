// Package observe watches the resources that Subjects name, and judges from them which variants are available.
//
//	Subjects ──► index: resource → Subjects          ┌─► controllers/subject
//	   └──► watches of the kinds they name           │
//	              └──► change of a fact ──► index ──►┴─► controllers/routingpolicy
//
// Both controllers are woken by the same changes and judge by the same cache, so neither waits for what the
// other writes.
package observe

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/metadata"
	toolscache "k8s.io/client-go/tools/cache"
	"sigs.k8s.io/controller-runtime/pkg/cache"

	configv1alpha1 "iter8.tools/operator/api/config/v1alpha1"
	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/interest"
	"iter8.tools/operator/controllers/watch"
)

// The kinds that a Subject may name without further ado; the operator's chart can add more. Only objects with
// the label are watched. Reading a single one finds those that lack it.
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets,verbs=get;list;watch
// +kubebuilder:rbac:groups=serving.kserve.io,resources=inferenceservices,verbs=get;list;watch

var endpointSlices = watch.Target{GroupVersionKind: endpointSliceKind}

// resource names a watched object.
type resource struct {
	kind schema.GroupVersionKind
	key  types.NamespacedName
}

// Options of an Observer.
type Options struct {
	// Subjects is the cache that Subjects are read from.
	Subjects cache.Cache
	Dynamic  dynamic.Interface
	Metadata metadata.Interface
	Mapper   meta.RESTMapper
	Config   configv1alpha1.OperatorConfiguration
	// OnLegacyFinalizer is called with each resource that is found to carry the finalizer of Iter8's controller.
	// It must not block. Optional.
	OnLegacyFinalizer func(kind schema.GroupVersionKind, resource types.NamespacedName)
}

// Observer knows the state of every resource that a Subject names.
type Observer struct {
	subjects            cache.Cache
	resources           *watch.Set
	expressions         *expressions
	unlabelled          *unlabelled
	conditions          map[schema.GroupKind][]string
	allowCrossNamespace bool
	onLegacyFinalizer   func(schema.GroupVersionKind, types.NamespacedName)

	// named are the resources that Subjects name.
	named *interest.Index[resource]

	mu        sync.RWMutex
	listeners []func(subject types.NamespacedName)
}

// New makes an Observer whose watches end with the context.
func New(ctx context.Context, options Options) *Observer {
	o := &Observer{
		subjects:            options.Subjects,
		expressions:         newExpressions(),
		conditions:          map[schema.GroupKind][]string{},
		allowCrossNamespace: options.Config.AllowCrossNamespaceReferences,
		onLegacyFinalizer:   options.OnLegacyFinalizer,
		named:               interest.New[resource](),
	}
	for _, r := range options.Config.Readiness {
		o.conditions[schema.GroupKind{Group: r.Group, Kind: r.Kind}] = r.Conditions
	}
	o.unlabelled = newUnlabelled(options.Metadata, options.Mapper, o.absent, o.notifyResource)
	o.resources = watch.New(ctx, watch.Options{
		Client:         options.Dynamic,
		Mapper:         options.Mapper,
		Namespaces:     options.Config.WatchNamespaces,
		LabelSelectors: labelSelectors(options.Config),
		Transform:      o.keep,
		Index:          indexByService,
		OnChange:       o.onChange,
		OnState:        o.onState,
	})
	return o
}

// Start follows the Subjects, and returns when the context ends.
func (o *Observer) Start(ctx context.Context) error {
	informer, err := o.subjects.GetInformer(ctx, &iter8v1alpha1.Subject{})
	if err != nil {
		return err
	}
	_, err = informer.AddEventHandler(toolscache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) { o.follow(obj.(*iter8v1alpha1.Subject)) },
		UpdateFunc: func(before, after any) {
			if b, a := before.(*iter8v1alpha1.Subject), after.(*iter8v1alpha1.Subject); a.UID != b.UID || a.Generation != b.Generation {
				o.follow(a)
			}
		},
		DeleteFunc: func(obj any) {
			if tombstone, ok := obj.(toolscache.DeletedFinalStateUnknown); ok {
				obj = tombstone.Obj
			}
			if subject, ok := obj.(*iter8v1alpha1.Subject); ok {
				o.forget(types.NamespacedName{Namespace: subject.Namespace, Name: subject.Name})
			}
		},
	})
	if err != nil {
		return err
	}
	o.unlabelled.run(ctx)
	return nil
}

// NeedLeaderElection keeps the caches of a standby warm.
func (o *Observer) NeedLeaderElection() bool { return false }

// Listen has fn called with every Subject there is, and from then on with each whose spec or resources
// change, and with each that goes. fn must not block.
func (o *Observer) Listen(fn func(subject types.NamespacedName)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.listeners = append(o.listeners, fn)
	for _, subject := range o.named.Users() {
		fn(subject)
	}
}

// Watched gives the kinds that are watched now.
func (o *Observer) Watched() []watch.Target { return o.resources.Targets() }

// follow keeps the index and the watches in step with a Subject's spec.
func (o *Observer) follow(subject *iter8v1alpha1.Subject) {
	name := types.NamespacedName{Namespace: subject.Namespace, Name: subject.Name}
	var needs []resource
	targets := map[watch.Target]struct{}{}
	for _, v := range subject.Spec.Variants {
		for i := range v.Resources {
			ref := &v.Resources[i]
			if o.refuse(subject.Namespace, ref) != "" {
				continue
			}
			target := targetOf(ref)
			targets[target] = struct{}{}
			if target.GroupKind() == serviceKind && ref.ReadyWhen == nil {
				targets[endpointSlices] = struct{}{}
			}
			needs = append(needs, resource{target.GroupVersionKind, resourceName(subject.Namespace, ref)})
		}
	}
	o.named.Set(name, needs)
	o.resources.Require(name, slices.Collect(maps.Keys(targets))...)
	o.notify(name)
}

func (o *Observer) forget(subject types.NamespacedName) {
	o.named.Forget(subject)
	o.resources.Require(subject)
	o.notify(subject)
}

// onChange wakes who cares about an object, if a fact of it has changed.
func (o *Observer) onChange(target watch.Target, before, after watch.Object) {
	old, _ := before.(*object)
	now, _ := after.(*object)
	if now != nil && now.legacyFinalizer && (old == nil || !old.legacyFinalizer) && o.onLegacyFinalizer != nil {
		o.onLegacyFinalizer(target.GroupVersionKind, types.NamespacedName{Namespace: now.Namespace, Name: now.Name})
	}
	if old != nil && now != nil && !target.Full && reflect.DeepEqual(old.facts, now.facts) {
		return
	}
	seen := now
	if seen == nil {
		seen = old
	}
	if target == endpointSlices {
		o.notifyResource(resource{serviceKind.WithVersion("v1"), seen.service})
		if old != nil && old.service != seen.service {
			o.notifyResource(resource{serviceKind.WithVersion("v1"), old.service})
		}
	}
	o.notifyResource(resource{target.GroupVersionKind, types.NamespacedName{Namespace: seen.Namespace, Name: seen.Name}})
}

// onState wakes the Subjects that need a kind which is now listed, or can't be any more.
func (o *Observer) onState(target watch.Target) {
	for _, subject := range o.resources.Users(target) {
		o.notify(subject)
	}
}

func (o *Observer) notifyResource(r resource) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	for _, subject := range o.named.In(r) {
		o.tell(subject)
	}
}

func (o *Observer) notify(subject types.NamespacedName) {
	o.mu.RLock()
	defer o.mu.RUnlock()
	o.tell(subject)
}

func (o *Observer) tell(subject types.NamespacedName) {
	for _, listener := range o.listeners {
		listener(subject)
	}
}

// absent tells whether some Subject names a resource that the watches don't show.
func (o *Observer) absent(r resource) bool {
	if !o.named.Any(r) {
		return false
	}
	for _, full := range []bool{false, true} {
		found, state := o.resources.Get(watch.Target{GroupVersionKind: r.kind, Full: full}, r.key)
		if found != nil || (state.Err != nil && !state.Synced) {
			return false
		}
	}
	return true
}

// labelSelectors select what is watched: what carries the label, and with Iter8's ConfigMaps what carries the
// label of Iter8's later versions.
func labelSelectors(config configv1alpha1.OperatorConfiguration) []string {
	selectors := []string{iter8v1alpha1.DetectLabel + "=true"}
	if config.Legacy.Enabled {
		selectors = append(selectors, iter8v1alpha1.LegacyWatchLabel+"=true")
	}
	return selectors
}

func indexByService(kept watch.Object) []string {
	if service := kept.(*object).service; service.Name != "" {
		return []string{service.String()}
	}
	return nil
}
