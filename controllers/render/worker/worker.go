// Package worker renders charts and templates from outside in processes of their own, since rendering can't be
// bounded in one's own: a template that renders templates recurses until the stack is used up, which no Go program
// survives, and `until 2000000000` takes all memory there is.
//
//	reconcilers ── Render ──▶ queue ──▶ child ── input, chart ──▶ serve: limits, Renderer.Twice
//	     ▲                                │                         │
//	     └────── Notify ◀───── answer ────┴──◀── manifests, error ──┘
//
// A child is this same program, run again with nothing but its pipes. It is kept for the next render, unless it dies
// of one; what did that is remembered, and not tried again.
package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/lru"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"iter8.tools/operator/controllers/render"
)

const (
	// rememberedFailures is how many renders that failed are not tried again.
	rememberedFailures = 1024
	// maxInput is how many bytes of templates and values are rendered; an object in the cluster has less.
	maxInput = 4 << 20
	// maxAnswers is how many answers wait to be asked for, each of up to a MiB.
	maxAnswers = 16
)

// Options of a Pool. What is zero is as Defaults has it.
type Options struct {
	// Children is how many render at once.
	Children int
	// Quick is how much of a processor's time a render may take a child from others. One that takes more is a slow one, and
	// of these there is always one less than there are children; the others have to wait, and begin again then. It isn't
	// counted by the clock, up to half of Timeout: on a busy machine every render would be slow, and then be left with no
	// processor at all.
	Quick time.Duration
	// Timeout of a render.
	Timeout time.Duration
	// Memory that a child may have to itself, in bytes.
	Memory uint64
	// Patience is how long Render waits before it gives render.ErrPending.
	Patience time.Duration
	// Notify is called with each policy whose render was ErrPending, as soon as there is an answer. It must not block.
	Notify func(policy types.NamespacedName)
}

// Defaults are the options of the operator.
var Defaults = Options{
	Children: 2, Quick: raceFactor * 300 * time.Millisecond, Timeout: 10 * time.Second, Memory: raceFactor * 64 << 20, Patience: 25 * time.Millisecond,
}

// Pool is a render.Worker. Its children start with the first renders, and end with Start.
type Pool struct {
	options  Options
	failures *lru.Cache // key of the request → error

	mu sync.Mutex
	// jobs are the last ones of their policies, until their answer is taken.
	jobs map[types.NamespacedName]*job
	// waiting are those that no child has begun with, later the slow ones among them, answered those that are done and
	// were not waited for.
	waiting, later queue
	answered       []*job
	// busy, running and slow count the children that render: for a namespace, in all, and the slow ones.
	busy          map[string]int
	running, slow int
	idle          []*child
	children      map[*child]bool
	closed        bool
	work          sync.WaitGroup
}

// job is a render that was asked for.
type job struct {
	policy  types.NamespacedName
	request render.Request
	// done is closed once manifests and err are there.
	done      chan struct{}
	manifests []byte
	err       error
	// slow: it takes longer than Options.Quick.
	slow bool
	// missed: who asked for it no longer waits.
	missed bool
}

// New makes a Pool without children.
func New(options Options) *Pool {
	if options.Children == 0 {
		options.Children = Defaults.Children
	}
	if options.Quick == 0 {
		options.Quick = Defaults.Quick
	}
	if options.Timeout == 0 {
		options.Timeout = Defaults.Timeout
	}
	if options.Memory == 0 {
		options.Memory = Defaults.Memory
	}
	if options.Patience == 0 {
		options.Patience = Defaults.Patience
	}
	if options.Notify == nil {
		options.Notify = func(types.NamespacedName) {}
	}
	return &Pool{
		options:  options,
		failures: lru.New(rememberedFailures),
		jobs:     map[types.NamespacedName]*job{},
		busy:     map[string]int{},
		children: map[*child]bool{},
	}
}

// Start ends all children with the context.
func (p *Pool) Start(ctx context.Context) error {
	<-ctx.Done()
	p.mu.Lock()
	p.closed = true
	for c := range p.children {
		c.kill(errEnded)
	}
	idle := p.idle
	p.idle = nil
	p.mu.Unlock()
	for _, c := range idle {
		p.end(c)
	}
	p.work.Wait()
	return nil
}

// NeedLeaderElection is false: whoever has children ends them.
func (p *Pool) NeedLeaderElection() bool { return false }

// Render is as render.Worker has it. Errors wrap those of package render, and where a limit is hit those of this one.
func (p *Pool) Render(request render.Request) ([]byte, error) {
	if (request.Input.Chart == nil) != (request.ChartDigest == "") {
		return nil, errors.New("rendering a chart takes its digest")
	}
	if size := len(request.Encoded); size > maxInput {
		return nil, fmt.Errorf("%w: values and templates have %d bytes, and at most %d are rendered", ErrTooLarge, size, maxInput)
	}
	if failure, ok := p.failures.Get(request.Key); ok {
		return nil, failure.(error)
	}
	j, err := p.ask(request)
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(p.options.Patience)
	defer timer.Stop()
	select {
	case <-j.done:
	case <-timer.C:
	}
	return p.take(j)
}

// ask gives the job of a request: the one that the policy has, or a new one in its place.
func (p *Pool) ask(request render.Request) (*job, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, fmt.Errorf("%w: the operator ends", render.ErrUnavailable)
	}
	policy := types.NamespacedName{Namespace: request.Input.Namespace, Name: request.Input.Policy}
	before := p.jobs[policy]
	if before != nil && before.request.Key == request.Key {
		return before, nil
	}
	if before != nil {
		p.waiting.remove(before) // nobody wants to know any more
		p.later.remove(before)
	}
	j := &job{policy: policy, request: request, done: make(chan struct{})}
	p.jobs[policy] = j
	p.waiting.add(j)
	p.dispatch()
	return j, nil
}

// take gives the answer to a job if it is there.
func (p *Pool) take(j *job) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	select {
	case <-j.done:
		p.forget(j)
		return j.manifests, j.err
	default:
		j.missed = true
		return nil, render.ErrPending
	}
}

func (p *Pool) forget(j *job) {
	if p.jobs[j.policy] == j {
		delete(p.jobs, j.policy)
	}
	p.answered = slices.DeleteFunc(p.answered, func(other *job) bool { return other == j })
}

// next takes a slow job if there may be one more of these, else one of a namespace that no child is busy with, else any.
func (p *Pool) next() *job {
	everyone := func(string) bool { return true }
	if p.slow < p.maxSlow() {
		if j := p.later.next(everyone); j != nil {
			j.slow = true
			p.slow++
			return j
		}
	}
	if j := p.waiting.next(func(namespace string) bool { return p.busy[namespace] == 0 }); j != nil {
		return j
	}
	return p.waiting.next(everyone)
}

func (p *Pool) maxSlow() int { return max(1, p.options.Children-1) }

// goOn decides whether a job that turns out to be slow may go on.
func (p *Pool) goOn(j *job) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !j.slow && p.slow < p.maxSlow() {
		j.slow = true
		p.slow++
	}
	return j.slow
}

// dispatch has children begin with what waits.
func (p *Pool) dispatch() {
	for p.running < p.options.Children && !p.closed {
		j := p.next()
		if j == nil {
			return
		}
		var c *child
		if last := len(p.idle) - 1; last >= 0 { // the one that was used last is the warmest
			c, p.idle = p.idle[last], p.idle[:last]
		}
		p.running++
		p.busy[j.policy.Namespace]++
		p.work.Go(func() { p.run(j, c) })
	}
}

// run has a job done by a child, or by a new one where that is nil, and tells of it.
func (p *Pool) run(j *job, c *child) {
	manifests, c, err := p.attempt(j, c)
	if err != nil && !errors.Is(err, render.ErrUnavailable) && !errors.Is(err, errLater) {
		p.failures.Add(j.request.Key, err)
	}
	p.mu.Lock()
	if c != nil && !p.closed && !c.slow.Load() {
		p.idle = append(p.idle, c)
		c = nil
	}
	p.running--
	p.busy[j.policy.Namespace]--
	if p.busy[j.policy.Namespace] == 0 {
		delete(p.busy, j.policy.Namespace)
	}
	if j.slow {
		p.slow--
	}
	if errors.Is(err, errLater) {
		if p.jobs[j.policy] == j {
			p.later.add(j)
		}
	} else {
		j.manifests, j.err = manifests, err
		j.request = render.Request{Key: j.request.Key} // the rest isn't needed any more
		close(j.done)
		p.keep(j)
	}
	missed := j.missed && !errors.Is(err, errLater)
	p.dispatch()
	p.mu.Unlock()
	if c != nil {
		p.end(c)
	}
	if missed {
		p.options.Notify(j.policy)
	}
}

// keep has a job that was not waited for keep its answer for a while, where nothing else remembers it.
func (p *Pool) keep(j *job) {
	_, remembered := p.failures.Get(j.request.Key)
	switch {
	case p.jobs[j.policy] != j, !j.missed:
	case remembered:
		p.forget(j)
	default:
		p.answered = append(p.answered, j)
		if len(p.answered) > maxAnswers {
			p.forget(p.answered[0])
		}
	}
}

// attempt renders in a child, and gives that back if it can be used again. One that was used before may have died of
// what came before, so its death counts only if a fresh one dies too.
func (p *Pool) attempt(j *job, c *child) ([]byte, *child, error) {
	for {
		fresh := c == nil
		if fresh {
			var err error
			if c, err = p.begin(); err != nil {
				return nil, nil, fmt.Errorf("%w: %w", render.ErrUnavailable, err)
			}
		}
		manifests, alive, err := c.render(j.request, p.options, func() bool { return p.goOn(j) })
		if alive {
			return manifests, c, err
		}
		p.end(c)
		if said := c.lastWords.String(); strings.Contains(said, "DATA RACE") || strings.Contains(said, "panic: ") {
			// Whatever was rendered, this is a fault of the program, which a second try must not hide.
			log.Log.WithName("render-worker").Error(err, "A render worker crashed", "said", said)
		}
		c = nil
		switch {
		case p.ended():
			return nil, nil, fmt.Errorf("%w: %w", render.ErrUnavailable, errEnded)
		case fresh, errors.Is(err, ErrTimeout), errors.Is(err, errLater):
			return nil, nil, err
		}
	}
}

func (p *Pool) ended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.closed
}

// begin starts a child.
func (p *Pool) begin() (*child, error) {
	if p.ended() {
		return nil, errEnded
	}
	c, err := start(p.options.Memory)
	if err != nil {
		return nil, fmt.Errorf("starting a process: %w", err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.children[c] = true
	if p.closed {
		c.kill(errEnded)
	}
	return c, nil
}

func (p *Pool) end(c *child) {
	c.end()
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.children, c)
}
