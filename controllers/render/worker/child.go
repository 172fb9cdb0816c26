package worker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"iter8.tools/operator/controllers/conditions"
	"iter8.tools/operator/controllers/guard"
	"iter8.tools/operator/controllers/render"
)

// startTimeout is how long a child may take until it is ready.
const startTimeout = 10 * time.Second

// lookInterval is how often the memory of a child is looked at. It gets hold of 10 MiB meanwhile.
const lookInterval = 5 * time.Millisecond

// maxLastWords is how much of what a child writes to stderr is kept: what it died of comes first.
const maxLastWords = 16 << 10

// child is a process that renders one input after the other, and is of no use after an error of render.
type child struct {
	pid  int
	in   *os.File
	out  *os.File
	to   *bufio.Writer
	from *bufio.Reader

	lastWords lastWords
	// exited is closed once the process is gone and reaped; state is valid from then on.
	exited chan struct{}
	state  *os.ProcessState

	// slow: it has done something slow, and has a low priority since, which can't be taken back.
	slow atomic.Bool

	mu sync.Mutex
	// killed is why the operator killed it.
	killed error
}

// start runs this program as a child, and waits until it is ready.
func start(memory uint64) (*child, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	if err := keepDescriptors(); err != nil {
		return nil, err
	}
	theirIn, in, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	out, theirOut, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, theirIn.Close(), in.Close())
	}
	c := &child{
		in: in, out: out, to: bufio.NewWriter(in), from: bufio.NewReader(out),
		exited: make(chan struct{}),
	}
	cmd := exec.Command(program, argument, strconv.FormatUint(memory, 10))
	cmd.Env = environment
	cmd.Dir = "/"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = theirIn, theirOut, &c.lastWords
	cmd.SysProcAttr = attributes()

	started := make(chan error)
	go c.keep(cmd, started)
	err = <-started
	_, _ = theirIn.Close(), theirOut.Close()
	if err == nil {
		err = c.ready()
	}
	if err != nil {
		c.end()
		return nil, err
	}
	return c, nil
}

// keep starts the process and waits for its end. It does so from a thread of its own, since the kernel takes the end
// of the thread for that of the operator; see PR_SET_PDEATHSIG in prctl(2).
func (c *child) keep(cmd *exec.Cmd, started chan<- error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer close(c.exited)
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	c.pid = cmd.Process.Pid
	started <- nil
	_ = cmd.Wait() // the state tells more
	c.state = cmd.ProcessState
}

func (c *child) ready() error {
	timer := time.AfterFunc(startTimeout, func() { c.kill(fmt.Errorf("it isn't ready after %s", startTimeout)) })
	defer timer.Stop()
	if _, _, err := readFrame(c.from, 0); err != nil {
		c.end()
		return fmt.Errorf("%w: %s", err, c.lastWords.first())
	}
	return nil
}

// kill ends the process at once; the first reason counts.
func (c *child) kill(reason error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed == nil {
		c.killed = reason
	}
	if c.pid == 0 { // it never was
		return
	}
	select {
	case <-c.exited: // the number may be another's by now
	default:
		_ = kill(c.pid)
	}
}

// end ends the process and waits until it is gone.
func (c *child) end() {
	c.kill(errEnded)
	<-c.exited
	_, _ = c.in.Close(), c.out.Close()
}

var (
	errEnded = errors.New("the operator ends")
	errChart = errors.New("sending the chart")
	errLater = errors.New("others are slow already")

	// errKilled says nothing of what was rendered: where memory runs out for all, the kernel kills a worker first.
	errKilled  = fmt.Errorf("%w: the process was killed while it rendered, as the kernel does where memory runs out", render.ErrUnavailable)
	errThreads = fmt.Errorf("%w: the process may have no more threads, of which the operator's Pod, its user or its node may have only so many", render.ErrUnavailable)
	errMemory  = fmt.Errorf("%w: rendering takes more than a worker may have; make the templates do less", ErrMemory)
)

// render has a request rendered. Where that is slow, goOn is asked whether it may go on all the same. The child can
// only be used again if alive says so.
func (c *child) render(request render.Request, limits Options, goOn func() bool) (manifests []byte, alive bool, err error) {
	done := make(chan struct{})
	go c.watch(limits, goOn, done)
	kind, content, err := c.exchange(request)
	close(done)
	sentinel, known := sentinels[kind]
	if err == nil && kind != frameManifests && !known {
		err = fmt.Errorf("%w: %c", errFrame, kind)
	}
	switch {
	case errors.Is(err, errChart):
		c.end()
		return nil, false, err
	case errors.Is(err, errFrame): // it is still there
		c.kill(fmt.Errorf("%w: it answers with %w", ErrDied, err))
		fallthrough
	case err != nil:
		c.end()
		return nil, false, c.verdict()
	case known:
		return nil, true, &remoteError{message: string(content), sentinel: sentinel}
	default:
		return content, true, nil
	}
}

// watch kills the process when it takes too long or too much, unless it is done before.
func (c *child) watch(limits Options, goOn func() bool, done <-chan struct{}) {
	timer := time.NewTimer(limits.Timeout)
	defer timer.Stop()
	before := used(c.pid)
	long := time.Now().Add(limits.Timeout / 2) // what only waits, for memory above all, keeps the child from others too
	look := time.NewTicker(lookInterval)
	defer look.Stop()
	for {
		select {
		case <-done:
			return
		case <-timer.C:
			c.kill(fmt.Errorf("%w: rendering isn't done after %s; make the templates do less", ErrTimeout, limits.Timeout))
			return
		case <-look.C:
			if private(c.pid) > limits.Memory {
				c.kill(errMemory)
				return
			}
			if c.slow.Load() || used(c.pid)-before < limits.Quick && time.Now().Before(long) {
				continue
			}
			if !goOn() {
				c.kill(errLater)
				return
			}
			c.slow.Store(true)
			beNice(c.pid)
		}
	}
}

// exchange sends a request, and its chart if the child asks for it.
func (c *child) exchange(request render.Request) (kind byte, content []byte, err error) {
	if err := writeFrame(c.to, frameInput, request.Encoded); err != nil {
		return 0, nil, err
	}
	kind, content, err = readFrame(c.from, guard.MaxBytes)
	if err != nil || kind != frameSendChart {
		return kind, content, err
	}
	chart, err := encodeChart(request.Input.Chart)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %w", errChart, err)
	}
	if err := writeFrame(c.to, frameChart, chart); err != nil {
		return 0, nil, err
	}
	return readFrame(c.from, guard.MaxBytes)
}

// verdict says what the process, which is gone, died of.
func (c *child) verdict() error {
	c.mu.Lock()
	killed := c.killed
	c.mu.Unlock()
	words := c.lastWords.String()
	switch {
	case killed != nil && !errors.Is(killed, errEnded):
		return killed
	case strings.Contains(words, "failed to create new OS thread"), strings.Contains(words, "pthread_create failed"):
		return errThreads
	case strings.Contains(words, "stack exceeds"):
		return fmt.Errorf("%w: templates call each other without an end, by tpl, include or template", ErrRecursion)
	case slices.ContainsFunc(outOfMemory, func(said string) bool { return strings.Contains(words, said) }):
		return errMemory
	case c.state.String() == "signal: killed":
		return errKilled
	default:
		return fmt.Errorf("%w: %s: %s", ErrDied, c.state, c.lastWords.first())
	}
}

// outOfMemory is what Go's runtime and its race detector say then.
var outOfMemory = []string{"out of memory", "cannot allocate memory", "address space", "failed to allocate"}

// lastWords keeps the beginning of what is written to it.
type lastWords struct {
	mu    sync.Mutex
	words []byte
}

// Write takes everything, whatever is kept.
func (w *lastWords) Write(data []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.words = append(w.words, data[:min(len(data), maxLastWords-len(w.words))]...)
	return len(data), nil
}

func (w *lastWords) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.words)
}

// first gives the first line of it.
func (w *lastWords) first() string {
	line, _, _ := strings.Cut(strings.TrimSpace(w.String()), "\n")
	if line == "" {
		return "without a word"
	}
	return conditions.Truncate(line, 256)
}

var _ io.Writer = (*lastWords)(nil)
