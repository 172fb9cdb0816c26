package mesh

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/onsi/gomega"
	appsv1 "k8s.io/api/apps/v1"

	"iter8.tools/operator/test/figures"
)

// mirrored is a scene in which v1 answers and everything is mirrored to v2.
func mirrored(t *testing.T) (s *scene, c *caller, v2 *appsv1.Deployment) {
	t.Helper()
	s = newScene(t)
	s.httpbin("v2")
	s.deploy("httpbin-v1")
	v2, _ = s.deploy("httpbin-v2")
	s.policy("mirror", mirrorAll)
	c = s.calling(s.sidecar(), "8000", "httpbin:8000")
	s.Eventually(c.routing(c.get("/"))).Should(gomega.Equal("httpbin-v1:80, copies to httpbin-v2:80 (100%)"))
	return s, c, v2
}

func (s *scene) scale(deployment *appsv1.Deployment, replicas int32) {
	s.Helper()
	patch(s, deployment, func(d *appsv1.Deployment) { d.Spec.Replicas = &replicas })
}

// timely is how many times as long, and how many milliseconds more, half of the requests may take while the
// control plane is at work too, on a machine that others use. That nobody waits for a copy is shown by v2 hanging.
const timely = 10

func TestClientsDoNotNoticeThatVariantTwoIsScaledToNothing(t *testing.T) {
	s, c, v2 := mirrored(t)
	post := c.request(http.MethodPost, "/post", "a body")
	load := c.load(post)
	const enough = 300
	s.Eventually(load.count).Should(gomega.BeNumerically(">=", enough))
	undisturbed := load.count()

	const rounds = 5
	var writing, updating []time.Duration // after the last endpoint
	for round := range rounds {
		endpointGone, written, updated := s.lastEndpointGone("httpbin-v2"), s.mirrorWithdrawn("httpbin"), c.copiesEnd(post)
		s.scale(v2, 0)
		var gone, withdrawn, applied time.Time
		s.Eventually(updated).Should(gomega.Receive(&applied), "round %d", round)
		s.Eventually(written).Should(gomega.Receive(&withdrawn), "round %d", round)
		s.Eventually(endpointGone).Should(gomega.Receive(&gone), "round %d", round)
		writing, updating = append(writing, withdrawn.Sub(gone)), append(updating, applied.Sub(gone))
		s.Expect(c.routing(post)()).To(gomega.Equal("httpbin-v1:80"))
		s.Eventually(s.pods("httpbin-v2")).Should(gomega.BeEmpty())

		s.scale(v2, 1)
		s.Eventually(s.pods("httpbin-v2")).Should(gomega.HaveLen(1))
		s.Eventually(c.routing(post)).Should(gomega.Equal("httpbin-v1:80, copies to httpbin-v2:80 (100%)"), "round %d", round)
	}
	s.Expect(load.end()).To(gomega.Equal(map[string]int{"httpbin-v1": load.count()}))
	copies, lost := c.copies()["httpbin-v2"], c.lostCopies()["httpbin-v2"]
	s.Eventually(s.count("httpbin-v2")).Should(gomega.BeNumerically(">=", copies-lost))
	figures.Note(t, "after the last endpoint of v2 had gone, the route was written without the mirror in %s, and the proxy had it in %s", spread(writing), spread(updating))
	figures.Note(t, "v2 went and came %d times under %d requests, %d/s: %d failed, %d were copied, and %d copies were lost",
		rounds, load.count(), loadPerSecond, load.count()-load.answers["httpbin-v1"], copies, lost)
	s.expectNoDelay(load, undisturbed)
}

func TestClientsDoNotNoticeAMirrorThatBreaks(t *testing.T) {
	s, c, _ := mirrored(t)
	post := c.request(http.MethodPost, "/post", "a body")
	load := c.load(post)
	const enough = 300
	s.Eventually(load.count).Should(gomega.BeNumerically(">=", enough))
	before := load.count()
	servers.behave(variant{s.namespace, "httpbin-v2"}, func(m *manners) { m.breaks = true })
	s.Eventually(load.count).Should(gomega.BeNumerically(">=", before+enough))

	s.Expect(load.end()).To(gomega.Equal(map[string]int{"httpbin-v1": load.count()}))
	s.Eventually(c.lostCopies).Should(gomega.HaveKeyWithValue("httpbin-v2", gomega.BeNumerically(">=", enough-loadPerSecond/10)))
	figures.Note(t, "of %d requests %d were copied, and %d copies were lost: v2 is there, and breaks what it gets", load.count(), c.copies()["httpbin-v2"], c.lostCopies()["httpbin-v2"])
	s.expectNoDelay(load, before)
}

func TestClientsAreAnsweredWhileVariantTwoHangs(t *testing.T) {
	s, c, v2 := mirrored(t)
	hanging, release := variant{s.namespace, "httpbin-v2"}, make(chan struct{})
	servers.behave(hanging, func(m *manners) { m.hangs = release })
	t.Cleanup(func() { close(release) })

	const times = 300
	post := c.request(http.MethodPost, "/post", "a body")
	s.Expect(c.send(times, post)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
	s.Eventually(func() int { return servers.hung(hanging) }).Should(gomega.Equal(times), "v2 holds all of the copies, while all of the originals are answered")

	s.scale(v2, 0)
	s.Eventually(c.routing(post)).Should(gomega.Equal("httpbin-v1:80"))
	s.Expect(c.send(times, post)).To(gomega.Equal(map[string]int{"httpbin-v1": times}))
	s.Expect(s.received("httpbin-v2")).To(gomega.HaveLen(times))
}

// expectNoDelay compares the requests before something happened, which was after so many, with those since.
func (s *scene) expectNoDelay(l *load, before int) {
	s.Helper()
	was, is := l.median(0, before), l.median(before, l.count())
	figures.Note(s.T, "half of the requests took no longer than %s before, and %s since", rounded(was), rounded(is))
	s.Expect(is).To(gomega.BeNumerically("<", timely*(was+time.Millisecond)))
}

// spread describes durations by the median and the longest.
func spread(durations []time.Duration) string {
	sorted := slices.Sorted(slices.Values(durations))
	return fmt.Sprintf("%s (at the longest %s)", rounded(sorted[len(sorted)/2]), rounded(sorted[len(sorted)-1]))
}

func rounded(d time.Duration) time.Duration { return d.Round(100 * time.Microsecond) }
