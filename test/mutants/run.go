package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	activeVariable  = "MUTANTS_ACTIVE"
	reachedVariable = "MUTANTS_REACHED"

	// timeoutFactor is how many times as long tests may take with a mutant as without one; options.patience is added.
	timeoutFactor = 10
	// memory is what a process of tests may have, in KiB: a mutant may be a loop that allocates without end.
	memory = 4 << 20
)

// suite is a package's tests, with every mutant in them.
type suite struct {
	options
	program string
	dir     string // of the package
	scratch string
	tests   []test
}

// test is one of them, without any mutant on.
type test struct {
	name    string
	reached map[int]bool
	took    time.Duration
}

// rehearse runs each test by itself without a mutant, and notes which mutants it reaches. All must pass.
func (s *suite) rehearse(ctx context.Context, tests []string) error {
	s.tests = make([]test, len(tests))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(s.jobs)
	for i, name := range tests {
		group.Go(func() error {
			notes := filepath.Join(s.scratch, "reached-"+strconv.Itoa(i))
			begin := time.Now()
			output, err := s.command(ctx, 0, notes, []string{name}).CombinedOutput()
			if err != nil {
				return fmt.Errorf("%s fails without a mutant: %w\n%s", name, err, output)
			}
			reached, err := read(notes)
			s.tests[i] = test{name, reached, time.Since(begin)}
			return err
		})
	}
	return group.Wait()
}

func read(notes string) (map[int]bool, error) {
	data, err := os.ReadFile(notes)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	reached := map[int]bool{}
	for line := range strings.Lines(string(data)) {
		id, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			return nil, fmt.Errorf("reading which mutants were reached: %w", err)
		}
		reached[id] = true
	}
	return reached, nil
}

// reaching returns the tests that reach a mutant, and how long they take, one after the other.
func (s *suite) reaching(id int) (tests []string, took time.Duration) {
	for _, t := range s.tests {
		if t.reached[id] {
			tests = append(tests, t.name)
			took += t.took
		}
	}
	return tests, took
}

// kills reports whether a test that reaches a mutant fails with it, or doesn't end.
func (s *suite) kills(ctx context.Context, id int) (bool, error) {
	tests, took := s.reaching(id)
	bounded, cancel := context.WithTimeout(ctx, s.patience+timeoutFactor*took)
	defer cancel()
	cmd := s.command(bounded, id, "", tests)
	err := cmd.Run()
	switch {
	case ctx.Err() != nil:
		return false, ctx.Err()
	case bounded.Err() != nil:
		return true, nil
	case cmd.ProcessState == nil:
		return false, fmt.Errorf("running tests: %w", err)
	default:
		return !cmd.ProcessState.Success(), nil
	}
}

// command runs tests with a mutant on; 0 is none. It ends with whatever it has started.
func (s *suite) command(ctx context.Context, id int, notes string, tests []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "sh", "-c", fmt.Sprintf(`ulimit -v %d && exec "$@"`, memory), "sh",
		s.program, "-test.run=^("+strings.Join(tests, "|")+")$", "-test.failfast", "-test.short=false", "-test.timeout=0")
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), activeVariable+"="+strconv.Itoa(id), reachedVariable+"="+notes,
		"TMPDIR="+s.scratch, "UPDATE_GOLDEN=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	return cmd
}
