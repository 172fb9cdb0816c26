package failing

import "testing"

func TestZero(t *testing.T) {
	if Zero(1) == 0 {
		t.Error("zero")
	}
}
