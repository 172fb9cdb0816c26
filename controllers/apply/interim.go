package apply

import (
	"fmt"
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	"iter8.tools/operator/controllers/routes"
)

// interim makes two steps of each that would take something away from an object which others that stand need:
//
//	rule {old} ──► rule {new, old} ──► what named old names new ──► rule {new}
//	               Interim             Whole                        Final
//
// It goes by what stands, so that a plan which was cut off anywhere is gone on with. What is recorded of an object is what it
// was brought to: one that is to stay interim for long is kept without a call, and is never taken for what is rendered.
func interim(owner Owner, steps []Step) ([]Step, error) {
	var finals []Step
	var standing []*unstructured.Unstructured
	for i := range steps {
		step := &steps[i]
		if step.Action != Update || !routes.DefinesSubsets(step.Key.GroupKind) {
			continue
		}
		change, known := step.transition(owner, wantedBy(steps))
		if !known {
			continue
		}
		if standing == nil {
			standing = standingBefore(owner, steps)
		}
		serving, takes := change.Interim(standing)
		if !takes {
			continue
		}
		final := *step
		final.Stage, step.Stage = Final, Interim
		finals = append(finals, final)
		if serving == nil {
			step.Action = Hold
			continue
		}
		serving = claim(owner, serving, step.Entry.Adopted)
		digest, err := digestOf(serving)
		if err != nil {
			return nil, fmt.Errorf("%s %s: %w", step.Key.Kind, step.Key.Name, err)
		}
		step.Manifest, step.Digest = serving, digest
		step.Action = decide(owner, *step)
	}
	return append(steps, finals...), nil
}

// transition returns the change of the object that a step is, and reports whether it is known what stands of it.
func (s Step) transition(owner Owner, wanted []*unstructured.Unstructured) (routes.Transition, bool) {
	from := s.live(owner)
	if from == nil || from.Object["spec"] == nil {
		return routes.Transition{}, false
	}
	return routes.Transition{From: from, To: s.Manifest, Wanted: wanted}, true
}

// live returns the object of a step as the cluster holds it: without a spec where that isn't known; nil where there is none, and for one of a
// kind that has nothing to do with any other.
func (s Step) live(owner Owner) *unstructured.Unstructured {
	if s.Existing == nil || !routes.DefinesSubsets(s.Key.GroupKind) && !routes.NamesSubsets(s.Key.GroupKind) {
		return nil
	}
	kind := schema.FromAPIVersionAndKind(s.Entry.APIVersion, s.Entry.Kind)
	if live := s.Existing.Live(kind, types.NamespacedName{Namespace: owner.Namespace, Name: s.Key.Name}); live != nil {
		return live
	}
	live := &unstructured.Unstructured{Object: map[string]any{}}
	live.SetGroupVersionKind(kind)
	live.SetNamespace(owner.Namespace)
	live.SetName(s.Key.Name)
	return live
}

// standingBefore returns what stands of the steps' objects before they are taken. What a policy doesn't own any more, and doesn't
// render, is none of its plan.
func standingBefore(owner Owner, steps []Step) []*unstructured.Unstructured {
	var standing []*unstructured.Unstructured
	for _, step := range steps {
		if live := step.live(owner); live != nil && step.Action != Release {
			standing = append(standing, live)
		}
	}
	return standing
}

// wantedBy returns what is rendered.
func wantedBy(steps []Step) []*unstructured.Unstructured {
	var wanted []*unstructured.Unstructured
	for _, step := range steps {
		if step.Manifest != nil && step.Stage != Interim {
			wanted = append(wanted, step.Manifest)
		}
	}
	return wanted
}

// changedSubsets reports whether the subsets that the object of a step defines aren't those of its manifest.
func (s Step) changedSubsets() bool {
	if !routes.DefinesSubsets(s.Key.GroupKind) {
		return false
	}
	namespace := s.Manifest.GetNamespace()
	live := s.Existing.Live(s.Manifest.GroupVersionKind(), types.NamespacedName{Namespace: namespace, Name: s.Key.Name})
	if live == nil {
		return true
	}
	return !slices.EqualFunc(routes.Subsets(s.Manifest, namespace), routes.Subsets(live, namespace), func(a, b routes.SubsetDefinition) bool {
		return a.Subset == b.Subset && maps.Equal(a.Labels, b.Labels)
	})
}
