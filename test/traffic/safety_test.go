package traffic

import (
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
	corev1 "k8s.io/api/core/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/dataplane"
	"iter8.tools/operator/test/figures"
)

// The test of what variant 2 can do to variant 1 takes a look of a moment, unless it is to write the figures down.
var (
	safetyFile    = flag.String("safety", "", "write the figures into this file, between its marks")
	safetySeconds = flag.Int("safety-seconds", 2, "how long each row is looked at")
)

// harm is how many of the requests to variant 1 fail.
type harm string

const (
	none harm = "none"
	few  harm = "few" // until the mirror is withdrawn
	most harm = "most"
)

// deed is something that variant 2 does while it gets copies of all requests.
type deed struct {
	name string
	// does begins it.
	does func(s *scene, v2 *variantTwo)
	// rules of the route; "" means mirrorAll.
	rules string
	// kib is the size of requests that are sent one after the other; 0 means a load of small ones.
	kib int
	// h2c from client to server, in place of HTTP/1.1.
	h2c bool
	// harm that it does on a plane, as far as it is known beforehand.
	harm func(plane) harm
}

func harmless(plane) harm { return none }

// whereAServiceIsNeeded is harmless but where a mirror needs its Service.
func whereAServiceIsNeeded(hurt harm) func(plane) harm {
	return func(p plane) harm {
		if p.needsService {
			return hurt
		}
		return none
	}
}

// variantTwo is the one that does it.
type variantTwo struct {
	scale   func(replicas int32)
	release chan struct{} // of what it holds
}

const mirrorAllInTwoSeconds = `
rules:
- filters:
  - {type: RequestMirror, requestMirror: {backendRef: {name: httpbin-v2, port: 80}}}
  backendRefs: [{name: httpbin-v1, port: 80}]
  timeouts: {request: 2s}
`

// deeds in the order of the table in docs/safety.md.
func deeds() []deed {
	behaves := func(m dataplane.Manners) func(*scene, *variantTwo) {
		return func(s *scene, _ *variantTwo) { s.behave("httpbin-v2", m) }
	}
	hangs := func(s *scene, v2 *variantTwo) { s.behave("httpbin-v2", dataplane.Manners{Holds: v2.release}) }
	goes := func(s *scene, v2 *variantTwo) { v2.scale(0) }
	deleted := func(s *scene, _ *variantTwo) { s.delete(s.serviceOfV2()) }
	suspended := func(do func(*scene, *variantTwo)) func(*scene, *variantTwo) {
		return func(s *scene, v2 *variantTwo) {
			policy := s.applied("httpbin")
			patch(s, policy, func(p *iter8v1alpha1.RoutingPolicy) { p.Spec.Suspend = true })
			s.Eventually(s.condition(policy, iter8v1alpha1.ConditionReady)).Should(gomega.ContainSubstring("spec.suspend is set"))
			do(s, v2)
		}
	}
	all := []deed{
		{name: "answers", does: func(*scene, *variantTwo) {}, harm: harmless},
		{name: "loses its endpoints", does: goes, harm: harmless},
		{name: "loses its endpoints, and the policy is suspended", does: suspended(goes), harm: harmless},
		{name: "loses its Service", does: deleted, harm: whereAServiceIsNeeded(few)},
		{name: "loses its Service, and the policy is suspended", does: suspended(deleted), harm: whereAServiceIsNeeded(most)},
		{name: "refuses connections", does: behaves(dataplane.Manners{Refuses: true}), harm: harmless},
		{name: "breaks connections", does: behaves(dataplane.Manners{Breaks: true}), harm: harmless},
		{name: "takes a second to answer", does: behaves(dataplane.Manners{Delay: time.Second}), harm: harmless},
		{name: "answers with 1 MiB", does: behaves(dataplane.Manners{Bytes: 1 << 20}), harm: harmless},
		{name: "hangs, with a route timeout of 2 s", does: hangs, rules: mirrorAllInTwoSeconds},
		{name: "hangs", does: hangs},
	}
	for _, h2c := range []bool{false, true} {
		for _, kib := range []int{64, 1 << 10, 8 << 10} {
			d := deed{name: fmt.Sprintf("reads no bodies, of %d KiB, over HTTP/1.1", kib), kib: kib, h2c: h2c}
			if h2c {
				d.name = fmt.Sprintf("reads no bodies, of %d KiB, over h2c", kib)
			}
			d.does = func(s *scene, v2 *variantTwo) { s.behave("httpbin-v2", dataplane.Manners{Unread: v2.release}) }
			all = append(all, d)
		}
	}
	return all
}

// measured is a row of the table.
type measured struct {
	failed, sent           int
	before, after          [2]time.Duration // p50 and p99
	descriptors, residents [2]int           // before and after; residents in KiB
}

func TestWhatVariantTwoCanDoToVariantOne(t *testing.T) {
	table := map[string]map[string]measured{}
	for _, p := range []plane{sidecar, egGateway} {
		table[p.name] = map[string]measured{}
		for _, d := range deeds() {
			t.Run(p.name+"/"+d.name, func(t *testing.T) {
				s := newScene(t, p)
				m := s.measure(d)
				table[p.name][d.name] = m
				figures.Note(t, "%d of %d requests failed; p50 %s → %s, p99 %s → %s; descriptors %d → %d, memory %d → %d MiB", m.failed, m.sent,
					rounded(m.before[0]), rounded(m.after[0]), rounded(m.before[1]), rounded(m.after[1]),
					m.descriptors[0], m.descriptors[1], m.residents[0]>>10, m.residents[1]>>10)
				if d.harm == nil {
					return
				}
				switch d.harm(p) {
				case none:
					s.Expect(m.failed).To(gomega.BeZero())
				case few:
					s.Expect(m.failed).To(gomega.BeNumerically("<", m.sent/2))
				case most:
					s.Expect(m.failed).To(gomega.BeNumerically(">", m.sent/2))
				}
			})
		}
	}
	if *safetyFile != "" {
		gomega.NewWithT(t).Expect(writeSafety(*safetyFile, table)).To(gomega.Succeed())
	}
}

// measure has variant 2 do something while requests go to variant 1.
func (s *scene) measure(d deed) (m measured) {
	s.Helper()
	s.httpbin("v2")
	_, service := s.deploy("httpbin-v1")
	deployment, serviceOfV2 := s.deploy("httpbin-v2")
	if d.h2c {
		h2c := "kubernetes.io/h2c"
		for _, service := range []*corev1.Service{service, serviceOfV2} {
			patch(s, service, func(o *corev1.Service) { o.Spec.Ports[0].AppProtocol = &h2c })
		}
	}
	rules := d.rules
	if rules == "" {
		rules = mirrorAll
	}
	s.route(rules)
	c := s.calling()
	s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"))
	v2 := &variantTwo{release: make(chan struct{}), scale: func(replicas int32) { s.scale(deployment, replicas) }}
	if d.kib > 0 {
		m = s.measureBodies(c, d, v2)
	} else {
		m = s.measureLoad(c, d, v2)
	}
	return m
}

// measureLoad looks at a load of small requests.
func (s *scene) measureLoad(c *httpClient, d deed, v2 *variantTwo) (m measured) {
	s.Helper()
	load := c.Load(c.Request(http.MethodPost, "/post", "a body"))
	<-time.After(time.Duration(*safetySeconds) * time.Second / 4)
	m.descriptors[0], m.residents[0] = s.size(c)
	before := load.Count()
	d.does(s, v2)
	begin := load.Count()
	<-time.After(time.Duration(*safetySeconds) * time.Second)
	m.descriptors[1], m.residents[1] = s.size(c)
	close(v2.release)
	load.End()
	after := load.Count()
	m.failed, m.sent = load.Failed("httpbin-v1", before, after), after-before
	m.before = [2]time.Duration{load.Quantile(0.5, 0, before), load.Quantile(0.99, 0, before)}
	m.after = [2]time.Duration{load.Quantile(0.5, begin, after), load.Quantile(0.99, begin, after)}
	return m
}

// measureBodies looks at large requests, one after the other.
func (s *scene) measureBodies(c *httpClient, d deed, v2 *variantTwo) (m measured) {
	s.Helper()
	caller := dataplane.NewCaller(c.Address, c.Host, d.h2c)
	defer caller.Close()
	caller.Patience(2 * time.Second)
	large := caller.Request(http.MethodPost, "/post", strings.Repeat("x", d.kib<<10))
	times := *safetySeconds
	send := func() (failed int, took [2]time.Duration) {
		all := make([]time.Duration, 0, times)
		for range times {
			sent := time.Now()
			if caller.Do(large) != "httpbin-v1" {
				failed++
			}
			all = append(all, time.Since(sent))
		}
		slices.Sort(all)
		return failed, [2]time.Duration{all[len(all)/2], all[len(all)-1]}
	}
	failed, before := send()
	s.Expect(failed).To(gomega.BeZero(), "before")
	m.descriptors[0], m.residents[0] = s.size(c)
	d.does(s, v2)
	m.before, m.sent = before, times
	m.failed, m.after = send()
	m.descriptors[1], m.residents[1] = s.size(c)
	close(v2.release)
	return m
}

// size of the Envoy: its descriptors, and its memory in KiB.
func (s *scene) size(c *httpClient) (descriptors, kib int) {
	s.Helper()
	descriptors, err := c.envoy.Descriptors()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	kib, err = c.envoy.ResidentKiB()
	s.Expect(err).NotTo(gomega.HaveOccurred())
	return descriptors, kib
}

// Marks of what is written, in docs/safety.md.
const (
	safetyBegin = "<!-- measured: begin -->\n"
	safetyEnd   = "<!-- measured: end -->\n"
)

// writeSafety writes the table between the marks of a file.
func writeSafety(file string, table map[string]map[string]measured) error {
	if !filepath.IsAbs(file) {
		file = filepath.Join(cluster.ModuleRoot(), file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	head, rest, ok := strings.Cut(string(text), safetyBegin)
	_, tail, ok2 := strings.Cut(rest, safetyEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%s has no marks %q and %q", file, safetyBegin, safetyEnd)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Measured on %s, %d s a row.\n", time.Now().Format(time.DateOnly), *safetySeconds)
	for _, p := range []plane{sidecar, egGateway} {
		fmt.Fprintf(&b, "\n| %s: variant 2 … | failed | p50 | p99 | descriptors | memory, MiB |\n|---|---|---|---|---|---|\n", p.name)
		for _, d := range deeds() {
			m, ok := table[p.name][d.name]
			if !ok {
				continue
			}
			fmt.Fprintf(&b, "| %s | %d of %d | %s → %s | %s → %s | %d → %d | %d → %d |\n", d.name, m.failed, m.sent,
				rounded(m.before[0]), rounded(m.after[0]), rounded(m.before[1]), rounded(m.after[1]),
				m.descriptors[0], m.descriptors[1], m.residents[0]>>10, m.residents[1]>>10)
		}
	}
	return os.WriteFile(file, []byte(head+safetyBegin+b.String()+safetyEnd+tail), 0o600)
}
