//go:build race

package worker

// raceFactor is how much more memory the race detector takes.
const raceFactor = 4
