// Package figures collects what tests have measured, to be printed at the end of all: test/verdict shows these lines.
package figures

import (
	"fmt"
	"io"
	"sync"
	"testing"
)

var noted struct {
	sync.Mutex
	lines []string
}

// Note notes what a test has measured.
func Note(t *testing.T, format string, args ...any) {
	t.Helper()
	line := fmt.Sprintf(format, args...)
	t.Log(line)
	noted.Lock()
	defer noted.Unlock()
	noted.lines = append(noted.lines, t.Name()+": "+line)
}

// Print writes all that was noted; it is for TestMain.
func Print(out io.Writer) {
	noted.Lock()
	defer noted.Unlock()
	for _, line := range noted.lines {
		fmt.Fprintln(out, "figure: "+line)
	}
}
