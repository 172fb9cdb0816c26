package traffic

import (
	"context"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"golang.org/x/sys/unix"

	"iter8.tools/operator/test/dataplane"
	"iter8.tools/operator/test/figures"
)

// The test of what variant 2 can do to variant 1 takes a look of a moment, unless it is to write the figures down.
var (
	safetyFile    = flag.String("safety", "", "write the figures into this file, between its marks")
	safetySeconds = flag.Int("safety-seconds", 2, "how long each hazard is looked at")
)

// bodyTimeout is how long a client waits for the answer to a large request while variant 2 reads none.
const bodyTimeout = 2 * time.Second

// bodyInterval is the shortest time from one large request to the next.
const bodyInterval = 10 * time.Millisecond

// loadTimeout is how long a client waits for the answer to a small one.
const loadTimeout = 10 * time.Second

// state of clients and of the Envoy, over some time and at its end.
type state struct {
	p50, p99         time.Duration
	descriptors, kib int
}

// measured is what came of a hazard: what clients and the Envoy saw before and after it began.
type measured struct {
	failed, sent  int // after
	before, after state
}

// String is the row of a table.
func (m measured) String() string {
	return fmt.Sprintf("%d of %d | %s → %s | %s → %s | %d → %d | %d → %d", m.failed, m.sent,
		rounded(m.before.p50), rounded(m.after.p50), rounded(m.before.p99), rounded(m.after.p99),
		m.before.descriptors, m.after.descriptors, m.before.kib>>10, m.after.kib>>10)
}

func TestWhatVariantTwoCanDoToVariantOne(t *testing.T) {
	var tables strings.Builder
	rows := 0
	for _, p := range []plane{sidecar, egGateway} {
		fmt.Fprintf(&tables, "\n| %s: variant 2 … | failed | p50 | p99 | descriptors | memory, MiB |\n|---|---|---|---|---|---|\n", p.name)
		for _, h := range hazards() {
			t.Run(p.name+"/"+h.name, func(t *testing.T) {
				s := newScene(t, p)
				m := s.measure(h)
				figures.Note(t, "failed, p50, p99, descriptors and MiB: %s", m)
				fmt.Fprintf(&tables, "| %s | %s |\n", h.name, m)
				rows++
				if h.expect != nil {
					h.expect(s, m)
				}
			})
		}
	}
	if *safetyFile != "" && rows == 2*len(hazards()) {
		gomega.NewWithT(t).Expect(writeSafety(*safetyFile, tables.String())).To(gomega.Succeed())
	}
}

// measure has variant 2 become a hazard while requests go to variant 1.
func (s *scene) measure(h hazard) measured {
	s.Helper()
	s.httpbin("v2")
	s.deployFor("httpbin-v1", h.protocol)
	does, v2 := "httpbin-v1", &variantTwo{release: make(chan struct{})}
	s.Cleanup(func() { close(v2.release) })
	if !h.absent {
		deployment, _ := s.deployFor("httpbin-v2", h.protocol)
		does += ", copies to httpbin-v2 (100%)"
		v2.scale = func(replicas int32) { s.scale(deployment, replicas) }
	}
	rules := mirrorAll
	if h.timeout != "" {
		rules += "  timeouts: {request: " + h.timeout + "}\n"
	}
	s.route(rules)
	if s.plane.sharesEnvoy {
		s.Expect(envoyGateway.RestartEnvoy(s.Context())).To(gomega.Succeed())
	}
	c := s.calling()
	if h.descriptors > 0 {
		limit := unix.Rlimit{Cur: h.descriptors, Max: h.descriptors}
		s.Expect(unix.Prlimit(c.envoy.PID(), unix.RLIMIT_NOFILE, &limit, nil)).To(gomega.Succeed())
		if s.plane.sharesEnvoy {
			s.Cleanup(func() { s.Expect(envoyGateway.RestartEnvoy(context.Background())).To(gomega.Succeed()) })
		}
	}
	s.Eventually(c.routing).Should(gomega.Equal(does))
	if h.kib > 0 || h.heavy && *safetyFile == "" {
		return s.measureBodies(c, h, v2)
	}
	return s.measureLoad(c, h, v2)
}

// measureLoad looks at a load of small requests.
func (s *scene) measureLoad(c *httpClient, h hazard, v2 *variantTwo) (m measured) {
	s.Helper()
	span := time.Duration(*safetySeconds) * time.Second
	c.SetTimeout(loadTimeout)
	load := s.load(c, c.Request(http.MethodPost, "/post", "a body"))
	<-time.After(span / 4)
	before := load.Count()
	m.before = s.state(c, load, 0, before)
	h.begin(s, v2)
	begun := load.Count()
	<-time.After(span)
	m.after = s.state(c, load, begun, load.Count())
	load.End()
	m.sent = load.Count() - begun
	failures := load.Failed("httpbin-v1", begun, begun+m.sent)
	m.failed = len(failures)
	if m.failed > 0 {
		s.Logf("requests failed: %s", failures[:min(10, m.failed)])
	}
	return m
}

// measureBodies looks at requests that are sent one after the other.
func (s *scene) measureBodies(c *httpClient, h hazard, v2 *variantTwo) (m measured) {
	s.Helper()
	caller := dataplane.NewCaller(c.Address, c.Host, h.protocol)
	defer caller.Close()
	request := caller.Request(http.MethodPost, "/post", strings.Repeat("x", max(1, h.kib<<10)))
	send := func(span time.Duration) (state, int, int) {
		var took []time.Duration
		failed := 0
		for begun := time.Now(); len(took) < 3 || time.Since(begun) < span; {
			<-time.After(time.Until(begun.Add(time.Duration(len(took)) * bodyInterval)))
			sent := time.Now()
			if caller.Do(request) != "httpbin-v1" {
				failed++
			}
			took = append(took, time.Since(sent))
			s.forget("httpbin-v1")
		}
		slices.Sort(took)
		st := s.state(c, nil, 0, 0)
		st.p50, st.p99 = took[len(took)/2], took[len(took)*99/100]
		return st, failed, len(took)
	}
	var failed int
	m.before, failed, _ = send(0)
	s.Expect(failed).To(gomega.BeZero(), "before")
	h.begin(s, v2)
	if h.kib > 0 {
		caller.SetTimeout(bodyTimeout)
	}
	m.after, m.failed, m.sent = send(time.Duration(*safetySeconds) * time.Second)
	return m
}

// state now of the Envoy, and of the requests of a load from one number of them to another.
func (s *scene) state(c *httpClient, l *dataplane.Load, from, to int) (st state) {
	s.Helper()
	var err error
	st.descriptors, err = c.envoy.Descriptors()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	st.kib, err = c.envoy.ResidentKiB()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	if l != nil {
		st.p50, st.p99 = l.Quantile(0.5, from, to), l.Quantile(0.99, from, to)
	}
	return st
}

// Marks of what is written, in docs/safety.md.
const (
	safetyBegin = "<!-- measured: begin -->\n"
	safetyEnd   = "<!-- measured: end -->\n"
)

// writeSafety writes the tables between the marks of a file.
func writeSafety(file, tables string) error {
	if !filepath.IsAbs(file) {
		file = filepath.Join(cluster.ModuleRoot(), file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, begins := strings.Cut(string(text), safetyBegin)
	_, tail, ends := strings.Cut(rest, safetyEnd)
	if !begins || !ends {
		return fmt.Errorf("%s has no marks %q and %q", file, safetyBegin, safetyEnd)
	}
	var limit unix.Rlimit
	if err := unix.Prlimit(envoyGateway.Envoy.PID(), unix.RLIMIT_NOFILE, nil, &limit); err != nil {
		return err
	}
	measured := fmt.Sprintf("Measured on %s, %d s each, with a limit of %d descriptors where none is named.\n", time.Now().Format(time.DateOnly), *safetySeconds, limit.Cur)
	return os.WriteFile(file, []byte(head+safetyBegin+measured+tables+safetyEnd+tail), 0o600)
}
