package env

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
)

const (
	// startTimeout is how long a program may take until it is ready.
	startTimeout = time.Minute
	// stopTimeout is how long a program may take to end after a signal; then it is killed.
	stopTimeout = 30 * time.Second
	// pollInterval is the pace at which readiness is asked for.
	pollInterval = 25 * time.Millisecond
	// tailBytes is how much of a log an error quotes.
	tailBytes = 4096
)

// ErrKilled is in the error of Process.Stop when the process didn't end by itself after the signal.
var ErrKilled = errors.New("had to be killed")

// Process is a child process, in a process group of its own and with its output in a file.
type Process struct {
	name    string
	logFile string
	// logStart is where the process's own output begins in its log.
	logStart int64
	cmd      *exec.Cmd
	reaper   *reaper
	once     sync.Once
	// stopped, killed and mayEnd are set before the process is told to end, or its end is announced.
	stopped, killed, mayEnd atomic.Bool
	done                    chan struct{}
	// err is that of the end, byItself is set if nothing led to expect it, and left if processes of its group outlived it. They are
	// read after done.
	err            error
	byItself, left bool
}

// StartProcess runs a program until it ends or is stopped, with its output in a file. The name is for errors.
func (e *Environment) StartProcess(name, path, logFile string, args ...string) (*Process, error) {
	log, err := os.OpenFile(logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o640)
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	defer log.Close() //nolint:errcheck // the child has a descriptor of its own
	info, err := log.Stat()
	if err != nil {
		return nil, fmt.Errorf("opening the log of %s: %w", name, err)
	}
	cmd := exec.Command(path, args...)
	cmd.Dir = e.dir
	cmd.Stdout, cmd.Stderr = log, log
	cmd.Env = append(os.Environ(), "GORACE=") // races are looked for in the log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	p := &Process{name: name, logFile: logFile, logStart: info.Size(), cmd: cmd, reaper: e.reaper, done: make(chan struct{})}
	p.reaper.watch(p.PID())
	go func() {
		p.err = cmd.Wait()
		// Render workers have groups of their own, and die with the operator.
		p.left = !p.killed.Load() && syscall.Kill(-p.PID(), 0) == nil
		if p.left {
			_ = syscall.Kill(-p.PID(), syscall.SIGKILL)
		}
		p.byItself = !p.stopped.Load() && !p.killed.Load() && !p.mayEnd.Load()
		p.reaper.unwatch(p.PID())
		close(p.done)
	}()
	e.mu.Lock()
	e.processes = append(e.processes, p)
	e.mu.Unlock()
	return p, nil
}

// PID is the process's id, and that of its group.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// LogFile holds what the process wrote to its standard output and error.
func (p *Process) LogFile() string { return p.logFile }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Wait waits for the end of the process, and returns nil if it ended with exit status 0.
func (p *Process) Wait() error {
	<-p.done
	return p.err
}

// Stop sends the process a signal and waits for its end; nil if it ended with exit status 0. A process
// that doesn't end within 30 seconds is killed: ErrKilled.
func (p *Process) Stop(signal syscall.Signal) error {
	p.stopped.Store(true)
	select {
	case <-p.done:
		return p.err
	default:
	}
	if err := p.cmd.Process.Signal(signal); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("sending %s to %s: %w", signal, p.name, err)
	}
	select {
	case <-p.done:
		return p.err
	case <-time.After(stopTimeout):
		p.kill()
		<-p.done
		return fmt.Errorf("%s %w %s after signal %q; its log ends:\n%s", p.name, ErrKilled, stopTimeout, signal, tail(p.logFile))
	}
}

// Kill ends the process at once by SIGKILL, with whatever it started itself, and waits for its end.
func (p *Process) Kill() {
	p.killed.Store(true)
	p.kill()
	<-p.done
}

// ExpectEnd announces that the process will end by itself, which the suite otherwise counts as a fault.
func (p *Process) ExpectEnd() { p.mayEnd.Store(true) }

// kill ends the process at once, with whatever it started itself.
func (p *Process) kill() {
	p.stopped.Store(true)
	p.once.Do(func() {
		select {
		case <-p.done: // its id may be another's by now
		default:
			_ = syscall.Kill(-p.PID(), syscall.SIGKILL) // fails only if it has ended
		}
	})
}

// WaitReady waits until the condition holds, and stops waiting when the process ends.
func (p *Process) WaitReady(ctx context.Context, ready func(context.Context) bool) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		select {
		case <-p.done:
			cancel(fmt.Errorf("it ended early: %w", p.exit()))
		case <-ctx.Done():
		}
	}()
	err := wait.PollUntilContextTimeout(ctx, pollInterval, startTimeout, true, func(ctx context.Context) (bool, error) {
		return ready(ctx), nil
	})
	select {
	case <-p.done: // who answered is another process
		err = fmt.Errorf("it ended early: %w", p.exit())
	default:
	}
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	return fmt.Errorf("%s didn't become ready: %w; its log ends:\n%s", p.name, err, tail(p.logFile))
}

func (p *Process) exit() error {
	if p.err == nil {
		return errors.New("exit status 0")
	}
	return p.err
}

// Serves is a condition for WaitReady: the URL answers 200.
func Serves(url string) func(context.Context) bool {
	c := &http.Client{
		Timeout: time.Second,
		// Programs make certificates of their own, for a probe that nobody else can see.
		Transport: &http.Transport{
			TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
			DisableKeepAlives: true,
		},
	}
	return func(ctx context.Context) bool {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
		if err != nil {
			return false
		}
		response, err := c.Do(request)
		if err != nil {
			return false
		}
		defer response.Body.Close() //nolint:errcheck // nothing was read from it
		return response.StatusCode == http.StatusOK
	}
}

// tail is the end of a log.
func tail(file string) string {
	f, err := os.Open(filepath.Clean(file))
	if err != nil {
		return err.Error()
	}
	defer f.Close() //nolint:errcheck // only read
	if info, err := f.Stat(); err == nil && info.Size() > tailBytes {
		_, _ = f.Seek(-tailBytes, 2)
	}
	text := make([]byte, tailBytes)
	n, _ := f.Read(text)
	return string(text[:n])
}
