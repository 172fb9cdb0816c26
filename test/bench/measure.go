package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"iter8.tools/operator/test/env"
)

const (
	// patience is how long any one change may take.
	patience = 2 * time.Minute
	// warmUps are flips that don't count: connections and code paths get warm.
	warmUps = 8
)

// bench measures both contenders with one number of policies.
type bench struct {
	options
	size            int
	cluster         *env.Environment
	floor, operator contender
	out             io.Writer

	inputs inputs
	routes *routes
}

// window is a span of time of which the requests are counted.
type window struct{ from, to time.Time }

// measured is what a run found out about a contender.
type measured struct {
	// colds are the times from a start of the process until every route exists, coldCPU what the last took.
	colds   []time.Duration
	coldCPU time.Duration
	// started is the memory when that was reached, settled when it had come to rest, worked after the bursts.
	started, settled, worked memory
	// latencies are of the flips, cpu what these took together.
	latencies []time.Duration
	cpu       time.Duration
	// bursts are the times in which all routes followed when every variant flipped at once.
	bursts []time.Duration
	// cold is when the process had everything to do, flips when variants were flipped, restarts when it had nothing to do.
	cold, flips window
	restarts    []window
	// coldCalls are the requests during the cold start, calls those during the flips, quiet those during the restarts.
	coldCalls, calls, quiet calls
}

func (b *bench) run(ctx context.Context) (results, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	b.inputs = inputs{client: b.cluster.Client(), namespace: fmt.Sprintf("bench-%d", b.size), size: b.size, routemaps: b.options.routemaps}
	progress(b.out, "%d policies: creating them, and the apps that they are for", b.size)
	if err := b.inputs.create(ctx); err != nil {
		return results{}, err
	}
	var err error
	if b.routes, err = watchRoutes(ctx, b.cluster.Config(), b.inputs.namespace); err != nil {
		return results{}, err
	}
	r := results{size: b.size}
	// The floor has its turn before and after, since the machine may have become slower meanwhile.
	for i, c := range []contender{b.floor, b.operator, b.floor} {
		progress(b.out, "%d policies: cold start of the %s, until its memory settles", b.size, c.name)
		if err := b.measureCold(ctx, c, r.of(c)); err != nil {
			return r, err
		}
		if i == 0 {
			if err := b.deleteRoutes(ctx, c); err != nil {
				return r, err
			}
		}
	}
	progress(b.out, "%d policies: flips, by turns", b.size)
	if err := b.measureFlips(ctx, &r); err != nil {
		return r, err
	}
	for _, c := range []contender{b.floor, b.operator} {
		progress(b.out, "%d policies: every variant at once, for the %s", b.size, c.name)
		if err := b.measureBursts(ctx, c, r.of(c)); err != nil {
			return r, err
		}
	}
	for _, m := range []*measured{&r.floor, &r.operator} {
		if err := countCalls(b.cluster, m, r.agentOf(m)); err != nil {
			return r, err
		}
	}
	return r, nil
}

// running starts a contender, lets something be done with it, and stops it.
func running(ctx context.Context, c contender, do func(pid int) error) (err error) {
	p, err := c.start(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, p.Stop()) }()
	return do(p.PID())
}

func (b *bench) measureCold(ctx context.Context, c contender, m *measured) error {
	return running(ctx, c, func(pid int) error {
		done, err := b.routes.waitForAll(ctx, c, b.size, false)
		if err != nil {
			return err
		}
		_, began, err := cpuOf(pid)
		if err != nil {
			return err
		}
		m.colds = append(m.colds, done.Sub(began))
		if err := waitIdle(ctx, pid); err != nil {
			return err
		}
		m.cold = window{began, time.Now()}
		if m.coldCPU, _, err = cpuOf(pid); err != nil {
			return err
		}
		if m.started, err = memoryOf(pid); err != nil {
			return err
		}
		m.settled, err = settledMemory(ctx, pid, b.settle)
		return err
	})
}

// deleteRoutes has a contender start anew, and the operator find no routes but its own.
func (b *bench) deleteRoutes(ctx context.Context, of contender) error {
	if err := b.inputs.deleteRoutes(ctx, of); err != nil {
		return err
	}
	_, err := b.routes.waitForAll(ctx, of, 0, false)
	return err
}

// measureFlips flips variants one after the other, by turns the floor's and the operator's.
func (b *bench) measureFlips(ctx context.Context, r *results) error {
	started := time.Now()
	return running(ctx, b.floor, func(floor int) error {
		return running(ctx, b.operator, func(operator int) error {
			for _, pid := range []int{operator, floor} {
				if err := waitIdle(ctx, pid); err != nil {
					return err
				}
			}
			r.operator.restarts = append(r.operator.restarts, window{started, time.Now()})
			if err := b.flipByTurns(ctx, warmUps, &results{}); err != nil {
				return err
			}
			used, err := cpuOfBoth(floor, operator)
			if err != nil {
				return err
			}
			began := time.Now()
			if err := b.flipByTurns(ctx, b.flips, r); err != nil {
				return err
			}
			if err := waitIdle(ctx, operator); err != nil {
				return err
			}
			after, err := cpuOfBoth(floor, operator)
			for i, m := range []*measured{&r.floor, &r.operator} {
				m.flips = window{began, time.Now()}
				m.cpu = after[i] - used[i]
			}
			if err != nil || !b.hostile {
				return err
			}
			progress(b.out, "%d policies: flips, by turns, while others render bombs", b.size)
			return b.measureUnderAttack(ctx, operator, r)
		})
	})
}

// flipByTurns has a number of flips for each contender.
func (b *bench) flipByTurns(ctx context.Context, flips int, r *results) error {
	turns := []contender{b.floor, b.operator}
	for i, chosen := range b.choose(flips) {
		for turn := range turns {
			c := turns[(i+turn)%len(turns)]
			took, err := b.flip(ctx, c, chosen)
			if err != nil {
				return err
			}
			m := r.of(c)
			m.latencies = append(m.latencies, took)
			if err := pause(ctx, b.gap); err != nil {
				return err
			}
		}
	}
	return nil
}

// change is what a flip is to do.
type change struct {
	position  int
	available bool
}

// choose gives the flips: in each round some variants become available, and then, in another order,
// unavailable again.
func (b *bench) choose(flips int) []change {
	random := rand.New(rand.NewPCG(uint64(b.size), uint64(flips)))
	rounds := (flips/2 + b.size - 1) / b.size
	var chosen []change
	for range rounds {
		positions := random.Perm(b.size)[:flips/2/rounds]
		for _, p := range positions {
			chosen = append(chosen, change{p, true})
		}
		for _, i := range random.Perm(len(positions)) {
			chosen = append(chosen, change{positions[i], false})
		}
	}
	return chosen
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// flip changes the availability of a second variant, and gives the time from the apiserver's answer until the
// route is seen to have changed.
func (b *bench) flip(ctx context.Context, c contender, to change) (time.Duration, error) {
	app := c.app(to.position)
	if err := b.inputs.setAvailable(ctx, app+secondVariant, to.available); err != nil {
		return 0, err
	}
	answered := time.Now()
	seen, err := b.routes.waitFor(ctx, app, to.available)
	return seen.Sub(answered), err
}

// measureBursts flips every variant at once, there and back.
func (b *bench) measureBursts(ctx context.Context, c contender, m *measured) error {
	started := time.Now()
	return running(ctx, c, func(pid int) (err error) {
		if err := waitIdle(ctx, pid); err != nil {
			return err
		}
		m.restarts = append(m.restarts, window{started, time.Now()})
		for _, available := range []bool{true, false} {
			took, err := b.burst(ctx, c, available)
			if err != nil {
				return err
			}
			m.bursts = append(m.bursts, took)
			if err := waitIdle(ctx, pid); err != nil {
				return err
			}
		}
		m.worked, err = memoryOf(pid)
		return err
	})
}

// burst changes every second variant, and gives the time from the first request until the last route is seen
// to have changed.
func (b *bench) burst(ctx context.Context, c contender, available bool) (time.Duration, error) {
	began := time.Now()
	err := b.inputs.each(ctx, func(ctx context.Context, i int) error {
		return b.inputs.setAvailable(ctx, c.app(i)+secondVariant, available)
	})
	if err != nil {
		return 0, err
	}
	seen, err := b.routes.waitForAll(ctx, c, b.size, available)
	return seen.Sub(began), err
}
