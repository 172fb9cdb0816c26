//go:build !linux

package dataplane

import (
	"context"
	"fmt"
	"os"
	"runtime"
)

// Isolated is false: network namespaces are Linux's.
func Isolated() bool { return false }

// RunIsolated returns ErrNotIsolated.
func RunIsolated(context.Context, ...*os.File) (int, error) { return 0, Isolate() }

// Isolate returns ErrNotIsolated.
func Isolate() error {
	return fmt.Errorf("%w on %s", ErrNotIsolated, runtime.GOOS)
}
