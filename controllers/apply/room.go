package apply

import (
	"fmt"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// makeRoom returns the steps to take in place of a plan's where the inventory can't list what these would create
// beside what it lists already, and a message that says so. Where there is room it returns neither.
//
// What is listed goes on as planned, a mirror that goes above all: only what is new has to wait. Entries without an object
// of ours are dropped, and of the objects that have left the render as many are deleted as have to be, the oldest that can be first.
// There are always enough: a policy renders fewer objects than the inventory can list.
func makeRoom(inventory []iter8v1alpha1.AppliedObject, steps []Step) (room []Step, message string) {
	planned, _ := plannedInventory(inventory, steps)
	missing := len(planned) - iter8v1alpha1.MaxApplied
	if missing <= 0 {
		return nil, ""
	}
	message = fmt.Sprintf("the inventory, status.applied, lists %d objects and can list %d, so that none of the %d new ones is applied until %d that left the render are gone",
		len(inventory), iter8v1alpha1.MaxApplied, len(planned)-len(inventory), missing)
	room = listedSteps(inventory, steps)
	for _, action := range []Action{Release, Delete} {
		for _, step := range steps {
			if step.Action == action {
				step.Spare = missing <= 0
				room = append(room, step)
				missing--
			}
		}
	}
	return room, message
}

// listedSteps returns the steps on rendered objects that are listed already. What refers to one that isn't stays as it is.
func listedSteps(inventory []iter8v1alpha1.AppliedObject, steps []Step) []Step {
	listed := make(map[Key]bool, len(inventory))
	for _, entry := range inventory {
		listed[KeyOf(entry)] = true
	}
	var kept []Step
	missing := false
	for _, step := range steps {
		switch {
		case step.Action == Delete, step.Action == Release, step.Action == Conflict:
		case !listed[step.Key]:
			missing = missing || isReferredTo(step.Key.Kind)
		case missing && refers(step.Key.Kind):
			kept = append(kept, Step{Action: Keep, Key: step.Key, Entry: step.Entry, Existing: step.Existing, Watched: step.Watched})
		default:
			kept = append(kept, step)
		}
	}
	return kept
}
