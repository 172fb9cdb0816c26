package env

import (
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
		"a recovered panic, allowed or not":        {panicked + "\n", append(allowed, AllowedError{Parts: []string{"panic"}}), []string{panicked}},
		"a level that is worse than an error":      {fatal + "\n", allowed, []string{fatal}},
		"a data race, as one finding":              {info + "\n" + race + "\n" + info + "\n", nil, []string{race}},
		"a crash at the end":                       {info + "\n" + crash + "\n", nil, []string{crash}},
		"a last word that is allowed":              {"iter8-operator: refused by the Reconciler error\n", allowed, nil},
		"a last word":                              {"iter8-operator: no\n", allowed, []string{"iter8-operator: no"}},
		"a line that a kill has cut off":           {info + "\n" + refused[:40], nil, nil},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(judgeLog(strings.NewReader(c.log), c.allowed)).To(Equal(c.findings))
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
