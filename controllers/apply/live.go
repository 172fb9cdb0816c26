package apply

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/assume"
	"iter8.tools/operator/controllers/interest"
	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// Live knows the routing objects that the cluster holds, those of others included, and which policies have
// an interest in which. It is fed by watches on the kinds that policies render, and by what Execute writes.
type Live struct {
	objects *watch.Set

	mu sync.RWMutex
	// assumed are objects that this process wrote and the watch hasn't shown yet.
	assumed map[objectName]*liveObject
	// writing are objects that are being written, and the version of each that the watch has shown meanwhile.
	writing map[objectName]string
	// followed are the objects that policies have an interest in.
	followed  *interest.Index[objectName]
	listeners []func(policy types.NamespacedName)
}

type objectName struct {
	kind schema.GroupKind
	key  types.NamespacedName
}

// liveObject is what is kept of an object.
type liveObject struct {
	metav1.ObjectMeta // name, namespace and resourceVersion only
	kind              schema.GroupKind
	existing          Existing
}

// LiveOptions of a Live.
type LiveOptions struct {
	Client     dynamic.Interface
	Mapper     meta.RESTMapper
	Namespaces []string
}

// NewLive makes a Live whose watches end with the context.
func NewLive(ctx context.Context, options LiveOptions) *Live {
	l := &Live{
		assumed:  map[objectName]*liveObject{},
		writing:  map[objectName]string{},
		followed: interest.New[objectName](),
	}
	l.objects = watch.New(ctx, watch.Options{
		Client:     options.Client,
		Mapper:     options.Mapper,
		Namespaces: options.Namespaces,
		Transform:  func(_ watch.Target, u *unstructured.Unstructured) watch.Object { return keep(u) },
		OnChange:   l.onChange,
		OnState:    l.onState,
	})
	return l
}

// Listen has fn called with every policy that has an interest in an object which changes. fn must not block.
func (l *Live) Listen(fn func(policy types.NamespacedName)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listeners = append(l.listeners, fn)
}

// Follow says which objects a policy has an interest in from now on; none ends it.
func (l *Live) Follow(policy types.NamespacedName, kinds []schema.GroupVersionKind, keys []Key) {
	names := make([]objectName, 0, len(keys))
	for _, k := range keys {
		names = append(names, objectName{k.GroupKind, types.NamespacedName{Namespace: policy.Namespace, Name: k.Name}})
	}
	l.mu.Lock()
	before := l.followed.Forget(policy)
	if len(names) > 0 {
		l.followed.Set(policy, names)
	}
	for _, name := range before {
		if !l.followed.Any(name) {
			delete(l.assumed, name) // its watch may end before it shows the write
		}
	}
	l.mu.Unlock()

	targets := make([]watch.Target, 0, len(kinds))
	for _, kind := range kinds {
		targets = append(targets, watch.Target{GroupVersionKind: kind})
	}
	l.objects.Require(policy, targets...)
}

// State tells how far what is known of a kind can be relied on.
func (l *Live) State(kind schema.GroupVersionKind) watch.State {
	_, state := l.objects.Get(watch.Target{GroupVersionKind: kind}, types.NamespacedName{})
	return state
}

// Get gives what the cluster holds under a name, nil if nothing.
func (l *Live) Get(kind schema.GroupVersionKind, key types.NamespacedName) *Existing {
	l.mu.RLock()
	assumed := l.assumed[objectName{kind.GroupKind(), key}]
	l.mu.RUnlock()
	found, _ := l.objects.Get(watch.Target{GroupVersionKind: kind}, key)
	shown, _ := found.(*liveObject)
	if assumed != nil && (shown == nil || assume.Newer(assumed, shown)) {
		return &assumed.existing
	}
	if shown == nil {
		return nil
	}
	return &shown.existing
}

// write says that an object is about to be written; the function it gives takes the apiserver's answer. What the
// watch shows in between is most often the write itself, which concerns nobody; anything else is told of then.
func (l *Live) write(name objectName) func(*unstructured.Unstructured, error) {
	l.mu.Lock()
	l.writing[name] = ""
	l.mu.Unlock()
	return func(answer *unstructured.Unstructured, err error) {
		if err == nil {
			l.assume(answer)
		}
		l.mu.Lock()
		shown := l.writing[name]
		delete(l.writing, name)
		l.mu.Unlock()
		if shown != "" && (err != nil || shown != answer.GetResourceVersion()) {
			l.tellInterested(name)
		}
	}
}

// assume takes what the apiserver answered to a write for what the cluster holds, until the watch tells.
func (l *Live) assume(answer *unstructured.Unstructured) {
	written := keep(answer)
	name := written.name()
	found, _ := l.objects.Get(watch.Target{GroupVersionKind: answer.GroupVersionKind()}, name.key)
	l.mu.Lock()
	defer l.mu.Unlock()
	if shown, ok := found.(*liveObject); ok && !assume.Newer(written, shown) {
		return
	}
	l.assumed[name] = written
}

// onChange wakes the policies with an interest in an object, unless the change is the echo of a write.
func (l *Live) onChange(_ watch.Target, before, after watch.Object) {
	old, _ := before.(*liveObject)
	now, _ := after.(*liveObject)
	seen := now
	if seen == nil {
		seen = old
	}
	name := seen.name()

	l.mu.Lock()
	assumed := l.assumed[name]
	echo := assumed != nil && now != nil && assumed.ResourceVersion == now.ResourceVersion
	if assumed != nil && (now == nil && assumed.existing.UID == old.existing.UID || now != nil && !assume.Newer(assumed, now)) {
		delete(l.assumed, name)
	}
	_, writing := l.writing[name]
	if writing {
		l.writing[name] = seen.ResourceVersion
		if now == nil {
			l.writing[name] = "deleted"
		}
	}
	l.mu.Unlock()
	if writing || echo || (old != nil && now != nil && reflect.DeepEqual(old.existing, now.existing)) {
		return
	}
	l.tellInterested(name)
}

func (l *Live) tellInterested(name objectName) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, policy := range l.followed.In(name) {
		l.tell(policy)
	}
}

func (l *Live) onState(target watch.Target) {
	policies := l.objects.Users(target)
	l.mu.RLock()
	defer l.mu.RUnlock()
	for _, policy := range policies {
		l.tell(policy)
	}
}

func (l *Live) tell(policy types.NamespacedName) {
	for _, listener := range l.listeners {
		listener(policy)
	}
}

func keep(u *unstructured.Unstructured) *liveObject {
	kept := &liveObject{
		ObjectMeta: metav1.ObjectMeta{Name: u.GetName(), Namespace: u.GetNamespace(), ResourceVersion: u.GetResourceVersion()},
		kind:       u.GroupVersionKind().GroupKind(),
		existing: Existing{
			UID:         u.GetUID(),
			Generation:  u.GetGeneration(),
			Controller:  metav1.GetControllerOf(u),
			Adopt:       u.GetAnnotations()[iter8v1alpha1.AdoptAnnotation] == "true",
			Terminating: u.GetDeletionTimestamp() != nil,
		},
	}
	if u.GetLabels()[iter8v1alpha1.ManagedByLabel] == iter8v1alpha1.FieldManager {
		kept.existing.Labels = u.GetLabels()
		kept.existing.Annotations = u.GetAnnotations()
		kept.existing.Acceptance = routes.Acceptance(u)
		return kept
	}
	if c := kept.existing.Controller; c != nil && strings.HasPrefix(c.APIVersion, iter8v1alpha1.GroupVersion.Group+"/") {
		kept.existing.Acceptance = routes.Acceptance(u)
		return kept // our label was taken off; without labels it counts as changed
	}
	managers := map[string]struct{}{}
	for _, entry := range u.GetManagedFields() {
		managers[entry.Manager] = struct{}{}
		// Our own name without a controller is a takeover that was cut off, see takeFields.
		if entry.Manager == iter8v1alpha1.LegacyFieldManager || entry.Manager == iter8v1alpha1.FieldManager {
			kept.existing.Legacy = true
		}
	}
	for _, ref := range u.GetOwnerReferences() {
		if isLegacyOwner(ref) {
			kept.existing.LegacyOwner = ref.Name
		}
	}
	kept.existing.Managers = strings.Join(slices.Sorted(maps.Keys(managers)), ", ")
	return kept
}

func (o *liveObject) name() objectName {
	return objectName{o.kind, types.NamespacedName{Namespace: o.Namespace, Name: o.Name}}
}
