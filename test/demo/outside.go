package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"iter8.tools/operator/test/dataplane"
	"iter8.tools/operator/test/env"
)

const (
	// buildTimeout is how long the build may take; it takes about 11 minutes on two cores.
	buildTimeout = time.Hour
	// buildNiceness lets the control plane, which starts meanwhile, go first.
	buildNiceness = 10
	// notIsolatedCode is the exit code of an inner process that can't use its network namespace.
	notIsolatedCode = 3
)

// outside is the outer process: it runs the demo in a network namespace, and returns the exit code. Where that can't be, the
// demo runs here, without traffic.
func outside(s *stage) int {
	code, err := isolate(s.tutorial)
	switch {
	case err == nil:
		return code
	case !errors.Is(err, errNoTraffic):
		s.failure(err)
		return max(code, 1)
	}
	if err := s.showRoutesOnly(err); err != nil {
		s.failure(err)
		return 1
	}
	return perform(s, false)
}

// isolate runs the demo in a network namespace, with a build outside of it, where the network is, and returns the exit code.
// An interrupt reaches both processes through the terminal, and the inner one decides; a SIGTERM reaches this one.
func isolate(t tutorial) (int, error) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	ctx = untilOrphaned(ctx)
	if err := env.DownloadModules(ctx, t.options(true)); ctx.Err() != nil {
		return 0, context.Cause(ctx)
	} else if err != nil {
		return 0, fmt.Errorf("%w: %w", errNoTraffic, err)
	}
	interrupts := make(chan os.Signal, 1) // one that came before RunIsolated would leave a build behind
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	outcome, endBuild, err := startBuild()
	if err != nil {
		return 0, fmt.Errorf("%w: %w", errNoTraffic, err)
	}
	defer endBuild()
	code, err := dataplane.RunIsolated(ctx, outcome)
	if code == notIsolatedCode {
		err = fmt.Errorf("%w that it may configure", dataplane.ErrNotIsolated)
	}
	if errors.Is(err, dataplane.ErrNotIsolated) {
		return 0, fmt.Errorf("%w without a network namespace, which takes Linux, and either root or user namespaces: %w", errNoTraffic, err)
	}
	return code, err
}

// startBuild starts to build istiod, and to get an Envoy. When that is done, why it failed can be read from outcome, or nothing,
// and then its end. The function end kills what is still running.
func startBuild() (outcome *os.File, end func(), err error) {
	root, err := env.ModuleRoot()
	if err != nil {
		return nil, nil, err
	}
	outcome, result, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("building istiod: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), buildTimeout)
	build := exec.CommandContext(ctx, filepath.Join(root, "test", "controlplane", "build.sh"), "bin", "envoy", "pilot-discovery")
	var printed bytes.Buffer
	build.Dir, build.Stdout, build.Stderr = root, &printed, &printed
	build.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	build.Cancel = func() error { return syscall.Kill(-build.Process.Pid, syscall.SIGKILL) }
	if err := build.Start(); err != nil {
		cancel()
		return nil, nil, errors.Join(fmt.Errorf("building istiod: %w", err), outcome.Close(), result.Close())
	}
	_ = syscall.Setpriority(syscall.PRIO_PGRP, build.Process.Pid, buildNiceness) // without it the demo starts later
	var ended sync.WaitGroup
	ended.Go(func() {
		err := build.Wait()
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			err = fmt.Errorf("it took more than %s: %w", buildTimeout, err)
			printed.Reset()
		}
		fmt.Fprint(result, whyNotBuilt(err, printed.String()))
		_ = result.Close() // which the inner process sees
	})
	return outcome, func() { cancel(); ended.Wait(); _ = outcome.Close() }, nil
}

// whyNotBuilt is the last line that a failed build has printed; "" of one that has succeeded.
func whyNotBuilt(err error, printed string) string {
	if err == nil {
		return ""
	}
	lines := strings.Split(strings.TrimSpace(printed), "\n")
	if last := strings.TrimSpace(strings.TrimPrefix(lines[len(lines)-1], "envoy.sh: ")); last != "" {
		return last
	}
	return "building istiod and getting an Envoy: " + err.Error()
}
