package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// render returns a file's source with the edits of its mutants. No line is added.
func render(src []byte, mutants []*mutant) []byte {
	type change struct {
		edit
		id int
	}
	var changes []change
	for _, m := range mutants {
		for _, e := range m.edits {
			changes = append(changes, change{e, m.id})
		}
	}
	// What ends at a place ends before anything else begins there. What has the lower number is the outer one.
	slices.SortFunc(changes, func(a, b change) int {
		switch {
		case a.at != b.at:
			return cmp.Compare(a.at, b.at)
		case a.shuts != b.shuts:
			if a.shuts {
				return -1
			}
			return 1
		case a.shuts:
			return cmp.Compare(b.id, a.id)
		default:
			return cmp.Compare(a.id, b.id)
		}
	})
	var out strings.Builder
	done := 0
	for _, c := range changes {
		out.Write(src[done:c.at])
		out.WriteString(c.text)
		done = c.at + c.length
	}
	out.Write(src[done:])
	return []byte(out.String())
}

// support returns the file that a package with mutants has in addition. The process's environment says which
// mutant is on, and where to note those that are reached.
func support(packageName string, highest int) []byte {
	return fmt.Appendf(nil, supportSource, packageName, highest+1)
}

const supportSource = `package %s

import (
	mutantscmp "cmp"
	mutantsos "os"
	mutantsstrconv "strconv"
	mutantsatomic "sync/atomic"
)

var (
	mutantsActive, _ = mutantsstrconv.Atoi(mutantsos.Getenv("` + activeVariable + `"))
	mutantsNotes     = mutantsOpen(mutantsos.Getenv("` + reachedVariable + `"))
	mutantsReached   [%d]mutantsatomic.Bool
)

func mutantsOpen(name string) *mutantsos.File {
	if name == "" {
		return nil
	}
	notes, err := mutantsos.OpenFile(name, mutantsos.O_APPEND|mutantsos.O_CREATE|mutantsos.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	return notes
}

func mutantsOn(id int) int {
	if mutantsNotes != nil && !mutantsReached[id].Load() && !mutantsReached[id].Swap(true) {
		if _, err := mutantsNotes.WriteString(mutantsstrconv.Itoa(id) + "\n"); err != nil {
			panic(err)
		}
	}
	if id == mutantsActive {
		return 1
	}
	return 0
}

func mutantsLess[T mutantscmp.Ordered](id int, a, b T) bool {
	on := mutantsOn(id) == 1
	return a < b || on && a == b
}

func mutantsLessOrEqual[T mutantscmp.Ordered](id int, a, b T) bool {
	on := mutantsOn(id) == 1
	return a < b || !on && a == b
}

func mutantsGreater[T mutantscmp.Ordered](id int, a, b T) bool {
	on := mutantsOn(id) == 1
	return a > b || on && a == b
}

func mutantsGreaterOrEqual[T mutantscmp.Ordered](id int, a, b T) bool {
	on := mutantsOn(id) == 1
	return a > b || !on && a == b
}

type mutantsNumber interface {
	~int | ~int8 | ~int16 | ~int32 | ~int64 | ~uint | ~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uintptr |
		~float32 | ~float64 | ~complex64 | ~complex128
}

func mutantsAdd[T mutantsNumber](id int, a, b T) T {
	if mutantsOn(id) == 1 {
		return a - b
	}
	return a + b
}

func mutantsSubtract[T mutantsNumber](id int, a, b T) T {
	if mutantsOn(id) == 1 {
		return a + b
	}
	return a - b
}
`
