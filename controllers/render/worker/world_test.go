package worker

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/render"
)

// The tests' own program is what children run.
func TestMain(m *testing.M) {
	ServeIfAsked()
	if len(os.Args) == 2 {
		playRole(os.Args[1])
	}
	if len(os.Args) != 2 || strings.HasPrefix(os.Args[1], "-") {
		SetDefaultEventuallyTimeout(time.Minute)
		os.Exit(m.Run())
	}
}

// patient waits for every answer, on a busy machine too.
var patient = Options{Patience: time.Hour, Timeout: time.Hour}

// poolOf starts a pool that ends with the test, and leaves no process behind.
func poolOf(t testing.TB, options Options) *Pool {
	t.Helper()
	g := NewWithT(t)
	if options.Memory == 0 {
		options.Memory = Defaults.Memory
	}
	p := New(options)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = p.Start(ctx)
	}()
	t.Cleanup(func() {
		children := p.list()
		cancel()
		<-ended
		for _, c := range children {
			g.Expect(c.proc()).NotTo(BeAnExistingFile(), "a child that outlives its pool")
		}
		g.Expect(p.list()).To(BeEmpty())
	})
	return p
}

// list gives the children of a pool.
func (p *Pool) list() []*child {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Collect(maps.Keys(p.children))
}

// occupy keeps the only child of a pool busy, so that all else has to wait, until release is called.
func occupy(t testing.TB, p *Pool) (release func()) {
	t.Helper()
	g := NewWithT(t)
	_, err := p.Render(inlineOf(t, "busy", "busy", loop))
	g.Expect(err).To(MatchError(render.ErrPending))
	g.Eventually(p.list).Should(HaveLen(1))
	return func() { g.Expect(syscall.Kill(p.list()[0].pid, syscall.SIGTERM)).To(Succeed()) }
}

// proc is the folder of what the kernel tells of a child.
func (c *child) proc() string { return "/proc/" + strconv.Itoa(c.pid) }

func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// chartOf makes a chart of files, by their names.
func chartOf(t testing.TB, files map[string]string) *chart.Chart {
	t.Helper()
	buffered := []*loader.BufferedFile{{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: web\nversion: 1.2.3\n")}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		buffered = append(buffered, &loader.BufferedFile{Name: name, Data: []byte(files[name])})
	}
	c, err := loader.LoadFiles(buffered)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return c
}

func input() render.Input {
	return render.Input{
		Namespace: "test",
		Policy:    "policy",
		Subject:   types.NamespacedName{Namespace: "test", Name: "subject"},
		Variants:  []render.Variant{{Name: "v1", Number: 1, Available: true, Weight: 1}, {Name: "v2", Number: 2, Weight: 50}},
	}
}

// request is for a chart of these files, which stand for its digest too.
func request(t testing.TB, files, values map[string]any) render.Request {
	t.Helper()
	texts := map[string]string{}
	for name, text := range files {
		texts[name] = text.(string)
	}
	in := input()
	in.Chart, in.Values = chartOf(t, texts), values
	r, err := render.NewRequest(fmt.Sprintf("%x", sha256.Sum256([]byte(fmt.Sprint(texts)))), in)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return r
}

// ofChart is for a chart of one template.
func ofChart(t testing.TB, template string) render.Request {
	return request(t, map[string]any{"templates/one.yaml": template}, nil)
}

// inline is for a policy's own template.
func inline(t testing.TB, template string) render.Request {
	return inlineOf(t, "test", "policy", template)
}

func inlineOf(t testing.TB, namespace, policy, template string) render.Request {
	t.Helper()
	in := input()
	in.Namespace, in.Policy = namespace, policy
	in.Templates = []iter8v1alpha1.InlineTemplate{{Name: "one", Template: template}}
	r, err := render.NewRequest("", in)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return r
}

// echo is a template of an object whose field out is what an expression gives, as JSON.
func echo(expression string) string {
	return "apiVersion: v1\nkind: Echo\nmetadata: {name: echo}\nout: {{ " + expression + " | toJson }}\n"
}

// expectGood has something that is fine rendered.
func expectGood(t testing.TB, p *Pool) {
	t.Helper()
	g := NewWithT(t)
	for _, r := range []render.Request{ofChart(t, echo(".Release.Name")), inline(t, echo(".Release.Name"))} {
		g.Expect(p.Render(r)).To(MatchJSON(`[{"apiVersion": "v1", "kind": "Echo", "metadata": {"name": "echo"}, "out": "policy"}]`))
	}
}

// figure reads a figure of a process, such as VmHWM, in bytes. A process that is dying has none.
func figure(t testing.TB, pid int, name string) (bytes uint64, found bool) {
	t.Helper()
	g := NewWithT(t)
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kibibytes, err := strconv.ParseUint(strings.Fields(value)[0], 10, 64)
			g.Expect(err).NotTo(HaveOccurred())
			return kibibytes << 10, true
		}
	}
	return 0, false
}

// woken collects which policies were woken.
type woken struct {
	mu       sync.Mutex
	policies []string
}

func (w *woken) wake(policy types.NamespacedName) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.policies = append(w.policies, policy.String())
}

func (w *woken) list() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.policies)
}
