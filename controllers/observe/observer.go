// Package observe watches the resources that Subjects name, and judges from them which variants are available.
//
//	Subjects ──► watches of the kinds they name        ┌─► controllers/subject
//	                 └──► change of a fact ──► Notify ─┴─► controllers/routingpolicy
//
// Both controllers are notified of the same changes and judge by the same cache, so neither waits for what the
// other writes.
package observe

import (
	"context"
	"reflect"
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
	"iter8.tools/operator/controllers/watch"
)

// The kinds that a Subject may name without further ado; the operator's chart can add more. Only objects with
// the label are watched. Reading a single one finds those that lack it.
// +kubebuilder:rbac:groups="",resources=services,verbs=get;list;watch
// +kubebuilder:rbac:groups=discovery.k8s.io,resources=endpointslices,verbs=get;list;watch
// +kubebuilder:rbac:groups=apps,resources=deployments;statefulsets;daemonsets,verbs=get;list;watch
// +kubebuilder:rbac:groups=serving.kserve.io,resources=inferenceservices,verbs=get;list;watch

var endpointSlices = watch.Target{GroupVersionKind: endpointSliceKind}

// Options of an Observer.
type Options struct {
	// Subjects is the cache that Subjects are read from.
	Subjects cache.Cache
	Dynamic  dynamic.Interface
	Metadata metadata.Interface
	Mapper   meta.RESTMapper
	Config   configv1alpha1.OperatorConfiguration
	// MaxKinds is how many kinds Subjects may have watched, of which one whose objects an expression looks at is another; 0 sets no limit.
	MaxKinds int
	// Notify is called with every Subject that comes, with each whose spec or resources change, and with each that
	// goes. It must not block.
	Notify func(subject types.NamespacedName)
	// OnLegacyFinalizer is called with each resource that is found to carry the finalizer of Iter8's controller.
	// It must not block. Optional.
	OnLegacyFinalizer func(kind schema.GroupVersionKind, resource types.NamespacedName)
}

// Observer knows the state of every resource that a Subject names.
type Observer struct {
	subjects            cache.Cache
	resources           *watch.Set[*object]
	expressions         *expressions
	unlabelled          *unlabelled
	conditions          map[schema.GroupKind][]string
	allowCrossNamespace bool
	onLegacyFinalizer   func(schema.GroupVersionKind, types.NamespacedName)
	notify              func(subject types.NamespacedName)
	slots               *slots

	// following is held while a Subject is followed.
	following sync.Mutex
	held      held
	// seated are the kinds that each Subject has watched.
	seated map[types.NamespacedName][]watch.Target
}

// New returns an Observer whose watches end with the context.
func New(ctx context.Context, options Options) *Observer {
	o := &Observer{
		subjects:            options.Subjects,
		expressions:         newExpressions(),
		conditions:          map[schema.GroupKind][]string{},
		allowCrossNamespace: options.Config.AllowCrossNamespaceReferences,
		onLegacyFinalizer:   options.OnLegacyFinalizer,
		notify:              options.Notify,
		slots:               &slots{most: options.MaxKinds, holders: map[watch.Target]map[types.NamespacedName]struct{}{}},
		held:                held{},
		seated:              map[types.NamespacedName][]watch.Target{},
	}
	for _, r := range options.Config.Readiness {
		o.conditions[schema.GroupKind{Group: r.Group, Kind: r.Kind}] = r.Conditions
	}
	o.resources = watch.New(ctx, watch.Options[*object]{
		Client:         options.Dynamic,
		Mapper:         options.Mapper,
		Namespaces:     options.Config.WatchNamespaces,
		LabelSelectors: labelSelectors(options.Config),
		Transform:      o.summarize,
		MemberOf:       func(o *object) types.NamespacedName { return o.service },
		Changed:        o.changed,
		Notify:         options.Notify,
	})
	o.unlabelled = newUnlabelled(options.Metadata, options.Mapper, o.missing, func(name watch.Name) {
		for _, n := range watchedNames(name) {
			o.resources.Notify(n)
		}
	})
	return o
}

// Start follows the Subjects, and returns when the context ends.
func (o *Observer) Start(ctx context.Context) error {
	informer, err := o.subjects.GetInformer(ctx, &iter8v1alpha1.Subject{})
	if err != nil {
		return err
	}
	registration, err := informer.AddEventHandler(o.handler())
	if err != nil {
		return err
	}
	go func() {
		if o.slots.most > 0 && toolscache.WaitForCacheSync(ctx.Done(), registration.HasSynced) {
			o.release()
		}
	}()
	o.unlabelled.run(ctx)
	return nil
}

// NeedLeaderElection keeps the caches of a standby warm.
func (o *Observer) NeedLeaderElection() bool { return false }

// Watched returns the kinds that are watched now.
func (o *Observer) Watched() []watch.Target { return o.resources.Targets() }

// changed reports whether a fact of a resource has changed, or anything where an expression looks at all of it.
func (o *Observer) changed(target watch.Target, before, after *object) bool {
	if after != nil && after.legacyFinalizer && (before == nil || !before.legacyFinalizer) && o.onLegacyFinalizer != nil {
		o.onLegacyFinalizer(target.GroupVersionKind, types.NamespacedName{Namespace: after.Namespace, Name: after.Name})
	}
	if after == nil {
		o.unlabelled.renew(watch.Name{Target: target, Object: types.NamespacedName{Namespace: before.Namespace, Name: before.Name}})
	}
	return before == nil || after == nil || target.Full || !reflect.DeepEqual(before.facts, after.facts)
}

// missing reports whether a Subject names a resource that no watch shows, though it can be read.
func (o *Observer) missing(name watch.Name) bool {
	named := false
	for _, n := range watchedNames(name) {
		if !o.resources.Followed(n) {
			continue
		}
		named = true
		if resource, state := o.resources.Get(n); resource != nil || state.Err != nil && !state.Synced {
			return false
		}
	}
	return named
}

// watchedNames returns the names under which a resource may be watched.
func watchedNames(name watch.Name) []watch.Name {
	full := name
	full.Full = true
	return []watch.Name{name, full}
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
