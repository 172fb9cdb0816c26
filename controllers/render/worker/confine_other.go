//go:build !linux

package worker

import (
	"os"
	"syscall"
	"time"
)

// confine leaves a developer's machine with the limits of Go's runtime: the stack's, and a soft one of memory.
func confine(uint64) error { return nil }

// private isn't known.
func private(int) uint64 { return 0 }

// started is when this process began, more or less.
var started = time.Now()

// used isn't known; the clock stands in for it.
func used(int) time.Duration { return time.Since(started) }

func keepDescriptors() error { return nil }

func beNice(int) {}

func attributes() *syscall.SysProcAttr { return nil }

func kill(pid int) error {
	process, err := os.FindProcess(pid)
	if err != nil {
		return err
	}
	return process.Kill()
}
