package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"iter8.tools/operator/test/env"
)

const (
	// patience is how long the cluster has to become what a step expects. The garbage collector looks for
	// kinds that are new to it every 30 seconds.
	patience     = 90 * time.Second
	pollInterval = 50 * time.Millisecond
	// answerTimeout is for the questions of what went wrong.
	answerTimeout = 5 * time.Second
)

// tutorial is a list of steps, each on what the one before has left.
type tutorial struct {
	title string
	// values are what helm is to set beside the defaults.
	values []string
	// cluster is what it takes beside workloads.
	cluster env.Options
	steps   []step
}

// options are those of the control plane. Traffic takes istiod, which takes its CRDs.
func (t tutorial) options(traffic bool) env.Options {
	options := t.cluster
	options.Workloads = true
	options.IstioCRDs = options.IstioCRDs || traffic
	return options
}

// tutorials by the name that -tutorial takes.
var tutorials = map[string]tutorial{"mirroring": mirroring, "configmaps": configMaps, "istio": istio}

// step is what a person does, what comes of it, and how a person sees that.
type step struct {
	title string
	// intro says what this is about.
	intro string
	// do are commands that change something. Words are separated by spaces; there is no quoting.
	do []string
	// expect is what the cluster is to become.
	expect []expectation
	// look are commands that show it.
	look []string
	// load is requests that are sent then, where they can be.
	load *load
}

// isLoad reports whether the step is nothing but requests.
func (s step) isLoad() bool { return s.load != nil && len(s.do) == 0 }

// expectation is a fact that the apiserver can be asked for.
type expectation struct {
	// that is the fact, in words.
	that string
	// ask gives the state of the cluster, which is to be want.
	ask  func(context.Context, client.Client) (string, error)
	want string
}

// walk takes the steps. Its error says what was expected, and what is.
func (s *stage) walk(ctx context.Context, t tutorial) error {
	s.heading(t.title)
	if err := s.announceTraffic(); err != nil {
		return err
	}
	number := 0
	for _, next := range t.steps {
		if next.isLoad() && s.traffic == nil {
			continue
		}
		number++
		s.heading(fmt.Sprintf("%d. %s", number, next.title))
		s.say(next.intro)
		if err := s.take(ctx, next); err != nil {
			return fmt.Errorf("step %d: %w%s", number, err, s.differences(ctx, next.expect))
		}
	}
	return nil
}

func (s *stage) take(ctx context.Context, next step) error {
	for _, command := range next.do {
		if err := s.run(ctx, command); err != nil {
			return err
		}
	}
	for _, e := range next.expect {
		if err := s.await(ctx, e); err != nil {
			return err
		}
		s.success(e.that)
	}
	for _, command := range next.look {
		if err := s.run(ctx, command); err != nil {
			return err
		}
	}
	if next.load != nil {
		return s.send(ctx, *next.load)
	}
	return nil
}

// await asks until the answer is the one that is wanted, or patience ends.
func (s *stage) await(ctx context.Context, e expectation) error {
	err := wait.PollUntilContextTimeout(ctx, pollInterval, patience, true, func(ctx context.Context) (bool, error) {
		is, err := e.ask(ctx, s.cluster.Client())
		return err == nil && is == e.want, nil
	})
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	default:
		return fmt.Errorf("not within %s: %s", patience, e.that)
	}
}

// differences gives two lines for each expectation that doesn't hold.
func (s *stage) differences(ctx context.Context, expected []expectation) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	var lines strings.Builder
	for _, e := range expected {
		is, err := e.ask(ctx, s.cluster.Client())
		if err != nil {
			is = err.Error()
		}
		if is != e.want {
			fmt.Fprintf(&lines, "\n  expected: %s\n  is:       %s", e.want, is)
		}
	}
	return lines.String()
}
