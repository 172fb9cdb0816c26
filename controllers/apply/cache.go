package apply

import (
	"context"
	"encoding/json"
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
	"iter8.tools/operator/controllers/ownwrites"
	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// Cache knows the routing objects that the cluster holds, those of others included. It is fed by watches on the kinds that
// policies follow, and by what Apply writes.
type Cache struct {
	ctx      context.Context //nolint:containedctx // the life of the watches
	objects  *watch.Set[*cachedObject]
	versions func(schema.GroupKind) []string

	mu sync.RWMutex
	// written are objects that this process wrote and the watch hasn't shown yet.
	written map[watch.Name]*cachedObject
	// inFlight are objects that are being written, with what the watch has shown of each meanwhile.
	inFlight map[watch.Name]event
}

// event is the last thing that a watch has shown of an object: a version, or the end of the object with a uid.
type event struct {
	version string
	gone    types.UID
}

// cachedObject is what is kept of an object.
type cachedObject struct {
	metav1.ObjectMeta // name, namespace and resourceVersion only
	existing          Existing
}

// CacheOptions of a Cache.
type CacheOptions struct {
	Client     dynamic.Interface
	Mapper     meta.RESTMapper
	Namespaces []string
	// Versions returns those in which the cluster serves a kind, as far as that is known; it must not ask the cluster. It is called for
	// kinds that aren't served in the versions that policies know. Optional.
	Versions func(schema.GroupKind) []string
	// Notify is called with every policy that follows an object which another than this process changes. It must not
	// block.
	Notify func(policy types.NamespacedName)
}

// NewCache returns a Cache whose watches end with the context.
func NewCache(ctx context.Context, options CacheOptions) *Cache {
	c := &Cache{ctx: ctx, versions: options.Versions, written: map[watch.Name]*cachedObject{}, inFlight: map[watch.Name]event{}}
	c.objects = watch.New(ctx, watch.Options[*cachedObject]{
		Client:     options.Client,
		Mapper:     options.Mapper,
		Namespaces: options.Namespaces,
		Transform:  func(_ watch.Target, u *unstructured.Unstructured) *cachedObject { return summarize(u) },
		MemberOf:   (*cachedObject).policy,
		Changed:    c.changed,
		Notify:     options.Notify,
	})
	return c
}

// nameOf returns the name by which an object is followed.
func nameOf(kind schema.GroupVersionKind, object types.NamespacedName) watch.Name {
	return watch.Name{Target: watch.Target{GroupVersionKind: kind}, Object: object}
}

// Follow sets which objects of its namespace a policy is notified of from now on, each in every version of its kind among the kinds;
// none ends it.
func (c *Cache) Follow(policy types.NamespacedName, kinds []schema.GroupVersionKind, keys []Key) {
	targets := make([]watch.Target, 0, len(kinds))
	var names []watch.Name
	for _, kind := range kinds {
		targets = append(targets, watch.Target{GroupVersionKind: kind})
		for _, key := range keys {
			if key.GroupKind == kind.GroupKind() {
				names = append(names, nameOf(kind, types.NamespacedName{Namespace: policy.Namespace, Name: key.Name}))
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.objects.Follow(policy, targets, names)
	if len(c.written) == 0 {
		return
	}
	watched := c.objects.Targets()
	for name := range c.written {
		if !slices.Contains(watched, name.Target) {
			delete(c.written, name) // its watch has ended before it showed the write
		}
	}
}

// State returns how far what is known of a kind in a namespace can be relied on.
func (c *Cache) State(kind schema.GroupVersionKind, namespace string) watch.State {
	return c.objects.State(watch.Target{GroupVersionKind: kind}, namespace)
}

// Get returns what the cluster holds under a name, nil if nothing.
func (c *Cache) Get(kind schema.GroupVersionKind, object types.NamespacedName) *Existing {
	name := nameOf(kind, object)
	c.mu.RLock()
	written := c.written[name]
	c.mu.RUnlock()
	overtaken := written != nil && c.objects.Overtakes(name, written.ResourceVersion) // before it is asked what is shown
	shown, _ := c.objects.Get(name)
	switch {
	case written != nil && (shown == nil && !overtaken || shown != nil && ownwrites.Newer(written, shown)):
		return &written.existing
	case shown != nil:
		return &shown.existing
	default:
		return nil
	}
}

// Controlled returns the objects of a kind that a policy controls or marks, by their names, but for those on their way out.
func (c *Cache) Controlled(kind schema.GroupVersionKind, namespace string, policy types.UID) []iter8v1alpha1.AppliedObject {
	of := membersOf(namespace, policy)
	var written []*cachedObject // those few that the watch may not have shown yet; what it shows meanwhile is in the store then
	c.mu.RLock()
	for name, o := range c.written {
		if name.Target.GroupVersionKind == kind && o.policy() == of {
			written = append(written, o)
		}
	}
	c.mu.RUnlock()
	members, _ := c.objects.Members(watch.Target{GroupVersionKind: kind}, of)
	for _, o := range written {
		if !slices.ContainsFunc(members, func(m *cachedObject) bool { return m.Name == o.Name }) {
			members = append(members, o)
		}
	}
	var controlled []iter8v1alpha1.AppliedObject
	for _, o := range members {
		if !o.existing.Terminating {
			controlled = append(controlled, iter8v1alpha1.AppliedObject{
				APIVersion: kind.GroupVersion().String(), Kind: kind.Kind, Name: o.Name, UID: o.existing.UID, Adopted: o.existing.staysAdopted(),
			})
		}
	}
	slices.SortFunc(controlled, func(a, b iter8v1alpha1.AppliedObject) int { return strings.Compare(a.Name, b.Name) })
	return controlled
}

// policy returns what objects are indexed by: the policy that controls or marks them, under a name that no object has; none for others.
func (o *cachedObject) policy() types.NamespacedName {
	switch c, mark := o.existing.Controller, o.existing.Mark; {
	case c != nil && isOurs(*c):
		return membersOf(o.Namespace, c.UID)
	case c == nil && mark != nil:
		return membersOf(o.Namespace, mark.UID)
	}
	return types.NamespacedName{}
}

func membersOf(namespace string, policy types.UID) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: "controlled by " + string(policy)}
}

// beginWrite says that an object is about to be written; the function that it returns takes the apiserver's answer. What the
// watch shows in between is most often the write itself, which concerns no policy; of anything else they are notified then. The
// same goes for each other version of the object that is followed, whose watch shows the write too.
func (c *Cache) beginWrite(name watch.Name) func(*unstructured.Unstructured, error) {
	names := c.inAllVersions(name)
	c.mu.Lock()
	for _, name := range names {
		c.inFlight[name] = event{}
	}
	c.mu.Unlock()
	return func(answer *unstructured.Unstructured, err error) {
		for _, name := range names {
			c.endWrite(name, answer, err)
		}
	}
}

// inAllVersions returns the names by which an object is followed, and the one that is given in any case.
func (c *Cache) inAllVersions(name watch.Name) []watch.Name {
	names := []watch.Name{name}
	for _, target := range c.objects.Targets() {
		other := watch.Name{Target: target, Object: name.Object}
		if target.GroupKind() == name.GroupKind() && other != name && c.objects.Followed(other) {
			names = append(names, other)
		}
	}
	return names
}

func (c *Cache) endWrite(name watch.Name, answer *unstructured.Unstructured, err error) {
	if err == nil {
		c.remember(name, answer)
	}
	c.mu.Lock()
	shown := c.inFlight[name]
	delete(c.inFlight, name)
	c.mu.Unlock()
	if shown != (event{}) && (err != nil || shown.version != answer.GetResourceVersion()) {
		c.objects.Notify(name)
	}
}

// remember has what the apiserver answered to a write count as what the cluster holds, until the watch shows it; but not what
// has come to its end meanwhile.
func (c *Cache) remember(name watch.Name, answer *unstructured.Unstructured) {
	written := summarize(answer)
	shown, _ := c.objects.Get(name)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inFlight[name].gone == written.existing.UID {
		return
	}
	if shown == nil || ownwrites.Newer(written, shown) {
		c.written[name] = written
		c.expect(name, written)
	}
}

// changed reports whether a change matters to the followers of an object: it does not if it is the echo of a write, or may
// turn out to be one.
func (c *Cache) changed(target watch.Target, before, after *cachedObject) bool {
	shown := after
	if shown == nil {
		shown = before
	}
	name := watch.Name{Target: target, Object: types.NamespacedName{Namespace: shown.Namespace, Name: shown.Name}}

	c.mu.Lock()
	defer c.mu.Unlock()
	written := c.written[name]
	echo := written != nil && after != nil && written.ResourceVersion == after.ResourceVersion
	if written != nil && (after == nil && written.existing.UID == before.existing.UID || after != nil && !ownwrites.Newer(written, after)) {
		delete(c.written, name)
	}
	_, writing := c.inFlight[name]
	if writing {
		c.inFlight[name] = event{version: shown.ResourceVersion}
		if after == nil {
			c.inFlight[name] = event{gone: before.existing.UID}
		}
	}
	return !writing && !echo && (before == nil || after == nil || !reflect.DeepEqual(before.existing, after.existing))
}

// specOf returns the spec of an object as JSON, nil where it has none.
func specOf(u *unstructured.Unstructured) []byte {
	spec, ok := u.Object["spec"].(map[string]any)
	if !ok {
		return nil
	}
	data, err := json.Marshal(spec)
	if err != nil {
		return nil
	}
	return data
}

// others are the managers of an object's fields beside the operator, but for those of its status.
func others(u *unstructured.Unstructured) string {
	managers := map[string]struct{}{}
	for _, entry := range u.GetManagedFields() {
		if entry.Manager != iter8v1alpha1.FieldManager && entry.Subresource == "" {
			managers[entry.Manager] = struct{}{}
		}
	}
	return strings.Join(slices.Sorted(maps.Keys(managers)), ", ")
}

// summarize is the transform of the informers.
func summarize(u *unstructured.Unstructured) *cachedObject {
	cached := &cachedObject{
		ObjectMeta: metav1.ObjectMeta{Name: u.GetName(), Namespace: u.GetNamespace(), ResourceVersion: u.GetResourceVersion()},
		existing: Existing{
			UID:         u.GetUID(),
			Generation:  u.GetGeneration(),
			Controller:  metav1.GetControllerOf(u),
			Mark:        MarkOf(u),
			Adopt:       u.GetAnnotations()[iter8v1alpha1.AdoptAnnotation] == "true",
			Terminating: u.GetDeletionTimestamp() != nil,
		},
	}
	if u.GetLabels()[iter8v1alpha1.ManagedByLabel] == iter8v1alpha1.FieldManager {
		cached.existing.Labels = u.GetLabels()
		cached.existing.Annotations = u.GetAnnotations()
		cached.existing.Acceptance, cached.existing.Reported = routes.Acceptance(u), routes.Reported(u)
		cached.existing.Reporters = routes.Controllers(u)
		cached.existing.Spec = specOf(u)
		cached.existing.Edited = slices.ContainsFunc(u.GetManagedFields(), isEdit)
		cached.existing.Managers = others(u)
		return cached
	}
	if c := cached.existing.Controller; c != nil && isOurs(*c) || c == nil && cached.existing.Mark != nil {
		cached.existing.Acceptance, cached.existing.Reported = routes.Acceptance(u), routes.Reported(u)
		cached.existing.Reporters = routes.Controllers(u)
		cached.existing.Spec = specOf(u)
		return cached // our label was taken off; without labels it counts as changed
	}
	managers := map[string]struct{}{}
	for _, entry := range u.GetManagedFields() {
		managers[entry.Manager] = struct{}{}
		// Our own name without a controller is a takeover that was cut off, see takeFields.
		if entry.Manager == iter8v1alpha1.LegacyFieldManager || entry.Manager == iter8v1alpha1.FieldManager {
			cached.existing.Legacy = true
		}
		if entry.Manager == iter8v1alpha1.FieldManager {
			cached.existing.Spec = specOf(u) // whose label and owner were taken off: its mirrors are still to go
			cached.existing.Acceptance, cached.existing.Reported, cached.existing.Reporters = routes.Acceptance(u), routes.Reported(u), routes.Controllers(u)
		}
	}
	for _, ref := range u.GetOwnerReferences() {
		if isLegacyOwner(ref) {
			cached.existing.LegacyOwner = ref.Name
		}
	}
	cached.existing.Managers = strings.Join(slices.Sorted(maps.Keys(managers)), ", ")
	return cached
}
