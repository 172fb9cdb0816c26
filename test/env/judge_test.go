package env

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

func TestTheLogOfAnOperatorIsJudged(t *testing.T) {
	const (
		info     = `{"level":"info","ts":"2026-11-28T18:15:14Z","msg":"starting server","name":"health probe","addr":"127.0.0.1:1"}`
		debug    = `{"level":"debug","ts":"2026-11-28T18:15:14Z","msg":"nothing"}`
		refused  = `{"level":"error","ts":"2026-11-28T18:15:15Z","msg":"Reconciler error","error":"refused: no such thing"}`
		panicked = `{"level":"error","ts":"2026-11-28T18:15:15Z","msg":"Observed a panic","panic":"refused: no such thing"}`
		fatal    = `{"level":"panic","ts":"2026-11-28T18:15:15Z","msg":"refused: no such thing"}`
		stop     = `{"level":"info","ts":"2026-11-28T18:15:15Z","msg":"Stopping and waiting for non leader election runnables"}`
		cutOff   = `{"level":"error","ts":"2026-11-28T18:15:15Z","msg":"Reconciler error","error":"writing: context canceled"}`
		unsynced = `{"level":"error","ts":"2026-11-28T18:15:15Z","logger":"controller-runtime.source.Kind","msg":"failed to get informer from cache","error":"Timeout: failed waiting for *v1alpha1.Subject Informer to sync"}`
		gone     = `{"level":"error","ts":"2026-11-28T18:15:15Z","logger":"events","msg":"Server rejected event (will not retry!)","error":"namespaces \"scene\" not found"}`
		race     = "==================\nWARNING: DATA RACE\nWrite at 0x00c0000b4010 by goroutine 7:\n=================="
		crash    = "panic: oh\n\ngoroutine 1 [running]:"
	)
	allowed := []AllowedError{{Parts: []string{"Reconciler error", "refused"}, Because: "this test refuses"}}
	for name, c := range map[string]struct {
		log      string
		allowed  []AllowedError
		findings []string
	}{
		"nothing":                       {"", nil, nil},
		"information":                   {info + "\n" + debug + "\n", nil, nil},
		"an error":                      {info + "\n" + refused + "\n" + info + "\n", nil, []string{refused}},
		"an error that is logged again": {refused + "\n" + strings.Replace(refused, "15Z", "16Z", 1) + "\n", nil, []string{refused}},
		"an error that is allowed":      {refused + "\n", allowed, nil},
		"an error that contains only a part of it": {strings.Replace(refused, "refused", "denied", 1) + "\n", allowed, []string{strings.Replace(refused, "refused", "denied", 1)}},
		"an allowance of nothing":                  {refused + "\n", []AllowedError{{}}, []string{refused}},
		"what a stop cut off":                      {stop + "\n" + cutOff + "\n" + refused + "\n", nil, []string{refused}},
		"what is cut off without a stop":           {cutOff + "\n" + stop + "\n", nil, []string{cutOff}},
		"a start that a stop cut off":              {stop + "\n" + unsynced + "\n", nil, nil},
		"a start that fails":                       {unsynced + "\n" + stop + "\n", nil, []string{unsynced}},
		"a recovered panic, allowed or not":        {panicked + "\n", append(allowed, AllowedError{Parts: []string{"panic"}}), []string{panicked}},
		"a level that is worse than an error":      {fatal + "\n", allowed, []string{fatal}},
		"a data race, as one finding":              {info + "\n" + race + "\n" + info + "\n", nil, []string{race}},
		"a crash at the end":                       {info + "\n" + crash + "\n", nil, []string{crash}},
		"an Event of a namespace that is gone":     {gone + "\n", allowedAlways, nil},
		"an Event that is refused otherwise":       {strings.Replace(gone, "not found", "forbidden", 1) + "\n", allowedAlways, []string{strings.Replace(gone, "not found", "forbidden", 1)}},
		"a last word that is allowed":              {"iter8-operator: refused by the Reconciler error\n", allowed, nil},
		"a last word":                              {"iter8-operator: no\n", allowed, []string{"iter8-operator: no"}},
		"a line that a kill has cut off":           {info + "\n" + refused[:40], nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(judgeLog(strings.NewReader(c.log), c.allowed)).To(Equal(c.findings))
		})
	}
}

func TestTheEndOfAnOperatorIsJudged(t *testing.T) {
	for name, c := range map[string]struct {
		set   func(*Operator)
		finds string
	}{
		"in good order":                           {func(*Operator) {}, ""},
		"killed by a test":                        {func(o *Operator) { o.killed.Store(true); o.err = errors.New("signal: killed") }, ""},
		"by itself, as announced":                 {func(o *Operator) { o.mayEnd.Store(true); o.err = errors.New("exit status 1") }, ""},
		"by itself":                               {func(o *Operator) { o.byItself = true }, "ended by itself: exit status 0"},
		"with an error when it was stopped":       {func(o *Operator) { o.err = errors.New("exit status 66") }, "ended in disorder: exit status 66"},
		"killed since it did not heed a signal":   {func(o *Operator) { o.stopped.Store(true); o.err = errors.New("signal: killed") }, "ended in disorder: signal: killed"},
		"with processes that go on":               {func(o *Operator) { o.left = true }, "left processes behind"},
		"that never became ready, as was noticed": {func(o *Operator) { o.failed, o.byItself = true, true }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o := &Operator{Process: &Process{done: make(chan struct{}), cmd: &exec.Cmd{Process: &os.Process{Pid: 1}}}}
			close(o.done)
			c.set(o)
			if findings := o.judgeEnd(); c.finds == "" {
				g.Expect(findings).To(BeEmpty())
			} else {
				g.Expect(findings).To(ConsistOf(ContainSubstring(c.finds)))
			}
		})
	}
}

func TestAReportOfManyLinesIsCutShort(t *testing.T) {
	g := NewWithT(t)
	findings, err := judgeLog(strings.NewReader(strings.Repeat("goroutine\n", 100)), nil)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(findings).To(Equal([]string{strings.TrimSuffix(strings.Repeat("goroutine\n", 60), "\n")}))
}

func TestPortsAreReservedOnce(t *testing.T) {
	g := NewWithT(t)
	var mine, others ports // two test binaries, as far as locks go
	defer mine.release()
	defer others.release()
	seen := map[string]bool{}
	for range 200 {
		for _, p := range []*ports{&mine, &others} {
			port, err := p.reserve()
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(seen).NotTo(HaveKey(port))
			g.Expect(port).To(MatchRegexp(`^2\d{4}$`), "below what the kernel hands out")
			seen[port] = true
		}
	}
}
