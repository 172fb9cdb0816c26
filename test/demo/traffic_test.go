package main

import (
	"context"
	"errors"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/test/dataplane"
)

// newStage returns a stage without a cluster, and what reads its screen.
func newStage(t *testing.T) (s *stage, shown func() string) {
	t.Helper()
	output, err := os.CreateTemp(t.TempDir(), "output")
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	t.Cleanup(func() { _ = output.Close() })
	return &stage{screen: newScreen(output)}, func() string { return read(t, output.Name()) }
}

func TestABuildThatFailsLeavesTheRoutesOnly(t *testing.T) {
	const sentence = "Only the routes are shown, since no requests can be sent: there is no python3.\n"
	for name, test := range map[string]struct {
		outcome, ci    string
		shown, failure string
		traffic        bool
	}{
		"a build that succeeds":                       {traffic: true},
		"one that succeeds in continuous integration": {ci: "true", traffic: true},
		"one that fails":                              {outcome: "there is no python3", shown: sentence},
		"one that fails where CI is something else":   {outcome: "there is no python3", ci: "false", shown: sentence},
		"one that fails in continuous integration":    {outcome: "there is no python3", ci: "true", failure: "no requests can be sent: there is no python3"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(ciVariable, test.ci)
			for when, judge := range map[string]func(*stage) error{
				"at the start of the walk": (*stage).announceTraffic,
				"before the first request": func(s *stage) error { return s.awaitBuild(t.Context()) },
			} {
				t.Run(when, func(t *testing.T) {
					g := NewWithT(t)
					s, shown := newStage(t)
					s.traffic = &traffic{build: followBuild(strings.NewReader(test.outcome))}
					<-s.traffic.build.done
					err := judge(s)
					if test.failure == "" {
						g.Expect(err).NotTo(HaveOccurred())
					} else {
						g.Expect(err).To(MatchError(test.failure))
					}
					g.Expect(shown()).To(Equal(test.shown))
					g.Expect(s.traffic != nil).To(Equal(test.traffic))
				})
			}
		})
	}
}

func TestTheDemoSaysWhatItWaitsFor(t *testing.T) {
	g := NewWithT(t)
	t.Setenv(ciVariable, "")
	s, shown := newStage(t)
	s.traffic = &traffic{build: &build{done: make(chan struct{})}}
	g.Expect(s.announceTraffic()).To(Succeed())
	g.Expect(shown()).To(Equal("Meanwhile istiod is being compiled, and an Envoy downloaded, for the requests of later steps.\n"))
	g.Expect(s.traffic).NotTo(BeNil())

	ctx, cancel := context.WithCancelCause(t.Context())
	gone := errors.New("gone")
	cancel(gone)
	g.Expect(s.awaitBuild(ctx)).To(MatchError(gone))
	g.Expect(shown()).To(ContainSubstring("\nWaiting for istiod to be compiled, which takes about 11 minutes the first time"))
}

func TestAWalkWithoutTrafficHasNoStepsOfNothingButRequests(t *testing.T) {
	g := NewWithT(t)
	s, shown := newStage(t)
	steps := []step{{title: "App"}, {title: "Generate load", load: &load{}}, {title: "Cleaning up", load: nil}}
	g.Expect(s.walk(t.Context(), tutorial{title: "Tutorial", steps: steps})).To(Succeed())
	g.Expect(shown()).To(And(ContainSubstring("1. App\n"), ContainSubstring("2. Cleaning up\n"), Not(ContainSubstring("load"))))
}

func TestAFailedBuildIsExplainedByItsLastLine(t *testing.T) {
	failed := errors.New("exit status 1")
	for sentence, test := range map[string]struct {
		err           error
		printed, want string
	}{
		"nothing of one that has succeeded":          {nil, "downloading envoy 1.40.0 (37 MB)…\n… done in 3 s\n", ""},
		"the last line":                              {failed, "downloading envoy 1.40.0 (37 MB)…\nenvoy.sh: there is no python3: install it\n", "there is no python3: install it"},
		"what happened where it has printed nothing": {failed, "\n", "building istiod and getting an Envoy: exit status 1"},
	} {
		t.Run(sentence, func(t *testing.T) {
			NewWithT(t).Expect(whyNotBuilt(test.err, test.printed)).To(Equal(test.want))
		})
	}
}

// received is a request for /headers that reached a Pod, so many milliseconds after 20:15.
func received(milliseconds int, id string, header http.Header) dataplane.Received {
	at := time.Date(2026, time.November, 28, 20, 15, 0, 0, time.Local)
	header.Set("X-Request-Id", id+"-5b0d-4d0e-9a3c-0f6c5b4a3e21")
	return dataplane.Received{
		Method: http.MethodGet, Path: "/headers", Status: http.StatusOK, Header: header,
		At: at.Add(time.Duration(milliseconds) * time.Millisecond),
	}
}

func TestLogsAreShownAsTheTutorialSays(t *testing.T) {
	var originals, copies []dataplane.Received
	for i, id := range []string{"e6c180d1", "3de7967c", "d18225d9", "32d935fb"} {
		originals = append(originals, received([]int{847, 848, 849, 850}[i], id, http.Header{}))
		copies = append(copies, received([]int{848, 848, 850, 850}[i], id, http.Header{"X-Envoy-Internal": {"true"}}))
	}
	for range 16 {
		originals, copies = append(originals, originals[3]), append(copies, copies[3])
	}
	_, documented, found := strings.Cut(section(t, "The tutorial"), "```log\n")
	documented, _, closed := strings.Cut(documented, "```")
	g := NewWithT(t)
	g.Expect(found && closed).To(BeTrue())
	lines := sideBySide(logOf("httpbin-v1", originals), logOf("httpbin-v2", copies))
	g.Expect(strings.Join(lines, "\n") + "\n").To(Equal(documented))
}
