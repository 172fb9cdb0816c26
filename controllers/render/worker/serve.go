package worker

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strconv"

	"helm.sh/helm/v3/pkg/chart"

	"iter8.tools/operator/controllers/guard"
	"iter8.tools/operator/controllers/render"
)

// argument has this program be a worker, with Options.Memory as the next argument.
const argument = "render-worker"

const (
	// maxStack is what recursion dies of; a template that includes templates a hundred deep takes a tenth.
	maxStack = 4 << 20
	// maxCharts is how many bytes of charts a child keeps.
	maxCharts = 2 * maxChart
	// maxIdle is how many bytes a child may hold on to between renders.
	maxIdle = 24 << 20
)

// ServeIfAsked makes a render worker of this process and ends it, if its arguments say so. It comes first in a main.
func ServeIfAsked() {
	if len(os.Args) != 3 || os.Args[1] != argument {
		return
	}
	if err := serveWithLimits(os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func serveWithLimits(memory string) error {
	limit, err := strconv.ParseUint(memory, 10, 40)
	if err != nil {
		return fmt.Errorf("the memory of a %s: %w", argument, err)
	}
	log.SetOutput(io.Discard) // Helm's warnings are nobody's here
	runtime.GOMAXPROCS(1)
	debug.SetMaxStack(maxStack)
	debug.SetMemoryLimit(int64(limit / 2)) //nolint:gosec // it has 40 bits; from here on the collector works hard
	if err := confine(limit); err != nil {
		return err
	}
	return serve(os.Stdin, os.Stdout)
}

// serve answers until the other side is gone.
func serve(in io.Reader, out io.Writer) error {
	s := &server{in: bufio.NewReader(in), out: bufio.NewWriter(out), renderer: render.NewRenderer()}
	if err := writeFrame(s.out, frameReady, nil); err != nil {
		return err
	}
	for {
		content, err := s.expect(frameInput)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		kind, answer, err := s.answer(content)
		if err != nil {
			return err
		}
		if err := writeFrame(s.out, kind, answer); err != nil {
			return err
		}
		if mapped() > maxIdle {
			debug.FreeOSMemory()
		}
	}
}

// mapped is how many bytes the Go runtime holds.
func mapped() int64 {
	samples := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(samples)
	return int64(samples[0].Value.Uint64() - samples[1].Value.Uint64()) //nolint:gosec // no process has that much
}

type server struct {
	in       *bufio.Reader
	out      *bufio.Writer
	kept     kept
	renderer *render.Renderer
}

func (s *server) expect(kind byte) ([]byte, error) {
	got, content, err := readFrame(s.in, maxFrame)
	if err == nil && got != kind {
		err = fmt.Errorf("%w: %c in place of %c", errFrame, got, kind)
	}
	return content, err
}

// answer renders an input. Its error is one of the pipe; those of the input are an answer.
func (s *server) answer(input []byte) (kind byte, content []byte, err error) {
	in, digest, err := render.DecodeInput(input)
	if err != nil {
		return frameError, encodeError(err), nil
	}
	if digest != "" {
		if in.Chart, err = s.chart(digest); err != nil {
			return 0, nil, err
		}
	}
	manifests, err := s.renderer.Twice(in)
	if err == nil {
		content, err = render.Encode(manifests)
	}
	if err == nil && len(content) > guard.MaxBytes {
		err = fmt.Errorf("%w: %d bytes are rendered, and at most %d are allowed", ErrTooLarge, len(content), guard.MaxBytes)
	}
	if err != nil {
		return kindOf(err), encodeError(err), nil
	}
	return frameManifests, content, nil
}

// chart gives the chart of a digest, and asks for it where it isn't here.
func (s *server) chart(digest string) (*chart.Chart, error) {
	if c := s.kept.get(digest); c != nil {
		return c, nil
	}
	if err := writeFrame(s.out, frameSendChart, nil); err != nil {
		return nil, err
	}
	content, err := s.expect(frameChart)
	if err != nil {
		return nil, err
	}
	c, err := decodeChart(content)
	if err != nil {
		return nil, err
	}
	s.kept.add(cached{digest: digest, size: len(content), chart: c})
	return c, nil
}

// kept are the charts that were used last, the last one at the end.
type kept struct {
	cached []cached
	size   int
}

type cached struct {
	digest string
	size   int
	chart  *chart.Chart
}

func (c *kept) get(digest string) *chart.Chart {
	i := slices.IndexFunc(c.cached, func(of cached) bool { return of.digest == digest })
	if i < 0 {
		return nil
	}
	found := c.cached[i]
	c.cached = append(slices.Delete(c.cached, i, i+1), found)
	return found.chart
}

func (c *kept) add(one cached) {
	c.cached, c.size = append(c.cached, one), c.size+one.size
	for c.size > maxCharts {
		c.size -= c.cached[0].size
		c.cached = slices.Delete(c.cached, 0, 1)
	}
}
