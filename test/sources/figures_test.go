package sources

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// figures are what tests have measured, to be printed at the end of all.
var figures struct {
	sync.Mutex
	lines []string
}

// figure notes what a test has measured.
func figure(t *testing.T, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	t.Log(line)
	figures.Lock()
	defer figures.Unlock()
	figures.lines = append(figures.lines, t.Name()+": "+line)
}

func printFigures() {
	figures.Lock()
	defer figures.Unlock()
	for _, line := range figures.lines {
		fmt.Fprintln(os.Stdout, "figure: "+line)
	}
}
