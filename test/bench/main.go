// bench measures how soon, and at what cost, routes follow variants: by the operator, and by a floor, which is
// the least that can do the same. Both are processes of their own, have the same rights and get the same
// changes, by turns, since a machine's speed varies more over time than the two differ.
//
//	bench ── Deployment's status ──► kube-apiserver ── watch ──► operator | floor
//	  ▲                                  │    ▲                         │
//	  └──────── watch: HTTPRoute ────────┘    └── server-side apply ────┘
//
// It prints numbers and how they compare with what is reached for. Only an error makes it fail, never a number.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"iter8.tools/operator/test/env"
)

// systemNamespace is where the operator is installed.
const systemNamespace = "iter8-system"

// options of a run.
type options struct {
	sizes   sizes
	flips   int
	gap     time.Duration
	settle  time.Duration
	timeout time.Duration
	// routemaps of Iter8 stand in place of typed Subjects and RoutingPolicies.
	routemaps bool
	// hostile has flips measured again while bombs are rendered beside.
	hostile bool
	// floor is the kubeconfig with which this process is to be the floor.
	floor string
}

// sizes are numbers of policies, as a flag: 100,1000.
type sizes []int

func (s sizes) String() string {
	return strings.Trim(strings.ReplaceAll(fmt.Sprint([]int(s)), " ", ","), "[]")
}

func (s *sizes) Set(text string) error {
	*s = nil
	for _, field := range strings.Split(text, ",") {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 {
			return fmt.Errorf("%q is no number of policies", field)
		}
		*s = append(*s, n)
	}
	return nil
}

func parseFlags(args []string) (options, error) {
	o := options{sizes: sizes{100, 1000}}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Var(&o.sizes, "sizes", "numbers of policies to measure with")
	flags.IntVar(&o.flips, "flips", 300, "changes of a variant to time for each contender, at each size")
	flags.DurationVar(&o.gap, "gap", 150*time.Millisecond, "pause after a flip, in which the operator reports it")
	flags.DurationVar(&o.settle, "settle", time.Minute, "longest wait for memory to settle")
	flags.DurationVar(&o.timeout, "timeout", 15*time.Minute, "longest time that the whole may take")
	flags.BoolVar(&o.routemaps, "routemaps", false, "measure with Iter8's routemaps in place of Subjects and RoutingPolicies")
	flags.BoolVar(&o.hostile, "hostile", false, "measure the flips again while policies of another namespace render templates that take all they can get")
	flags.StringVar(&o.floor, "floor", "", "be the floor, with this kubeconfig, until standard input ends")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q; see -help", flags.Arg(0))
	}
	if o.flips < 2 { // every variant is flipped back
		return o, errors.New("-flips must be 2 or more")
	}
	return o, nil
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	o, err := parseFlags(args)
	if err != nil {
		return err
	}
	if o.floor != "" {
		return runFloor(ctx, o.floor, os.Stdin)
	}
	if runtime.GOOS != "linux" {
		return errors.New("memory and CPU are read from /proc, which only Linux has")
	}
	ctx, cancel := context.WithTimeoutCause(ctx, o.timeout, fmt.Errorf("not done after %s (-timeout)", o.timeout))
	defer cancel()

	fmt.Fprintf(out, "The operator against a floor, on %d cores; load when this began: %s\n", runtime.NumCPU(), loadAverage())
	progress(out, "starting the control plane and installing the operator")
	cluster, err := env.Start(ctx, env.Options{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, cluster.Stop()) }()
	var values []string
	if o.routemaps {
		fmt.Fprintln(out, "The policies come of Iter8's routemaps.")
		values = []string{"--set", "legacy.enabled=true"}
	}
	installation, err := cluster.Install(ctx, systemNamespace, values...)
	if err != nil {
		return err
	}
	operator := operatorContender(installation)
	floor, err := floorContender(ctx, cluster)
	if err != nil {
		return err
	}
	var all []results
	for i, size := range o.sizes {
		b := &bench{options: o, size: size, cluster: cluster, floor: floor, operator: operator, out: out}
		r, err := b.run(ctx)
		if err != nil {
			return fmt.Errorf("with %d policies: %w", size, errors.Join(err, context.Cause(ctx)))
		}
		r.print(out)
		all = append(all, r)
		if i < len(o.sizes)-1 {
			if err := b.inputs.delete(ctx); err != nil {
				return fmt.Errorf("removing %d policies: %w", size, errors.Join(err, context.Cause(ctx)))
			}
		}
	}
	printReach(out, all)
	return nil
}

// progress tells a person that it moves.
func progress(out io.Writer, format string, args ...any) {
	fmt.Fprintf(out, "%s  %s\n", time.Now().Format(time.TimeOnly), fmt.Sprintf(format, args...))
}
