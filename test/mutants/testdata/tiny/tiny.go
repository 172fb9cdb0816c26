// Package tiny has mutants that its tests notice, others that they don't, and some that they don't reach.
package tiny

// Grade is tested, save at the boundary of 10, and for a nil list.
func Grade(points []int) string {
	sum := 0
	for i := 0; i < len(points); i++ {
		sum += points[i]
	}
	if sum > 10 {
		return "good"
	}
	if len(points) > 1 && points[1] == 5 {
		return "fair"
	}
	return "poor"
}

// Count counts to n, and never ends without what it repeats.
func Count(n int) int {
	i := 0
	for i < n {
		i++
	}
	return i
}

// Log is called, and what it returns isn't looked at.
func Log(lines []string) []string {
	lines = append(lines, "end")
	return lines
}

// Unused is reached by no test.
func Unused(a, b int) bool { return a == b }
