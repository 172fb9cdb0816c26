// Package failing has a test that fails without any mutant.
package failing

// Zero returns what the test doesn't want.
func Zero(a int) int { return a - a }
