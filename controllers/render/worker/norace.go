//go:build !race

package worker

const raceFactor = 1

// environment of a child is empty, where nil would be the operator's own.
var environment = []string{}
