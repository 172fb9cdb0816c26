package apply

import (
	"fmt"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// MakeRoom returns the steps to take in place of a plan's where the inventory can't list what these would create
// beside what it lists already, and a message that says so. Where there is room it returns neither.
//
// Nothing that is rendered is touched before there is room. Entries without an object of ours are dropped, and of the
// objects that have left the render as many are deleted as have to be, the oldest first. There are always enough: a
// policy renders fewer objects than the inventory can list. What was applied last goes last, so that it stands until
// what takes its place does.
func MakeRoom(inventory []iter8v1alpha1.AppliedObject, steps []Step) (room []Step, message string) {
	announced, _ := Announced(inventory, steps)
	missing := len(announced) - iter8v1alpha1.MaxApplied
	if missing <= 0 {
		return nil, ""
	}
	message = fmt.Sprintf("the inventory, status.applied, lists %d objects and can list %d, so that none of the %d new ones is applied until %d that left the render are gone",
		len(inventory), iter8v1alpha1.MaxApplied, len(announced)-len(inventory), missing)
	going := map[Key]bool{}
	for _, action := range []Action{Release, Delete} {
		for _, step := range steps {
			if step.Action == action && (action == Release || missing > 0) {
				room = append(room, step)
				going[step.Key] = true
				missing--
			}
		}
	}
	kept := make([]Step, 0, len(inventory))
	for _, entry := range inventory {
		if key := KeyOf(entry); !going[key] {
			kept = append(kept, Step{Action: Keep, Key: key, Entry: entry})
		}
	}
	return append(kept, room...), message
}
