package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// supportFile is the name of the file that a package with mutants has in addition.
const supportFile = "zz_mutants.go"

// builds is how often to compile a package again without what the compiler refused.
const builds = 5

// errNoTests is returned where a package has nothing to run.
var errNoTests = errors.New("no tests")

// build compiles a package's tests with all mutants, as a program in the folder. The package's own folder is left
// alone. It returns the mutants that are in the program: one that can't be compiled is dropped.
func build(ctx context.Context, s *source, mutants []*mutant, folder string) (program string, compiled []*mutant, err error) {
	if len(s.TestGoFiles)+len(s.XTestGoFiles) == 0 {
		return "", mutants, errNoTests
	}
	program = filepath.Join(folder, "tests")
	for range builds {
		if err := write(s, mutants, folder); err != nil {
			return "", nil, err
		}
		cmd := exec.CommandContext(ctx, "go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-gcflags=-e",
			"-overlay="+filepath.Join(folder, "overlay.json"), "-o", program, s.ImportPath)
		output, err := cmd.CombinedOutput()
		if err == nil {
			return program, mutants, nil
		}
		rest := drop(mutants, string(output))
		if len(rest) == len(mutants) {
			return "", nil, fmt.Errorf("compiling the tests of %s: %w\n%s", s.path, err, output)
		}
		mutants = rest
	}
	return "", nil, fmt.Errorf("the mutants of %s don't compile", s.path)
}

// write writes the sources with mutants, and the list by which the compiler takes them for the package's own.
func write(s *source, mutants []*mutant, folder string) error {
	replaced := map[string]string{}
	add := func(name string, src []byte) error {
		replaced[filepath.Join(s.Dir, name)] = filepath.Join(folder, name)
		return os.WriteFile(filepath.Join(folder, name), src, 0o600)
	}
	highest := 0
	for _, f := range s.files {
		var own []*mutant
		for _, m := range mutants {
			if m.file == f.name {
				own = append(own, m)
			}
			highest = max(highest, m.id)
		}
		if err := add(f.name, render(f.src, own)); err != nil {
			return err
		}
	}
	if err := add(supportFile, support(s.Name, highest)); err != nil {
		return err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(folder, "overlay.json"), overlay, 0o600)
}

var complaint = regexp.MustCompile(`(?m)^(\S+\.go):(\d+):`)

// drop returns the mutants without those that the compiler complains about: where a complaint's line is the first
// of some, those, else those that go over the line.
func drop(mutants []*mutant, output string) []*mutant {
	bad := map[*mutant]bool{}
	for _, place := range complaint.FindAllStringSubmatch(output, -1) {
		line, err := strconv.Atoi(place[2])
		if err != nil {
			continue
		}
		var begin, over []*mutant
		for _, m := range mutants {
			switch {
			case m.file != filepath.Base(place[1]):
			case m.line == line:
				begin = append(begin, m)
			case m.line < line && line <= m.until:
				over = append(over, m)
			}
		}
		if len(begin) == 0 {
			begin = over
		}
		for _, m := range begin {
			bad[m] = true
		}
	}
	return slices.DeleteFunc(slices.Clone(mutants), func(m *mutant) bool { return bad[m] })
}

// names returns the tests of a program, examples and fuzz targets among them.
func names(ctx context.Context, program, folder string) ([]string, error) {
	cmd := exec.CommandContext(ctx, program, "-test.list=.")
	cmd.Dir = folder
	output, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("listing tests: %w", err)
	}
	var tests []string
	for line := range strings.Lines(string(output)) {
		name := strings.TrimSpace(line)
		for _, prefix := range []string{"Test", "Fuzz", "Example"} {
			if strings.HasPrefix(name, prefix) {
				tests = append(tests, name)
			}
		}
	}
	return tests, nil
}
