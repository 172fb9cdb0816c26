package tiny

import "testing"

func TestGrade(t *testing.T) {
	for want, points := range map[string][]int{"good": {6, 6}, "fair": {1, 5}, "poor": {1}} {
		if got := Grade(points); got != want {
			t.Errorf("%v is %s, not %s", points, got, want)
		}
	}
	if Grade([]int{1, 6}) != "poor" {
		t.Error("5 is not 6")
	}
}

func TestCount(t *testing.T) {
	if Count(2) != 2 {
		t.Error("miscounted")
	}
}

func TestLog(*testing.T) { Log(nil) }
