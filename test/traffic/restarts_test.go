package traffic

import (
	"context"
	"net/http"
	"testing"

	"github.com/onsi/gomega"

	"iter8.tools/operator/test/figures"
)

// What configures the Envoy is killed, and another one takes its place, while variant 2 comes and goes: clients notice nothing, and
// in the end Envoy has the route as it is then. Gateways under istiod are left out: in one of several runs the Envoy of one had lost
// the Gateway's listener for good after istiod was killed, which is between the two of them.
func TestNoRequestFailsWhileTheControllerIsKilled(t *testing.T) {
	for _, p := range []plane{sidecar, egGateway} {
		t.Run(p.name, func(t *testing.T) { newScene(t, p).expectKillsUnnoticed() })
	}
}

func (s *scene) expectKillsUnnoticed() {
	s.Helper()
	c, _ := s.mirrored()
	load := s.load(c, c.Request(http.MethodPost, "/post", "a body"))
	flipped := 0
	for range 3 {
		back := make(chan error, 1)
		go func() { back <- s.plane.restart(context.WithoutCancel(s.Context())) }()
		s.Eventually(func(g gomega.Gomega) {
			s.setV2(false)
			s.setV2(true)
			flipped += 2
			g.Expect(back).To(gomega.Receive(gomega.BeNil()))
		}, "2m").Should(gomega.Succeed())
		s.setV2(false)
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		s.setV2(true)
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"))
	}
	s.Expect(load.End()).To(gomega.Equal(map[string]int{"httpbin-v1": load.Count()}))
	figures.Note(s.T, "the controller was killed 3 times during %d flips under %d requests: none failed", flipped, load.Count())
	s.expectMirrored(c, true)
}

func TestAnEnvoyThatDiesComesBackWithTheRouteAsItIsThen(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, v2 := s.mirrored()
		s.Cleanup(func() { // it may be that of the tests to come
			select {
			case <-c.envoy.Done():
				s.Expect(c.envoy.Restart(context.Background())).To(gomega.Succeed())
			default:
			}
		})
		c.envoy.Kill()
		s.Expect(c.Do(c.Get("/"))).To(gomega.ContainSubstring("connection refused"))
		s.scale(v2, 0)
		s.Expect(c.envoy.Restart(s.Context())).To(gomega.Succeed())
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		s.Eventually(func() string { return c.Do(c.Get("/")) }).Should(gomega.Equal("httpbin-v1"))
		s.scale(v2, 1)
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"))
		s.expectMirrored(c, true)
	})
}
