package apply

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
)

// numbered are the names PREFIX-FROM to PREFIX-TO.
func numbered(prefix string, from, to int) []string {
	var names []string
	for i := from; i <= to; i++ {
		names = append(names, fmt.Sprintf("%s-%d", prefix, i))
	}
	return names
}

func backwards(names []string) []string {
	reversed := slices.Clone(names)
	slices.Reverse(reversed)
	return reversed
}

func TestAFullInventoryGetsRoomBeforeAnythingNewIsApplied(t *testing.T) {
	last, older, next := numbered("last", 1, 50), numbered("older", 1, 70), numbered("next", 1, 50)
	for name, test := range map[string]struct {
		rendered []string
		// gone are those of the 120 that are listed of which the cluster holds nothing.
		gone    []string
		deleted []string
		listed  []string
		message string
	}{
		"all fits in it": {rendered: next[:8]},
		"one object doesn't": {next[:9], nil, []string{"older-70"}, slices.Concat(last, older[:69]),
			"the inventory, status.applied, lists 120 objects and can list 128, so that none of the 9 new ones is applied until 1 that left the render are gone"},
		"none that is new does: the oldest go": {next, nil, backwards(numbered("older", 29, 70)), slices.Concat(last, older[:28]),
			"the inventory, status.applied, lists 120 objects and can list 128, so that none of the 50 new ones is applied until 42 that left the render are gone"},
		"what is rendered still is among what is listed": {slices.Concat(last[:10], next[:40]), nil, backwards(numbered("older", 39, 70)), slices.Concat(last, older[:38]),
			"the inventory, status.applied, lists 120 objects and can list 128, so that none of the 40 new ones is applied until 32 that left the render are gone"},
		"some of what is listed was never applied": {next, last[:20], backwards(numbered("older", 49, 70)), slices.Concat(last[20:], older[:48]),
			"the inventory, status.applied, lists 120 objects and can list 128, so that none of the 50 new ones is applied until 42 that left the render are gone"},
		"enough of what is listed was never applied": {next, last, nil, older,
			"the inventory, status.applied, lists 120 objects and can list 128, so that none of the 50 new ones is applied until 42 that left the render are gone"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			inventory, cluster := listedAs(slices.Concat(last, older)...)
			for _, gone := range test.gone {
				delete(cluster, gone)
			}
			room, message := makeRoom(inventory, w.plan(routesNamed(test.rendered...), inventory, cluster))
			w.Expect(message).To(Equal(test.message))
			if message == "" {
				w.Expect(room).To(BeNil())
				return
			}
			_, differs := plannedInventory(inventory, room)
			w.Expect(differs).To(BeFalse(), "nothing new is listed")
			result := w.execute(t, room)
			calls := []string{}
			applied := map[Key]bool{}
			for _, name := range test.rendered {
				if slices.Contains(last, name) { // what is listed goes on, whatever waits for room
					calls = append(calls, "patch "+name)
					applied[Key{routeKind.GroupKind(), name}] = true
				}
			}
			for _, deleted := range test.deleted {
				calls = append(calls, "delete "+deleted)
			}
			w.Expect(w.calls()).To(Equal(calls))
			w.Expect(listed(result.Inventory)).To(Equal(test.listed))
			w.Expect(result.Applied).To(Equal(applied))
			w.Expect(result.Failures).To(BeEmpty())
		})
	}
}

func TestAnObjectThatCanNotBeDeletedDoesNotKeepAllRoom(t *testing.T) {
	w := newWorld(t)
	inventory, cluster := listedAs(numbered("older", 1, 128)...)
	w.answers["older-128"] = errors.New("not today")
	room, message := makeRoom(inventory, w.plan(routesNamed("next"), inventory, cluster))
	w.Expect(message).NotTo(BeEmpty())
	result := w.execute(t, room)
	w.Expect(w.calls()).To(Equal([]string{"delete older-128", "delete older-127"}))
	w.Expect(result.Failures).To(HaveLen(1))
	w.Expect(result.Inventory).To(HaveLen(127))
	w.Expect(result.Inventory[126].Name).To(Equal("older-128"), "it is still the oldest")
}

// Names of 253 characters make as many objects too large for a status.
func TestAnInventoryIsFullInBytesToo(t *testing.T) {
	g := NewWithT(t)
	long := func(prefix string, n int) []string {
		var names []string
		for i := range n {
			names = append(names, fmt.Sprintf("%s-%0*d", prefix, 252-len(prefix), i))
		}
		return names
	}
	w := newWorld(t)
	old, next := long("old", 100), long("next", 50)
	inventory, cluster := listedAs(old...)
	room, message := makeRoom(inventory, w.plan(routesNamed(next...), inventory, cluster))
	g.Expect(message).To(MatchRegexp(`^the inventory, status.applied, lists 100 objects and can list 128, so that none of the 50 new ones is applied until \d\d that left the render are gone$`))
	g.Expect(room).NotTo(BeEmpty())

	inventory, cluster = listedAs(old[:70]...)
	room, message = makeRoom(inventory, w.plan(routesNamed(next...), inventory, cluster))
	g.Expect(message).To(MatchRegexp(`^the inventory, status.applied, lists 70 objects and has 49152 bytes, so that none of the 50 new ones is applied until \d\d that left the render are gone$`))
	g.Expect(room).NotTo(BeEmpty())

	inventory, cluster = listedAs(next...)
	room, message = makeRoom(inventory, w.plan(routesNamed(next...), inventory, cluster))
	g.Expect(room).To(BeNil(), "what a policy renders fits")
	g.Expect(message).To(BeEmpty())
}
