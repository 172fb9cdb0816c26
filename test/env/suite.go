package env

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"
)

const (
	// prepareTimeout bounds the start of a suite.
	prepareTimeout = 5 * time.Minute
	// logBytes is how much of each operator's log is shown when a suite has failed.
	logBytes = 8000
)

// Suite is what the tests of a package share: an Environment, and the operators that run in it.
type Suite struct {
	Options Options
	// Prepare makes what the tests need besides; nil makes nothing.
	Prepare func(ctx context.Context, e *Environment) error
	// Allowed are the errors that operators may log, see Environment.Judge.
	Allowed []AllowedError
	// Cleanup comes right before the Environment's end, whatever happened before; nil does nothing.
	Cleanup func() error
}

// Run runs the tests, and returns the exit code for TestMain: 0 if they pass, the operators did nothing else that is wrong
// (see Environment.Judge), and everything ended in good order. An operator that ends by itself ends the test binary at once.
func (s Suite) Run(tests interface{ Run() int }) int {
	ctx, cancel := context.WithTimeout(context.Background(), prepareTimeout)
	defer cancel()
	ended := make(chan error, 1)
	s.Options.OnOperatorEnd = func(err error) {
		select {
		case ended <- err:
		default: // the first one counts
		}
	}
	e, err := Start(ctx, s.Options)
	if err != nil {
		return report(errors.Join(err, s.cleanup()))
	}
	finished := make(chan struct{})
	go func() {
		select {
		case err := <-ended: // what the suite still waits for won't come
			os.Exit(report(errors.Join(err, s.cleanup(), e.Stop())))
		case <-finished:
		}
	}()
	if s.Prepare != nil {
		if err := s.Prepare(ctx, e); err != nil {
			e.printLogs()
			return report(errors.Join(err, s.cleanup(), e.Stop()))
		}
	}
	code := tests.Run()
	close(finished)
	judgement := e.Judge(s.Allowed...)
	if code != 0 || judgement != nil {
		e.printLogs()
	}
	return max(code, report(errors.Join(judgement, s.cleanup(), e.Stop())))
}

func (s Suite) cleanup() error {
	if s.Cleanup == nil {
		return nil
	}
	return s.Cleanup()
}

// report prints an error, and returns the exit code that it makes.
func report(err error) int {
	if err == nil {
		return 0
	}
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// printLogs prints the ends of the logs: the operators', and those of what configures and is the data plane.
func (e *Environment) printLogs() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range e.operators {
		log, _ := os.ReadFile(o.LogFile())
		fmt.Fprintf(os.Stderr, "the log of operator process %d ends:\n%s\n", o.PID(), log[max(0, len(log)-logBytes):])
	}
	for _, p := range e.processes {
		if strings.HasPrefix(p.name, "envoy") || p.name == "istiod" {
			fmt.Fprintf(os.Stderr, "the log of %s, process %d, ends:\n%s\n", p.name, p.PID(), tail(p.logFile))
		}
	}
}

// supervise has the operator's end reported if it comes without having been asked for.
func (e *Environment) supervise(o *Operator) {
	if e.options.OnOperatorEnd == nil {
		return
	}
	go func() {
		<-o.done
		if o.byItself {
			e.options.OnOperatorEnd(fmt.Errorf("the operator, process %d, has ended by itself: %w; its log ends:\n%s",
				o.PID(), o.exit(), tail(o.LogFile())))
		}
	}()
}
