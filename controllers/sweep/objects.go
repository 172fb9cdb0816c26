package sweep

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// markedObject is what is kept of an object that carries the label of a mark.
type markedObject struct {
	metav1.ObjectMeta // name, namespace, uid and resourceVersion only
	// mark is nil where it doesn't count, or an owner controls the object.
	mark *apply.Mark
	// adopt: it was handed over to whichever policy renders it.
	adopt, terminating bool
	subsets            []routes.SubsetDefinition
}

func metaOf(u *unstructured.Unstructured) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: u.GetName(), Namespace: u.GetNamespace(), UID: u.GetUID(), ResourceVersion: u.GetResourceVersion()}
}

func transformMarked(_ watch.Target, u *unstructured.Unstructured) *markedObject {
	o := &markedObject{ObjectMeta: metaOf(u), terminating: u.GetDeletionTimestamp() != nil,
		adopt: u.GetAnnotations()[iter8v1alpha1.AdoptAnnotation] == "true"}
	if metav1.GetControllerOf(u) == nil {
		o.mark = apply.MarkOf(u)
	}
	for _, s := range routes.Subsets(u, u.GetNamespace()) {
		o.subsets = append(o.subsets, routes.SubsetDefinition{Subset: s.Subset})
	}
	return o
}

// memberOf returns what objects are indexed by: the policy that marks them, under a name that no object has.
func (o *markedObject) memberOf() types.NamespacedName {
	if o.mark == nil {
		return types.NamespacedName{}
	}
	return markedBy(o.Namespace, o.mark.UID)
}

func markedBy(namespace string, policy types.UID) types.NamespacedName {
	return types.NamespacedName{Namespace: namespace, Name: "marked by " + string(policy)}
}

// markedChanged has a marked object seen to.
func (r *Reconciler) markedChanged(target watch.Target, before, after *markedObject) bool {
	shown := after
	if shown == nil {
		shown = before
	}
	r.add(Object{target.GroupKind(), types.NamespacedName{Namespace: shown.Namespace, Name: shown.Name}})
	return false
}

// user is what is kept of an object that may name subsets, or define them.
type user struct {
	metav1.ObjectMeta // name, namespace, uid and resourceVersion only
	kind              string
	names             routes.SubsetNames
	defines           []routes.SubsetDefinition
	// mark of a rule, and whether it is there for all that may name its subsets.
	mark        *apply.Mark
	forAll      bool
	terminating bool
}

func transformUser(_ watch.Target, u *unstructured.Unstructured) *user {
	o := &user{ObjectMeta: metaOf(u), kind: u.GetKind(), names: routes.SubsetNamesOf(u), terminating: u.GetDeletionTimestamp() != nil}
	for _, s := range routes.Subsets(u, u.GetNamespace()) {
		o.defines = append(o.defines, routes.SubsetDefinition{Subset: s.Subset})
	}
	if len(o.defines) > 0 {
		o.mark, o.forAll = apply.MarkOf(u), routes.DefinesForAll(u)
	}
	return o
}

func (u *user) definesSubset(s routes.Subset) bool {
	return slices.ContainsFunc(u.defines, func(d routes.SubsetDefinition) bool { return d.Subset == s })
}

// userChanged has the rules seen to whose subsets an object names or defines, or did.
func (r *Reconciler) userChanged(_ watch.Target, before, after *user) bool {
	r.mu.Lock()
	var concerned []Object
	for o, subsets := range r.waiting {
		if slices.ContainsFunc(subsets, func(s routes.SubsetDefinition) bool {
			return slices.ContainsFunc([]*user{before, after}, func(u *user) bool {
				return u != nil && (u.names.Has(s.Subset) || u.definesSubset(s.Subset))
			})
		}) {
			concerned = append(concerned, o)
		}
	}
	r.mu.Unlock()
	for _, o := range concerned {
		r.add(o)
	}
	return false
}

// enqueueWaiting has all rules that are to go seen to.
func (r *Reconciler) enqueueWaiting() {
	r.mu.Lock()
	waiting := make([]Object, 0, len(r.waiting))
	for o := range r.waiting {
		waiting = append(waiting, o)
	}
	r.mu.Unlock()
	for _, o := range waiting {
		r.add(o)
	}
}

func (r *Reconciler) add(o Object) {
	r.mu.Lock()
	enqueue := r.enqueue
	r.mu.Unlock()
	if enqueue != nil {
		enqueue(o)
	}
}
