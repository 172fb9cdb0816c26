// verdict reads what go test -json writes and prints what a person wants to see of it: the output of tests
// that failed or were skipped, the tests that took long, and go test's own line for each package:
//
//	go test -json PACKAGES | verdict PACKAGE-WITH-TESTS...
//
// It exits with 0 only if every package that is named ran a test, and all passed. A skipped test counts as failed, since it
// proves nothing, and so does a package whose TestMain exits without running its tests.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// slowSeconds is from when on a test that passed is worth a line, so that people see that it moves.
const slowSeconds = 5

// figure begins a line of TestMain that says what its tests have measured.
const figure = "figure: "

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "verdict: name the packages that have tests, as go list does")
		os.Exit(2)
	}
	v := verdict{out: os.Stdout, output: map[test][]string{}, ran: map[string]bool{}, expected: os.Args[1:]}
	if err := v.read(os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "verdict:", err)
		os.Exit(1)
	}
	if err := v.sum(); err != nil {
		fmt.Fprintln(os.Stderr, "FAIL:", err)
		os.Exit(1)
	}
}

// event is a line of go test -json: https://pkg.go.dev/cmd/test2json, and `go help buildjson`.
type event struct {
	Action     string
	Package    string
	ImportPath string
	Test       string
	Elapsed    float64
	Output     string
}

// test is one test, or a package where the name is empty.
type test struct{ pkg, name string }

type verdict struct {
	out    io.Writer
	output map[test][]string // of tests and packages that haven't ended

	expected []string        // packages that have tests
	ran      map[string]bool // packages of which a test has ended
	passed   int
	packages int
	failed   []string
	skipped  []string
}

func (v *verdict) read(events io.Reader) error {
	lines := bufio.NewReader(events)
	for {
		line, err := lines.ReadBytes('\n')
		if len(line) > 0 {
			var e event
			if json.Unmarshal(line, &e) != nil {
				fmt.Fprint(v.out, string(line)) // go itself has something to say
			} else {
				v.take(e)
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the tests' output: %w", err)
		}
	}
}

func (v *verdict) take(e event) {
	t := test{e.Package, e.Test}
	switch e.Action {
	case "build-output":
		fmt.Fprint(v.out, e.Output)
	case "output":
		v.output[t] = append(v.output[t], e.Output)
	case "pass", "fail", "skip":
		if e.Test == "" {
			v.endPackage(t, e.Action)
		} else {
			v.endTest(t, e)
		}
	}
}

func (v *verdict) endTest(t test, e event) {
	v.ran[t.pkg] = true
	switch e.Action {
	case "pass":
		v.passed++
		if e.Elapsed >= slowSeconds && !strings.Contains(t.name, "/") {
			fmt.Fprintf(v.out, "--- PASS: %s (%.1fs)\n", t.name, e.Elapsed)
		}
	case "fail":
		v.failed = append(v.failed, t.pkg+"."+t.name)
		v.print(t)
	case "skip":
		v.skipped = append(v.skipped, t.pkg+"."+t.name)
		v.print(t)
	}
	delete(v.output, t)
}

// endPackage prints go test's closing line, what was measured, and all there is where the package failed: what TestMain wrote,
// and what a test wrote that was cut off by a panic.
func (v *verdict) endPackage(t test, action string) {
	switch action {
	case "pass":
		v.packages++
		for _, line := range v.output[t] {
			if strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, figure) {
				fmt.Fprint(v.out, line)
			}
		}
	case "fail":
		v.packages++
		v.failed = append(v.failed, t.pkg)
		for unfinished := range v.output {
			if unfinished.pkg == t.pkg && unfinished.name != "" {
				v.print(unfinished)
				delete(v.output, unfinished)
			}
		}
		v.print(t)
	}
	delete(v.output, t)
}

func (v *verdict) print(t test) {
	for _, line := range v.output[t] {
		if !strings.HasPrefix(line, "=== ") {
			fmt.Fprint(v.out, line)
		}
	}
}

// sum prints the closing line, and returns an error unless tests ran and all passed.
func (v *verdict) sum() error {
	fmt.Fprintf(v.out, "%d packages, %d tests passed, %d skipped\n", v.packages, v.passed, len(v.skipped))
	switch {
	case len(v.failed) > 0:
		return errors.New(strings.Join(v.failed, ", "))
	case len(v.skipped) > 0:
		return errors.New("a skipped test proves nothing: " + strings.Join(v.skipped, ", "))
	case len(v.output) > 0:
		return errors.New("go test ended early")
	}
	idle := slices.DeleteFunc(slices.Clone(v.expected), func(pkg string) bool { return v.ran[pkg] })
	if len(idle) > 0 {
		return errors.New("no test ran in " + strings.Join(idle, ", "))
	}
	return nil
}
