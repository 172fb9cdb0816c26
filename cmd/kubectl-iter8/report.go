package main

import (
	"fmt"
	"io"
)

// report writes what there is to tell, as "where: what".
type report struct {
	errOut  io.Writer
	verbose bool
	failed  bool
}

func (r *report) fail(where, message string) {
	r.failed = true
	r.write(where, "error", message)
}

func (r *report) warn(where, message string) { r.write(where, "warning", message) }

func (r *report) note(where, message string) {
	if r.verbose {
		r.write(where, "note", message)
	}
}

func (r *report) write(where, level, message string) {
	if where != "" {
		where += ": "
	}
	fmt.Fprintf(r.errOut, "%s%s: %s\n", where, level, message)
}
