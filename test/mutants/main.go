// mutants changes the code of packages in small ways, one at a time, and lists the changes that no test of the
// package notices:
//
//	go run ./test/mutants [-seed N] [-sample N] [-match REGEXP] [-jobs N] [-v] [PACKAGE...]
//
// Conditions, cases and operands of && and || are forced, comparisons negated and their boundaries moved, + and -
// swapped, a ! dropped, statements removed. Each such mutant is compiled into one program per package, which is the
// package's tests, and switched on by the environment of a run; the sources are left alone (go build -overlay).
// A run is of those tests only that reach the mutant.
//
// What survives is either a gap in the tests, or code that could be simpler, or a change without any effect; those
// are listed in accepted.txt with the reason.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"
)

// defaults are the packages whose own tests are to notice every change.
var defaults = []string{
	"./controllers/guard", "./controllers/routes", "./controllers/apply", "./controllers/observe", "./controllers/routingpolicy",
	"./controllers/subject", "./controllers/conditions", "./controllers/notify", "./controllers/ownwrites",
	"./conversion", "./conversion/controller",
}

// jobsPerCPU is more than one, since most tests of controllers wait rather than compute.
const jobsPerCPU = 3

type options struct {
	seed    uint64
	sample  int            // mutants of a package; 0 is all
	match   *regexp.Regexp // of the lines of those to choose from; nil is all
	jobs    int
	verbose bool
	// patience is how long tests may take with a mutant, in addition to many times what they take without one.
	patience time.Duration
	// accepted are survivors that aren't reported.
	accepted accepted
}

func main() {
	o := options{patience: 5 * time.Second}
	flag.Uint64Var(&o.seed, "seed", 0, "what the sample is drawn by (default random)")
	flag.IntVar(&o.sample, "sample", 100, "how many mutants of each package to run; 0 is all")
	flag.Func("match", "run only mutants whose line matches this `expression`, such as 'Plan: removed'", func(text string) (err error) {
		o.match, err = regexp.Compile(text)
		return err
	})
	flag.IntVar(&o.jobs, "jobs", jobsPerCPU*runtime.NumCPU(), "how many mutants to run at once")
	flag.BoolVar(&o.verbose, "v", false, "show each mutant that is run, and those that no test reaches")
	flag.Parse()
	if o.seed == 0 {
		o.seed = uint64(rand.Uint32())
	}
	patterns := flag.Args()
	if len(patterns) == 0 {
		patterns = defaults
	}
	rows, err := parseAccepted(acceptedList)
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants: reading accepted.txt:", err)
		os.Exit(1)
	}
	o.accepted = rows
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err = run(ctx, o, patterns, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutants:", err)
		os.Exit(1)
	}
}

// run examines the packages one after the other, and reports.
func run(ctx context.Context, o options, patterns []string, out io.Writer) (err error) {
	begin := time.Now()
	scratch, err := os.MkdirTemp("", "mutants-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(scratch)) }()
	sources, err := load(ctx, patterns)
	if err != nil {
		return err
	}
	var results []result
	for i, s := range sources {
		folder := filepath.Join(scratch, strconv.Itoa(i))
		if err := os.Mkdir(folder, 0o700); err != nil {
			return err
		}
		r, err := examine(ctx, o, s, folder, out)
		if err != nil {
			return err
		}
		fmt.Fprintf(out, "%s: %s\n", s.path, r.summary())
		results = append(results, r)
	}
	report(out, o, results)
	fmt.Fprintf(out, "\nseed %d, %s\n", o.seed, time.Since(begin).Round(time.Second))
	return nil
}

// examine runs a sample of a package's mutants.
func examine(ctx context.Context, o options, s *source, folder string, out io.Writer) (result, error) {
	begin := time.Now()
	r := result{path: s.path}
	all := find(s)
	program, compiled, err := build(ctx, s, all, folder)
	r.dropped = len(all) - len(compiled)
	if errors.Is(err, errNoTests) {
		r.unreached = all
		return r, nil
	}
	if err != nil {
		return r, err
	}
	tests := &suite{options: o, program: program, dir: s.Dir, scratch: folder}
	listed, err := names(ctx, program, s.Dir)
	if err != nil {
		return r, err
	}
	if err := tests.rehearse(ctx, listed); err != nil {
		return r, fmt.Errorf("%s: %w", s.path, err)
	}
	for _, m := range compiled {
		if reaching, _ := tests.reaching(m.id); len(reaching) > 0 {
			r.reached = append(r.reached, m)
		} else {
			r.unreached = append(r.unreached, m)
		}
	}
	r.killed, r.survived, err = try(ctx, tests, r.choose(o))
	r.took = time.Since(begin)
	if o.verbose {
		r.details(out)
	}
	return r, err
}

// try runs mutants, a few at once, and sorts them by whether a test notices.
func try(ctx context.Context, tests *suite, mutants []*mutant) (killed, survived []*mutant, err error) {
	var mu sync.Mutex
	died := map[*mutant]bool{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(tests.jobs)
	for _, m := range mutants {
		group.Go(func() error {
			noticed, err := tests.kills(ctx, m.id)
			mu.Lock()
			defer mu.Unlock()
			died[m] = noticed
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, nil, err
	}
	for _, m := range mutants {
		if died[m] {
			killed = append(killed, m)
		} else {
			survived = append(survived, m)
		}
	}
	return killed, survived, nil
}
