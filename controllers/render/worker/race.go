//go:build race

package worker

// raceFactor is how much more memory and time the race detector takes.
const raceFactor = 4

// environment has a child die of a data race: what it says then is its last words, and nothing else that it writes is shown.
var environment = []string{"GORACE=halt_on_error=1"}
