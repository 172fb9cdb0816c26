package traffic

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
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

// enough requests to tell what is usual.
const enough = 300

func TestClientsDoNotNoticeThatVariantTwoIsScaledToNothing(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, v2 := s.mirrored()
		load := s.load(c, c.Request(http.MethodPost, "/post", "a body"))
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
		figures.Note(s.T, "after a watch told of the end of v2's last endpoint, one told of the route without the mirror in %s, and Envoy had it in %s", spread(writing), spread(updating))
		figures.Note(s.T, "v2 went and came %d times under %d requests: none failed, and %d copies arrived", rounds, load.Count(), s.count("httpbin-v2")())
		s.noteDelay(load, undisturbed)
		s.expectMirrored(c, true)
	})
}

// slowly is so much more than a request takes that it tells of one which waits for a copy.
const slowly = time.Second

// misbehavior is what variant 2 can do to copies that clients of variant 1 don't notice.
var misbehavior = map[string]dataplane.Behavior{
	"it breaks what it gets":           {Breaks: true},
	"it refuses connections":           {Refuses: true},
	"it is slow":                       {Delay: slowly},
	"it answers with much":             {Bytes: 64 << 10},
	"it breaks and is slow to do that": {Delay: slowly, Breaks: true},
}

func TestClientsDoNotNoticeHowVariantTwoMisbehaves(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, _ := s.mirrored()
		for sentence, behavior := range misbehavior {
			s.Run(sentence, func(t *testing.T) { s.in(t).expectUnnoticed(c, behavior) })
		}
		s.expectMirrored(c, true)
	})
}

func (s *scene) expectUnnoticed(c *httpClient, behavior dataplane.Behavior) {
	s.Helper()
	load := s.load(c, c.Request(http.MethodPost, "/post", "a body"))
	s.Eventually(load.Count).Should(gomega.BeNumerically(">=", enough))
	s.behave("httpbin-v2", behavior)
	before, copiesBefore, failedBefore := load.Count(), s.count("httpbin-v2")(), c.total("httpbin-v2", "cx_connect_fail")
	s.Eventually(load.Count).Should(gomega.BeNumerically(">=", before+enough))
	s.Expect(load.End()).To(gomega.Equal(map[string]int{"httpbin-v1": load.Count()}))
	if behavior.Refuses {
		s.Expect(c.total("httpbin-v2", "cx_connect_fail")-failedBefore).To(gomega.BeNumerically(">=", enough/2), "copies are tried")
	} else {
		s.Eventually(func() int { return s.count("httpbin-v2")() - copiesBefore }).Should(gomega.BeNumerically(">=", enough/2), "copies arrive")
	}
	s.Expect(c.routing()).To(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"), "it is Ready all the while")
	s.noteDelay(load, before)
	if behavior.Delay > 0 {
		s.Expect(load.Quantile(0.5, before, load.Count())).To(gomega.BeNumerically("<", behavior.Delay/2), "no request waits for its copy")
	}
}

// total is a counter of the endpoints of a workload, over all of the Envoy's clusters of the scene.
func (c *httpClient) total(workload, counter string) int {
	clusters, err := c.envoy.Clusters(c.scene.Context())
	if err != nil {
		return -1
	}
	total := 0
	for name, cluster := range clusters {
		if strings.Contains(name, c.scene.namespace) && pods.Behind(cluster.Endpoints()) == workload {
			total += cluster.Total(counter)
		}
	}
	return total
}

func TestClientsAreAnsweredWhileVariantTwoHangs(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, v2 := s.mirrored()
		release := make(chan struct{})
		s.Cleanup(func() { close(release) })
		s.behave("httpbin-v2", dataplane.Behavior{Holds: release})

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

// noteDelay notes how long requests took before something happened, which was after so many, and since.
func (s *scene) noteDelay(l *dataplane.Load, before int) {
	s.Helper()
	was, is := l.Quantile(0.5, 0, before), l.Quantile(0.5, before, l.Count())
	figures.Note(s.T, "half of the requests took no longer than %s before, and %s since", rounded(was), rounded(is))
}

// spread describes durations by the median and the longest.
func spread(durations []time.Duration) string {
	sorted := slices.Sorted(slices.Values(durations))
	return fmt.Sprintf("%s (at the longest %s)", rounded(sorted[len(sorted)/2]), rounded(sorted[len(sorted)-1]))
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
