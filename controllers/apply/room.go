package apply

import (
	"encoding/json"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
)

// maxInventorySize is how many bytes an inventory may have as JSON, of the 64 KiB of a status. As many objects as a policy renders have
// less.
const maxInventorySize = 48 << 10

// sizeOf returns how many bytes an entry of the inventory has, with what is added once its object is applied.
func sizeOf(entry iter8v1alpha1.AppliedObject) int {
	const added = 240
	data, err := json.Marshal(entry)
	if err != nil {
		return 0
	}
	if entry.UID == "" {
		return len(data) + added
	}
	return len(data)
}

// makeRoom returns the steps to take in place of a plan's where the inventory can't list what these would create
// beside what it lists already, and a message that says so. Where there is room it returns neither.
//
// What is listed goes on as planned, a mirror that goes above all: only what is new has to wait. Entries without an object
// of ours are dropped, and of the objects that have left the render as many are deleted as have to be, the oldest that can be first.
// There are always enough: a policy renders fewer objects than the inventory can list.
func makeRoom(inventory []iter8v1alpha1.AppliedObject, steps []Step) (room []Step, message string) {
	planned, _ := plannedInventory(inventory, steps)
	count, size, missing := len(planned), 0, 0
	for _, entry := range planned {
		size += sizeOf(entry)
	}
	isFull := func() bool { return count > iter8v1alpha1.MaxApplied || size > maxInventorySize }
	if len(planned) == len(inventory) || !isFull() {
		return nil, ""
	}
	can := fmt.Sprintf("can list %d", iter8v1alpha1.MaxApplied)
	if count <= iter8v1alpha1.MaxApplied {
		can = fmt.Sprintf("has %d bytes", maxInventorySize)
	}
	room = listedSteps(inventory, steps)
	for _, action := range []Action{Release, Delete, Orphan} {
		for _, step := range steps {
			if step.Action != action || step.Needed {
				continue
			}
			if step.Spare = !isFull(); !step.Spare {
				missing++
			}
			room = append(room, step)
			count, size = count-1, size-sizeOf(step.Entry)
		}
	}
	if isFull() {
		return nil, "" // with names that no kind of routes has
	}
	return room, fmt.Sprintf("the inventory, status.applied, lists %d objects and %s, so that none of the %d new ones is applied until %d that left the render are gone",
		len(inventory), can, len(planned)-len(inventory), missing)
}

// listedSteps returns the steps on rendered objects that are listed already. What depends on one that isn't stays as it is.
func listedSteps(inventory []iter8v1alpha1.AppliedObject, steps []Step) []Step {
	listed := make(map[Key]bool, len(inventory))
	for _, entry := range inventory {
		listed[KeyOf(entry)] = true
	}
	var kept []Step
	var missing []*unstructured.Unstructured
	needs := func(step Step) bool {
		return slices.ContainsFunc(missing, func(m *unstructured.Unstructured) bool { return routes.DependsOn(step.Manifest, m) })
	}
	for _, step := range steps {
		switch {
		case step.Action.leaves(), step.Action == Release, step.Action == Conflict, step.Stage == Final:
		case !listed[step.Key]:
			missing = append(missing, step.Manifest)
		case needs(step):
			kept = append(kept, Step{Action: Keep, Key: step.Key, Entry: step.Entry, Existing: step.Existing, Watched: step.Watched})
		default:
			kept = append(kept, step)
		}
	}
	return kept
}
