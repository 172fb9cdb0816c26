package routingpolicy

import (
	"context"
	"errors"
	"slices"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// standing is an object of the policy's as the cluster holds it.
type standing struct {
	kind     schema.GroupVersionKind
	name     types.NamespacedName
	existing *apply.Existing
	object   *unstructured.Unstructured
}

// state is that of the mirrors in the object.
func (o standing) state() iter8v1alpha1.MirrorState {
	if o.existing.Acceptance.Status == metav1.ConditionTrue {
		return iter8v1alpha1.MirrorActive
	}
	return iter8v1alpha1.MirrorUnconfirmed
}

// standing returns the objects of the inventory that stand: as the cache knows them, or as they were read where their kind can't be
// watched.
func (r *Reconciler) standing(s *scope) []standing {
	return slices.DeleteFunc(r.owned(s), func(o standing) bool { return o.object == nil })
}

// owned returns what standing does, and the objects that only the inventory says are the policy's any more, of which nothing else is known.
func (r *Reconciler) owned(s *scope) []standing {
	inventory := s.inventory()
	watched := r.watchedVersions(s, inventory)
	all := slices.Clone(s.unwatched)
	for _, entry := range inventory {
		kind, name := watched[apply.KeyOf(entry).GroupKind], types.NamespacedName{Namespace: s.policy.Namespace, Name: entry.Name}
		if slices.ContainsFunc(all, func(o standing) bool { return o.kind.GroupKind() == kind.GroupKind() && o.name == name }) {
			continue
		}
		if o, ok := s.owns(entry, kind, name, r.Routes.Get(kind, name)); ok {
			all = append(all, o)
		}
	}
	return all
}

// owns returns an object of the inventory as it stands, and reports whether it is there and the policy's.
func (s *scope) owns(entry iter8v1alpha1.AppliedObject, kind schema.GroupVersionKind, name types.NamespacedName, existing *apply.Existing) (standing, bool) {
	if existing == nil || !s.owner().Owns(existing, entry) {
		return standing{}, false
	}
	object, known := s.objects[existing]
	if !known {
		object = existing.Live(kind, name)
		s.objects[existing] = object
	}
	return standing{kind, name, existing, object}, true
}

// inventory is that of what was applied now, else the recorded one.
func (s *scope) inventory() []iter8v1alpha1.AppliedObject {
	if s.result != nil {
		return s.result.Inventory
	}
	return s.recorded()
}

// recorded is the inventory of the status, with what was missing there.
func (s *scope) recorded() []iter8v1alpha1.AppliedObject {
	return slices.Concat(s.policy.Status.Applied, s.unlisted)
}

// withdraw takes out of what stands the mirrors that may not stand, and narrows those that may have less, whatever became of all
// else. What was applied as it was gated has none, but for what others made of it.
func (r *Reconciler) withdraw(ctx context.Context, s *scope) {
	if !s.decides() {
		return
	}
	all := r.standing(s)
	decisions := r.decideStanding(s, all)
	changed := false
	for _, o := range all {
		own := decisions
		if s.appliedAsGated(o) {
			own = s.decisions // what stands of DestinationRules may be others'
		}
		if altered := s.widened(o); len(altered) > 0 {
			own = decisions.Withholding(altered)
		}
		changed = r.edit(ctx, s, o, own) || changed
	}
	if changed && len(s.unwatched) > 0 {
		r.readUnwatched(ctx, s)
	}
}

// appliedAsGated reports whether an object stands as it was gated now.
func (s *scope) appliedAsGated(o standing) bool {
	key := apply.Key{GroupKind: o.kind.GroupKind(), Name: o.name.Name}
	return s.gated != nil && s.result != nil && s.result.Applied[key]
}

// decides reports whether something is known by which to decide about mirrors.
func (s *scope) decides() bool { return s.subject != nil || len(s.withheld) > 0 }

func objectsOf(all []standing) []*unstructured.Unstructured {
	objects := make([]*unstructured.Unstructured, 0, len(all))
	for _, o := range all {
		objects = append(objects, o.object)
	}
	return objects
}

// edit edits one object, twice where it wasn't what the cache has of it, and reports whether it has changed it.
func (r *Reconciler) edit(ctx context.Context, s *scope, o standing, decisions mirrors.Decisions) bool {
	var failure *apply.Failure
	for range 2 {
		patch, report := mirrors.Edit(o.object, decisions)
		r.noteUnobserved(s, report)
		if len(patch) == 0 || r.futile(s, report) {
			s.decide(report)
			return false
		}
		edit := apply.Edit{Kind: o.kind, Object: o.name, UID: o.existing.UID, Patch: patch, Accounts: r.accounts(s)}
		if failure = r.Executor.Edit(ctx, edit); failure == nil {
			s.decide(report)
			s.edited[routes.Name(o.kind.Kind, o.name.Name)] = true
			s.withdrawn = append(s.withdrawn, withheldOf(report)...)
			return true
		}
		if !apierrors.IsInvalid(failure.Err) {
			break
		}
		existing, err := r.Executor.Read(ctx, r.Accounts.Own(), o.kind, o.name)
		if err != nil || existing == nil || existing.UID != o.existing.UID {
			break
		}
		if o.object = existing.Live(o.kind, o.name); o.object == nil {
			break
		}
	}
	s.inputs = "" // for the next reconcile to look at what stands
	reason := iter8v1alpha1.ReasonApplyFailed
	switch {
	case !failure.Until.IsZero():
		reason = iter8v1alpha1.ReasonContended
		s.retryAfter(failure.Until.Sub(s.now))
	case apierrors.IsForbidden(failure.Err):
		reason = iter8v1alpha1.ReasonForbidden
	}
	s.notEdited(reason, errors.New(failure.Message))
	return false
}

// notEdited records why mirrors could not be taken out. For a suspended policy the condition Applied is that of what stands, which nothing would
// put right after the next try.
func (s *scope) notEdited(reason string, err error) {
	const condition = iter8v1alpha1.ConditionApplied
	applied, kept := s.reports[condition]
	s.fail(condition, reason, err)
	if s.suspended == "" {
		return
	}
	failed := s.reports[condition]
	s.editFailed = &failed
	delete(s.reports, condition)
	if kept {
		s.reports[condition] = applied
	}
}

// decide keeps what the mirrors of an object that stands were left at most.
func (s *scope) decide(report []mirrors.Mirror) {
	for _, m := range report {
		if most, ok := s.decided[keyOf(m.Mirror)]; !ok || percentOf(m.Mirror) > most {
			s.decided[keyOf(m.Mirror)] = percentOf(m.Mirror)
		}
	}
}

// futile reports whether all that is to be taken out or narrowed was put back by others when that was tried last, and it isn't time to try
// again.
func (r *Reconciler) futile(s *scope, report []mirrors.Mirror) bool {
	for _, m := range report {
		if m.Percent == m.Asked {
			continue
		}
		if i := slices.IndexFunc(s.policy.Status.Mirrors, func(was iter8v1alpha1.Mirror) bool {
			return keyOf(was) == keyOf(m.Mirror) && isPutBack(was) && s.alteredFor(was) > 0 && r.untilPutOut(s, was) > 0
		}); i < 0 {
			return false
		}
	}
	return true
}

func withheldOf(report []mirrors.Mirror) []mirrors.Mirror {
	var withheld []mirrors.Mirror
	for _, m := range report {
		if m.Withheld() {
			withheld = append(withheld, m)
		}
	}
	return withheld
}

// accounts are those that take mirrors out: the policy's, and where that is refused the operator's own.
func (r *Reconciler) accounts(s *scope) []*apply.Account {
	own := r.Accounts.Own()
	account, err := r.Accounts.For(s.policy.Namespace, s.policy.Spec.ServiceAccountName)
	if err != nil || account == own {
		return []*apply.Account{own}
	}
	return []*apply.Account{account, own}
}

// readUnwatched reads the objects of the inventory whose kind can't be watched, one by one, which no flip has to wait for. Of one that is
// about to be watched nothing is known for a moment.
func (r *Reconciler) readUnwatched(ctx context.Context, s *scope) {
	s.unwatched, s.unread = nil, map[string]bool{}
	inventory := s.inventory()
	watched := r.watchedVersions(s, inventory)
	for _, entry := range inventory {
		kind, name := watched[apply.KeyOf(entry).GroupKind], types.NamespacedName{Namespace: s.policy.Namespace, Name: entry.Name}
		state := r.Routes.State(kind, name.Namespace)
		if state.Synced {
			continue
		}
		route := routes.Name(entry.Kind, entry.Name)
		if state.Pending() || errors.Is(state.Err, watch.ErrNotServed) { // in no version, of which its watch asks the cluster again
			s.unread[route] = true
			continue
		}
		existing, err := r.Executor.Read(ctx, r.Accounts.Own(), kind, name)
		if err != nil {
			s.unread[route] = true // the condition Applied says that the kind can't be read
			if s.err == nil && s.decides() && s.mayMirror(route) && !errors.Is(state.Err, watch.ErrNotServed) {
				s.err = err // no event tells when it can be read
			}
			continue
		}
		if o, ok := s.owns(entry, kind, name, existing); ok && o.object != nil {
			s.unwatched = append(s.unwatched, o)
		}
	}
	if len(s.unwatched) > 0 {
		s.triedUnwatched()
	}
}

// mayMirror reports whether a mirror stood in a route when that was last known.
func (s *scope) mayMirror(route string) bool {
	return slices.ContainsFunc(s.policy.Status.Mirrors, func(m iter8v1alpha1.Mirror) bool {
		return m.Route == route && m.State != iter8v1alpha1.MirrorWithheld
	})
}

// widened returns the mirrors of an object that stand for more than was applied, or that weren't applied: others have changed what the
// operator sent.
func (s *scope) widened(o standing) []mirrors.Withholding {
	if !s.appliedAsGated(o) {
		return nil
	}
	sent := map[mirrorKey]float64{}
	for _, m := range s.sentTo(o) {
		sent[keyOf(m.Mirror)] += percentOf(m.Mirror)
	}
	var widened []mirrors.Withholding
	for _, m := range asTheyStand(o.object, s.policy.Namespace) {
		if percentOf(m.Mirror) > sent[keyOf(m.Mirror)] {
			widened = append(widened, mirrors.Withholding{Route: m.Route, To: m.To, Reason: iter8v1alpha1.ReasonAltered, Message: alteration})
		}
	}
	return widened
}

// sentTo returns the mirrors of an object as they were sent: each in its place, as those of the live object are.
func (s *scope) sentTo(o standing) []mirrors.Mirror {
	for _, manifest := range s.gated.Manifests {
		if manifest.GroupVersionKind().GroupKind() == o.kind.GroupKind() && manifest.GetName() == o.name.Name {
			return asTheyStand(manifest, s.policy.Namespace)
		}
	}
	return nil
}

// asTheyStand returns the mirrors of an object as it is.
func asTheyStand(object *unstructured.Unstructured, namespace string) []mirrors.Mirror {
	_, report := mirrors.Edit(object, mirrors.Decide(mirrors.Input{Namespace: namespace}))
	return report
}
