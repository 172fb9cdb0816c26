package observe

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	toolscache "k8s.io/client-go/tools/cache"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/watch"
)

// handler follows Subjects as they come, change and go.
func (o *Observer) handler() toolscache.ResourceEventHandler {
	return toolscache.ResourceEventHandlerDetailedFuncs{
		AddFunc: func(obj any, isInInitialList bool) {
			if subject := obj.(*iter8v1alpha1.Subject); !isInInitialList || !o.hold(subject) {
				o.follow(subject)
			}
		},
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
				o.forget(keyOf(subject))
			}
		},
	}
}

// hold has a Subject followed once those are that had slots before the operator was started, and reports whether it is to wait for that.
func (o *Observer) hold(subject *iter8v1alpha1.Subject) bool {
	o.following.Lock()
	defer o.following.Unlock()
	if o.held == nil || o.slots.most == 0 || hadSlots(subject) {
		return false
	}
	o.held[keyOf(subject)] = subject
	return true
}

// release follows the Subjects that were held back, the oldest first.
func (o *Observer) release() {
	o.following.Lock()
	var followers []types.NamespacedName
	for _, subject := range o.held.inOrder() {
		followers = append(followers, o.seat(subject)...)
	}
	o.held = nil
	o.following.Unlock()
	o.notifyAll(followers)
}

// follow keeps the watches in step with a Subject's spec.
func (o *Observer) follow(subject *iter8v1alpha1.Subject) {
	o.following.Lock()
	delete(o.held, keyOf(subject))
	followers := o.seat(subject)
	o.following.Unlock()
	_, names := o.interests(subject)
	for _, name := range names {
		o.unlabelled.renew(name)
	}
	o.notifyAll(followers)
}

func (o *Observer) forget(subject types.NamespacedName) {
	o.follow(&iter8v1alpha1.Subject{ObjectMeta: metav1.ObjectMeta{Namespace: subject.Namespace, Name: subject.Name}})
}

func (o *Observer) notifyAll(followers []types.NamespacedName) {
	for _, follower := range followers {
		o.notify(follower)
	}
}

// seat has watched what a Subject names, as far as there are slots, and returns it and those Subjects that others' slots have become free for, or that
// wait for a kind which is watched now. The mutex must be held.
func (o *Observer) seat(subject *iter8v1alpha1.Subject) []types.NamespacedName {
	followers := []types.NamespacedName{keyOf(subject)}
	if _, changed := o.watchFor(subject); changed {
		for _, waiting := range o.slots.queue() {
			if gained, _ := o.watchFor(waiting); gained && keyOf(waiting) != keyOf(subject) {
				followers = append(followers, keyOf(waiting))
			}
		}
	}
	return followers
}

// watchFor has watched what a Subject names, as far as there are slots. It reports whether the Subject has gained or lost some, and whether
// other kinds are watched than before.
func (o *Observer) watchFor(subject *iter8v1alpha1.Subject) (gained, changed bool) {
	follower := keyOf(subject)
	wanted, names := o.interests(subject)
	taken, changed := o.slots.take(follower, wanted)
	o.slots.wait(subject, len(taken) < len(wanted))
	gained = !slices.Equal(taken, o.seated[follower])
	if len(taken) == 0 {
		delete(o.seated, follower)
	} else {
		o.seated[follower] = taken
	}
	names = slices.DeleteFunc(names, func(name watch.Name) bool { return !slices.Contains(taken, name.Target) })
	o.resources.Follow(follower, taken, names)
	return gained, changed
}

// interests returns the kinds and objects that a Subject is judged by, in the order of its spec.
func (o *Observer) interests(subject *iter8v1alpha1.Subject) ([]watch.Target, []watch.Name) {
	var targets []watch.Target
	var names []watch.Name
	add := func(name watch.Name) {
		if !slices.Contains(targets, name.Target) {
			targets = append(targets, name.Target)
		}
		names = append(names, name)
	}
	for _, v := range subject.Spec.Variants {
		for i := range v.Resources {
			ref := &v.Resources[i]
			if o.validate(subject.Namespace, ref) != "" {
				continue
			}
			name := resourceName(subject.Namespace, ref)
			add(name)
			if name.GroupKind() == serviceKind && ref.ReadyWhen == nil {
				add(watch.Name{Target: endpointSlices, Object: name.Object})
			}
		}
	}
	return targets, names
}
