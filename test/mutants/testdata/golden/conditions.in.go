// Package golden has one of each thing that is changed, and of each that isn't.
package golden

import "errors"

type flag bool

type point struct{ x, y int }

var debug = level > 2 && !quiet

var level, quiet = 1, false

const fixed = 1 > 0 && true

func conditions(a, b, c bool, n int) string {
	if a && (b && c) || !a {
		return "chain"
	}
	if err := fail(n); err != nil && !errors.Is(err, errFailed) {
		return err.Error()
	} else if n == 1 {
		return "one"
	}
	if p := (point{n, n}); p == (point{1, 2}) || !(p.x == 3) {
		return "composite"
	}
	for i := 0; i < n; i++ {
		if !a {
			continue
		}
		n -= i
	}
	switch {
	case n > 3, a == b:
		return "case"
	case fixed:
		return "constant"
	default:
		return "default"
	}
}

func operands(named flag, other flag, x, y float64, names []string) flag {
	same := named == other
	return named && (x <= y) == bool(other) ||
		len(names) > 1 &&
			flag(same)
}

func lengths(names []string, size uint) bool {
	if len(names) > 0 {
		return true
	}
	if 0 < size && len(names) >= 1 {
		return 0 >= len(names)
	}
	if !(len(names) <= 0) || size >= 0 || 0 >= cap(names) || 1 < len(names) {
		return len(names) <= 0 && 0 <= size
	}
	return names[0] < "b"
}

func generic[T ~int | ~string](a, b T) bool {
	return a < b || a != b
}

var errFailed = errors.New("failed")

func fail(n int) error {
	if n > 0 {
		return errFailed
	}
	return nil
}
