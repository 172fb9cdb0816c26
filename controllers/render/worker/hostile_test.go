package worker

import (
	"bufio"
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"github.com/onsi/gomega/types"

	"iter8.tools/operator/controllers/render"
)

const (
	// maxChild is what a child gets to: what is shared with the operator, its limit, and what it grows by between two
	// looks at it.
	maxChild = raceFactor * 128 << 20
	// maxGrowth is what the operator may grow by for a hostile render.
	maxGrowth = 8 << 20
	// short is as long as what takes for ever is waited for.
	short = 300 * time.Millisecond
)

// laughs is YAML whose aliases stand for 9⁹ strings.
const laughs = `a: &a [x,x,x,x,x,x,x,x,x]
b: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a]
c: &c [*b,*b,*b,*b,*b,*b,*b,*b,*b]
d: &d [*c,*c,*c,*c,*c,*c,*c,*c,*c]
e: &e [*d,*d,*d,*d,*d,*d,*d,*d,*d]
f: &f [*e,*e,*e,*e,*e,*e,*e,*e,*e]
g: &g [*f,*f,*f,*f,*f,*f,*f,*f,*f]
h: &h [*g,*g,*g,*g,*g,*g,*g,*g,*g]
i: [*h,*h,*h,*h,*h,*h,*h,*h,*h]
`

// loop keeps a processor busy for hours, and takes no memory.
const loop = `{{ range until 1000 }}{{ range until 1000 }}{{ range until 1000 }}{{ range until 1000 }}{{ end }}{{ end }}{{ end }}{{ end }}`

// deep is a schema inside a schema, and so on.
func deep(levels int) string {
	return strings.Repeat(`{"properties":{"a":`, levels) + "true" + strings.Repeat("}}", levels)
}

func TestHostileChartsHurtNobody(t *testing.T) {
	memory := MatchError(ErrMemory)
	recursion := Or(MatchError(ErrRecursion), memory) // whatever is used up first
	for name, test := range map[string]struct {
		template string
		values   map[string]any
		files    map[string]string
		timeout  time.Duration
		want     types.GomegaMatcher
	}{
		"a template that renders itself": {
			template: `{{ tpl .Values.x . }}`, values: map[string]any{"x": "{{ tpl .Values.x . }}"}, want: recursion},
		"templates that render each other": {
			template: `{{ define "a" }}{{ tpl "{{ include \"a\" . }}" . }}{{ end }}{{ include "a" . }}`, want: recursion},
		"a template that calls itself": {
			template: `{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`, want: MatchError(ErrRecursion)},
		"includes without an end": {
			template: `{{ define "a" }}{{ include "a" . }}{{ end }}{{ include "a" . }}`,
			want:     Or(MatchError(ErrRecursion), MatchError(ContainSubstring("nested reference name")))},
		"a list of two thousand million numbers": {template: `{{ range until 2000000000 }}x{{ end }}`, want: memory},
		"two thousand million characters":        {template: `{{ repeat 2000000000 "x" }}`, want: memory},
		"a repetition of a repetition":           {template: `{{ repeat 20000000 "x" | repeat 20 }}`, want: memory},
		"a text that doubles": {
			template: `{{ $x := "x" }}{{ range until 40 }}{{ $x = print $x $x }}{{ end }}`, want: memory},
		"a list that doubles": {
			template: `{{ $x := list 1 }}{{ range until 40 }}{{ $x = concat $x $x }}{{ end }}`, want: memory},
		"loops in loops that write": {
			template: `{{ range until 100000 }}{{ range until 100000 }}xxxxxxxx{{ end }}{{ end }}`, want: memory},
		"loops in loops": {template: loop, timeout: short, want: MatchError(ErrTimeout)},
		"a regexp with a large text": {
			template: `{{ $x := repeat 8000000 "x" }}{{ range until 100000 }}{{ regexMatch "(x+x+)+y" $x }}{{ end }}`, timeout: short, want: MatchError(ErrTimeout)},
		"a regexp that is large itself": {
			template: `{{ regexMatch (repeat 3000 "(x{1,999}){1}") "x" }}`, want: HaveOccurred()},
		"more output than is allowed": {template: `{{ repeat 5000000 "x" }}`, want: MatchError(ErrTooLarge)},
		"more manifests than are allowed": {
			template: "apiVersion: v1\nkind: A\nout: {{ repeat 1100000 \"x\" }}\n", want: MatchError(ErrTooLarge)},
		"more objects than can be read": {
			template: `{{ range until 50000 }}{{ print "---\n{}\n" }}{{ end }}{{ range until 10000 }}{{ print "---\na: {}\n" }}{{ end }}`, want: HaveOccurred()},
		"aliases of aliases, read":     {template: "{{ range until 100 }}{{ fromYaml $.Values.x }}{{ end }}", values: map[string]any{"x": laughs}, want: HaveOccurred()},
		"aliases of aliases, rendered": {template: "apiVersion: v1\nkind: A\n" + laughs, want: HaveOccurred()},
		"brackets in brackets":         {template: `apiVersion: v1{{ print "\n" }}kind: {{ repeat 1000000 "[" }}`, want: HaveOccurred()},
		"keys of the largest size": {
			template: `{{ genPrivateKey "rsa" }}{{ range until 1000 }}{{ genPrivateKey "rsa" }}{{ end }}`, timeout: short, want: MatchError(ErrTimeout)},
		"a schema inside a schema": {
			files: map[string]string{"values.schema.json": deep(3000)}, want: Or(Not(HaveOccurred()), MatchError(render.ErrLimit))},
		"a schema that refers to itself": {
			files: map[string]string{"values.schema.json": `{"$ref": "#"}`}, want: HaveOccurred()},
		"a schema that is a large regexp": {
			files:  map[string]string{"values.schema.json": `{"properties": {"x": {"pattern": "` + strings.Repeat("(x{1,999}){1}", 3000) + `"}}}`},
			values: map[string]any{"x": "x"}, want: HaveOccurred()},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := poolOf(t, patient)
			expectGood(t, p)
			if test.timeout != 0 {
				p.options.Timeout = test.timeout
			}
			before := heap()
			children := p.list()

			files := map[string]any{"templates/one.yaml": test.template}
			for name, content := range test.files {
				files[name] = content
			}
			r := request(t, files, test.values)
			_, err := p.Render(r)
			g.Expect(err).To(test.want)
			p.options.Timeout = patient.Timeout
			if err != nil {
				g.Expect(len(err.Error())).To(BeNumerically("<=", maxMessage))
			}

			expectGood(t, p)
			g.Expect(heap()).To(BeNumerically("<", before+maxGrowth), "of the operator")
			for _, c := range append(children, p.list()...) {
				g.Expect(c.peak(t)).To(BeNumerically("<", maxChild))
			}
		})
	}
}

// heap is what is left in this process after a collection.
func heap() uint64 {
	runtime.GC()
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return stats.HeapAlloc
}

// peak is the most memory that a child ever had.
func (c *child) peak(t testing.TB) uint64 {
	if most, alive := figure(t, c.pid, "VmHWM"); alive {
		return most
	}
	<-c.exited
	return uint64(c.state.SysUsage().(*syscall.Rusage).Maxrss) << 10
}

func TestARenderThatFailedIsNotTriedAgain(t *testing.T) {
	for name, template := range map[string]string{
		"since it killed the child":   `{{ repeat 2000000000 "x" }}`,
		"since it took too long":      loop,
		"since it isn't the same":     echo("uuidv4"),
		"since the template is wrong": `{{ fail "on purpose" }}`,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := poolOf(t, Options{Patience: time.Hour, Timeout: time.Second})
			_, first := p.Render(ofChart(t, template))
			g.Expect(first).To(HaveOccurred())
			children := p.list()
			_, second := p.Render(ofChart(t, template))
			g.Expect(second).To(BeIdenticalTo(first))
			g.Expect(p.list()).To(Equal(children), "children that were there before")
			g.Expect(p.running).To(BeZero())

			_, _ = p.Render(ofChart(t, template+" "))
			g.Expect(p.failures.Len()).To(Equal(2), "what has changed is tried")
		})
	}
}

func TestADeathCountsOnlyInAFreshChild(t *testing.T) {
	g := NewWithT(t)
	p := poolOf(t, patient)
	expectGood(t, p)
	before := p.list()[0]
	g.Expect(syscall.Kill(before.pid, syscall.SIGKILL)).To(Succeed())
	g.Eventually(before.exited).Should(BeClosed())
	_, err := p.Render(ofChart(t, echo("1")))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(p.list()).To(HaveExactElements(Not(BeIdenticalTo(before))))
}

func TestWhatAChildDiedOf(t *testing.T) {
	for name, test := range map[string]struct {
		signal     syscall.Signal
		want       string
		remembered int
	}{
		"killed, as by the kernel, which is not its render's fault": {syscall.SIGKILL,
			"the render worker is unavailable: the process was killed while it rendered, as the kernel does where memory runs out", 0},
		"any other signal": {syscall.SIGTERM, "render limit: the render worker died: signal: terminated: without a word", 1},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			p := poolOf(t, impatient)
			occupy(t, p)
			g.Expect(syscall.Kill(p.list()[0].pid, test.signal)).To(Succeed())
			g.Eventually(func() error {
				_, err := p.Render(inlineOf(t, "busy", "busy", loop))
				return err
			}).Should(MatchError(test.want))
			g.Expect(p.failures.Len()).To(Equal(test.remembered), "which are not tried again")
		})
	}
}

func TestAChildThatMayHaveNoMoreThreadsIsNoFaultOfItsRender(t *testing.T) {
	for name, words := range map[string]string{
		"without cgo": "runtime: failed to create new OS thread (have 6 already; errno=11)\nruntime: may need to increase max user processes (ulimit -u)\nfatal error: newosproc\n",
		"with cgo":    "runtime/cgo: pthread_create failed: Resource temporarily unavailable\nSIGABRT: abort\n",
	} {
		t.Run(name, func(t *testing.T) {
			g, c := NewWithT(t), &child{}
			_, _ = c.lastWords.Write([]byte(words))
			g.Expect(c.verdict()).To(And(MatchError(render.ErrUnavailable), Not(MatchError(render.ErrLimit))))
		})
	}
}

func TestAChildThatAnswersSomethingElseIsDoneWith(t *testing.T) {
	g := NewWithT(t)
	theirIn, in, err := os.Pipe()
	g.Expect(err).NotTo(HaveOccurred())
	out, theirOut, err := os.Pipe()
	g.Expect(err).NotTo(HaveOccurred())
	c := &child{in: in, out: out, to: bufio.NewWriter(in), from: bufio.NewReader(out), exited: make(chan struct{})}
	echo := exec.Command("cat")
	echo.Stdin, echo.Stdout, echo.SysProcAttr = theirIn, theirOut, attributes()
	started := make(chan error)
	go c.keep(echo, started)
	g.Expect(<-started).To(Succeed())
	g.Expect(errors.Join(theirIn.Close(), theirOut.Close())).To(Succeed())

	_, alive, err := c.render(inline(t, "x"), Options{Timeout: time.Hour, Quick: time.Hour, Memory: 1 << 40}, nil)
	g.Expect(alive).To(BeFalse())
	g.Expect(err).To(MatchError("render limit: the render worker died: it answers with an unexpected frame: i"))
	g.Expect(c.exited).To(BeClosed())
}
