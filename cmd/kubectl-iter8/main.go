// Command kubectl-iter8 is a plugin of kubectl: what the operator makes of Iter8's ConfigMaps and of RoutingPolicies, from a terminal, and
// what the reasons mean that it gives.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"k8s.io/cli-runtime/pkg/genericiooptions"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	code := run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// errReported ends the command with exit code 1 when what went wrong has been told already.
var errReported = errors.New("some of it could not be done")

// run executes the command and gives its exit code.
func run(ctx context.Context, args []string, in io.Reader, out, errOut io.Writer) int {
	root := newRootCommand(genericiooptions.IOStreams{In: in, Out: out, ErrOut: errOut})
	root.SetArgs(args)
	root.SetIn(in)
	root.SetOut(out)
	root.SetErr(errOut)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	if !errors.Is(err, errReported) {
		fmt.Fprintln(errOut, "error:", err)
	}
	return 1
}

func newRootCommand(streams genericiooptions.IOStreams) *cobra.Command {
	root := &cobra.Command{
		Use:           "kubectl-iter8",
		Short:         "Convert what Iter8 left in a cluster or in files, render routes, and explain what the operator reports",
		SilenceErrors: true,
		SilenceUsage:  true,
		Annotations:   map[string]string{cobra.CommandDisplayNameAnnotation: "kubectl iter8"},
	}
	root.AddCommand(newConvertCommand(streams), newRenderCommand(streams), newExplainCommand(streams))
	return root
}
