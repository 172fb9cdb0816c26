package apply

import (
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
)

// execution is how far the steps of a plan are taken.
type execution struct {
	owner Owner
	steps []Step
	// before are the objects of the steps as the cluster held them; they are read once one of them may have to be kept.
	before []*unstructured.Unstructured
	// outcomes of the steps that were taken or passed over.
	outcomes []outcome
	result   Result
	// rendered is how many entries of the inventory are of rendered objects, which come first.
	rendered int
	// unfinished: not all that is rendered stands.
	unfinished bool
	// wanting is how many spare deletions are to take the place of others.
	wanting int
}

// outcome of a step.
type outcome struct {
	// entry that the inventory is to hold of the object, nil for none.
	entry   *iter8v1alpha1.AppliedObject
	failure *Failure
	// tried: it was taken. A step that isn't may have no failure of its own.
	tried bool
	// waitsFor is the object that a step wasn't taken for.
	waitsFor Key
}

// pass returns the outcome of a step that isn't to be taken, nil for one that is.
func (e *execution) pass(step Step) *outcome {
	switch {
	case step.Action.leaves():
		blocked := e.unfinished || len(e.result.Failures) > 0 && routes.DefinesSubsets(step.Key.GroupKind) || step.Spare && e.wanting == 0
		if blocked {
			return &outcome{entry: &step.Entry}
		}
		if step.Action == Orphan { // of which nothing is taken away
			return nil
		}
		return e.passDelete(step)
	case step.Stage == Final:
		return e.passFinal(step)
	case len(step.Action.verbs()) == 0:
		return nil
	}
	for i, o := range e.outcomes {
		on := e.steps[i]
		if on.Manifest == nil || o.failure == nil && on.Action != Hold || !routes.DependsOn(step.Manifest, on.Manifest) {
			continue
		}
		failure := &Failure{Reason: iter8v1alpha1.ReasonSubsetInUse,
			Message: fmt.Sprintf("%s %s is not applied before %s %s, on which it depends", step.Key.Kind, step.Key.Name, on.Key.Kind, on.Key.Name)}
		if o.failure != nil {
			failure.Reason = o.failure.Reason
		}
		return &outcome{entry: &step.Entry, failure: failure, waitsFor: on.Key}
	}
	return nil
}

// passDelete keeps an object that others need.
func (e *execution) passDelete(step Step) *outcome {
	_, why := e.user(step)
	if why == "" {
		return nil
	}
	return &outcome{entry: &step.Entry, failure: &Failure{Reason: iter8v1alpha1.ReasonSubsetInUse,
		Message: fmt.Sprintf("%s %s is not deleted, since %s", step.Key.Kind, step.Key.Name, why)}}
}

// passFinal keeps an object as it is while others need it so. Of these, the failure of one that isn't brought to what is rendered
// says enough, but where that waits for the object itself.
func (e *execution) passFinal(step Step) *outcome {
	interim := e.outcomes[e.index(step.Key)]
	skipped := &outcome{entry: interim.entry}
	if interim.failure != nil {
		return skipped
	}
	user, why := e.user(step)
	switch {
	case user == nil:
		return nil
	case user.failure == nil:
		skipped.failure = &Failure{Reason: iter8v1alpha1.ReasonSubsetInUse,
			Message: fmt.Sprintf("%s %s is not changed to what is rendered, since %s", step.Key.Kind, step.Key.Name, why)}
	case user.waitsFor == step.Key:
		skipped.failure = &Failure{Reason: iter8v1alpha1.ReasonSubsetInUse, Message: fmt.Sprintf(
			"%s %s is not changed to what is rendered, since %s and depends on the change; render an object of another name in its place", step.Key.Kind, step.Key.Name, why)}
	}
	return skipped
}

// index returns the position of the first step on an object.
func (e *execution) index(key Key) int {
	return slices.IndexFunc(e.steps, func(s Step) bool { return s.Key == key })
}

// user returns the outcome of the step on an object that needs what a step takes away, and a sentence that says so; nil for none.
func (e *execution) user(step Step) (*outcome, string) {
	if !routes.DefinesSubsets(step.Key.GroupKind) {
		return nil, ""
	}
	change, known := step.transition(e.owner, wantedBy(e.steps))
	if !known {
		return nil, ""
	}
	var standing, rules []*unstructured.Unstructured
	for i := range e.steps {
		objects, certain := e.standing(i)
		standing = append(standing, objects...)
		if certain && e.steps[i].Key != step.Key {
			rules = append(rules, objects...)
		}
	}
	user, why := change.User(standing, rules)
	if user == nil {
		return nil, ""
	}
	i := e.index(Key{GroupKind: user.GroupVersionKind().GroupKind(), Name: user.GetName()})
	if i >= len(e.outcomes) {
		return &outcome{}, why
	}
	return &e.outcomes[i], why
}

// standing returns what stands of the object of a step now, and reports whether that is certain: where a write failed, it may be either
// of two.
func (e *execution) standing(i int) (objects []*unstructured.Unstructured, certain bool) {
	step, o := e.steps[i], outcome{}
	if i < len(e.outcomes) {
		o = e.outcomes[i]
	}
	done := o.tried && o.failure == nil
	if step.Action == Release || done && step.Action == Delete {
		return nil, true
	}
	written := step.Manifest != nil && step.Action != Hold && (done || o.tried && len(step.Action.verbs()) > 0)
	if written {
		objects = append(objects, step.Manifest)
	}
	if e.before == nil {
		for _, s := range e.steps {
			e.before = append(e.before, s.live(e.owner))
		}
	}
	if live := e.before[i]; live != nil && (!written || !done) {
		objects = append(objects, live)
	}
	return objects, o.failure == nil
}

// add adds the outcome of a step.
func (e *execution) add(step Step, o outcome) {
	e.outcomes = append(e.outcomes, o)
	switch {
	case o.entry == nil:
	case step.Stage == Final && (!o.tried || o.failure != nil):
		// What is recorded is what the step before has brought it to.
	case step.Stage == Final:
		at := slices.IndexFunc(e.result.Inventory, func(entry iter8v1alpha1.AppliedObject) bool { return KeyOf(entry) == step.Key })
		e.result.Inventory[at] = *o.entry
	default:
		e.result.Inventory = append(e.result.Inventory, *o.entry)
	}
	if o.failure != nil {
		e.result.Failures = append(e.result.Failures, *o.failure)
	}
	switch {
	case step.Stage == Final, step.Action == Release:
	case step.Action.leaves():
		e.countSpare(step, o)
	default:
		// What is kept whatever comes of it leaves nothing to wait for.
		e.rendered, e.unfinished = len(e.result.Inventory), e.unfinished || o.failure != nil && step.Action != Keep
	}
	if o.tried && o.failure == nil && step.Action == Delete {
		e.result.Deleted = append(e.result.Deleted, step)
	}
	if o.tried && o.failure == nil && step.Manifest != nil && step.Stage != Interim {
		e.result.Applied[step.Key] = true
	}
}

// countSpare counts the spare deletions that have to take the place of one that failed.
func (e *execution) countSpare(step Step, o outcome) {
	switch {
	case o.failure != nil && !step.Spare:
		e.wanting++
	case o.failure == nil && step.Spare && o.tried:
		e.wanting--
	}
}
