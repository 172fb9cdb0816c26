// demo shows the operator at work on a real control plane, which it starts and stops again:
//
//	make demo             walks through the mirroring tutorial
//	make demo-configmaps  the same, with Iter8's ConfigMaps in place of typed resources
//	make demo-istio       walks through docs/tutorials/istio.md
//	make playground       sets up the same, and keeps it until Ctrl-C
//
// It prints what a person would type, runs just that, and shows what comes of it. After each step it asks the
// apiserver whether the cluster is as the tutorial says. Then it sends requests through a real Envoy under a real istiod, and
// shows who has answered them and who has got copies. It exits with 0 only if all was as the tutorial says; without an Envoy,
// or without a network namespace for its Pods, it shows the routes only (with CI=true it fails).
//
//	outer process (outside.go) ── build.sh: istiod, Envoy
//	  └── inner process, in a network namespace: control plane, operator, walk (walk.go), traffic (traffic.go, load.go)
//
// The playground has no traffic, and runs where other terminals reach it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"iter8.tools/operator/test/dataplane"
)

// parentInterval is how often to look whether the process that started this one is still there.
const parentInterval = time.Second

func main() {
	playground := flag.Bool("playground", false, "keep the control plane, with the operator running, until Ctrl-C")
	name := flag.String("tutorial", "mirroring", "what to walk through: "+strings.Join(slices.Sorted(maps.Keys(tutorials)), " or "))
	flag.Parse()
	chosen, ok := tutorials[*name]
	if !ok {
		fmt.Fprintf(os.Stderr, "there is no tutorial %q\n", *name)
		flag.Usage()
		os.Exit(2)
	}
	if flag.NArg() > 0 {
		fmt.Fprintf(os.Stderr, "unexpected argument %q\n", flag.Arg(0))
		flag.Usage()
		os.Exit(2)
	}
	log.SetLogger(logr.Discard()) // envtest's
	s := &stage{screen: newScreen(os.Stdout), tutorial: chosen}
	switch {
	case *playground: // a repository of charts that a person tries out is most likely here too
		s.tutorial.values = append(s.tutorial.values, "--set", "charts.allowedAddresses={127.0.0.1}")
		os.Exit(perform(s, true))
	case dataplane.Isolated():
		os.Exit(inside(s))
	default:
		os.Exit(outside(s))
	}
}

// perform runs until a signal comes or the process that started this one is gone, and returns the exit code.
func perform(s *stage, playground bool) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends this process at once, and its reaper all others
	if err := run(untilOrphaned(ctx), s, playground); err != nil {
		s.failure(err)
		return 1
	}
	return 0
}

// run sets the stage, has its show, and clears everything away, whatever happens.
func run(ctx context.Context, s *stage, playground bool) error {
	begin := time.Now()
	err := s.show(ctx, playground)
	switch {
	case err == nil:
	case ctx.Err() != nil: // whatever went wrong went wrong because of it
		err = context.Cause(ctx)
	case errors.Is(err, errNoTraffic): // which is no matter of the operator's
	default:
		err = fmt.Errorf("%w\n\nThe end of the operator's log:\n%s", err, s.operatorLog())
	}
	fmt.Fprintln(s)
	s.say("Stopping everything …")
	err = errors.Join(err, s.clear(playground))
	if err == nil && !playground {
		s.success(fmt.Sprintf("Every step came out as the tutorial says, in %.0f s.", time.Since(begin).Seconds()))
	}
	return err
}

// untilOrphaned ends the context with the process that started this one. `go run` doesn't hand on a SIGTERM: it
// just dies.
func untilOrphaned(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	parent := os.Getppid()
	ticks := time.NewTicker(parentInterval)
	go func() {
		defer ticks.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-ticks.C:
				if os.Getppid() != parent {
					cancel(errors.New("the process that started this one is gone"))
				}
			}
		}
	}()
	return ctx
}
