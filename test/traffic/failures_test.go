package traffic

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"

	"iter8.tools/operator/test/dataplane"
	"iter8.tools/operator/test/figures"
)

func (s *scene) scale(deployment *appsv1.Deployment, replicas int32) {
	s.Helper()
	patch(s, deployment, func(d *appsv1.Deployment) { d.Spec.Replicas = &replicas })
}

const (
	// timely is how many times as long, and how many milliseconds more, half of the requests may take while the
	// control plane is at work too, on a machine that others use. That no request waits for a copy is shown by v2 hanging.
	timely = 10
	// enough requests to tell what is usual.
	enough = 300
)

func TestClientsDoNotNoticeThatVariantTwoIsScaledToNothing(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, v2 := s.mirrored()
		post := c.Request(http.MethodPost, "/post", "a body")
		load := c.Load(post)
		s.Eventually(load.Count).Should(gomega.BeNumerically(">=", enough))
		undisturbed := load.Count()

		const rounds = 5
		var writing, updating []time.Duration // after the last endpoint
		for round := range rounds {
			endpointGone, written := s.lastEndpointGone("httpbin-v2"), s.written("httpbin")
			s.scale(v2, 0)
			s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"), "round %d", round)
			routing, err := c.envoy.Routing(s.Context(), c.Host)
			s.Expect(err).NotTo(gomega.HaveOccurred())
			var gone, withdrawn time.Time
			s.Eventually(written).Should(gomega.Receive(&withdrawn), "round %d", round)
			s.Eventually(endpointGone).Should(gomega.Receive(&gone), "round %d", round)
			writing, updating = append(writing, withdrawn.Sub(gone)), append(updating, routing.Updated.Sub(gone))
			s.Eventually(s.pods("httpbin-v2")).Should(gomega.BeEmpty())

			s.scale(v2, 1)
			s.Eventually(s.pods("httpbin-v2")).Should(gomega.HaveLen(1))
			s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"), "round %d", round)
		}
		s.Expect(load.End()).To(gomega.Equal(map[string]int{"httpbin-v1": load.Count()}))
		figures.Note(s.T, "after the last endpoint of v2 had gone, the route was written without the mirror in %s, and Envoy had it in %s", spread(writing), spread(updating))
		figures.Note(s.T, "v2 went and came %d times under %d requests, %d/s: none failed, and %d copies arrived",
			rounds, load.Count(), dataplane.LoadPerSecond, s.count("httpbin-v2")())
		s.expectNoDelay(load, undisturbed)
		s.expectMirrored(c, post)
	})
}

// misbehaving is what variant 2 can do to copies that clients of variant 1 don't notice.
var misbehaving = map[string]dataplane.Manners{
	"it breaks what it gets":           {Breaks: true},
	"it refuses connections":           {Refuses: true},
	"it is slow":                       {Delay: 500 * time.Millisecond},
	"it answers with much":             {Bytes: 64 << 10},
	"it breaks and is slow to do that": {Delay: 500 * time.Millisecond, Breaks: true},
}

func TestClientsDoNotNoticeHowVariantTwoMisbehaves(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, _ := s.mirrored()
		post := c.Request(http.MethodPost, "/post", "a body")
		for sentence, manners := range misbehaving {
			s.Run(sentence, func(t *testing.T) {
				g := gomega.NewWithT(t)
				load := c.Load(post)
				g.Eventually(load.Count).Should(gomega.BeNumerically(">=", enough))
				before := load.Count()
				s.behave("httpbin-v2", manners)
				defer s.behave("httpbin-v2", dataplane.Manners{})
				g.Eventually(load.Count).Should(gomega.BeNumerically(">=", before+enough))
				g.Expect(load.End()).To(gomega.Equal(map[string]int{"httpbin-v1": load.Count()}))
				g.Expect(c.routing()).To(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"), "it is Ready all the while")
				s.expectNoDelay(load, before)
			})
		}
		s.behave("httpbin-v2", dataplane.Manners{})
		s.expectMirrored(c, post)
	})
}

func TestClientsAreAnsweredWhileVariantTwoHangs(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, v2 := s.mirrored()
		release := make(chan struct{})
		s.Cleanup(func() { close(release) })
		s.behave("httpbin-v2", dataplane.Manners{Holds: release})

		const times = 300
		post := c.Request(http.MethodPost, "/post", "a body")
		s.Expect(c.Send(times, post)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
		s.Eventually(func() int { return pods.Held(s.workload("httpbin-v2")) }).Should(gomega.Equal(times), "v2 holds all of the copies, while all of the originals are answered")

		s.scale(v2, 0)
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		s.Expect(c.Send(times, post)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
		s.Expect(s.received("httpbin-v2")).To(gomega.HaveLen(times))
	})
}

// expectNoDelay compares the requests before something happened, which was after so many, with those since.
func (s *scene) expectNoDelay(l *dataplane.Load, before int) {
	s.Helper()
	was, is := l.Quantile(0.5, 0, before), l.Quantile(0.5, before, l.Count())
	figures.Note(s.T, "half of the requests took no longer than %s before, and %s since", rounded(was), rounded(is))
	s.Expect(is).To(gomega.BeNumerically("<", timely*(was+time.Millisecond)))
}

// spread describes durations by the median and the longest.
func spread(durations []time.Duration) string {
	sorted := slices.Sorted(slices.Values(durations))
	return fmt.Sprintf("%s (at the longest %s)", rounded(sorted[len(sorted)/2]), rounded(sorted[len(sorted)-1]))
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
