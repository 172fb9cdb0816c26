package traffic

import (
	"net/http"
	"testing"

	"github.com/onsi/gomega"
)

// The control plane of the data plane is killed, while variant 2 comes and goes: clients notice nothing, and once it is back
// Envoy has the route as it is then.
func TestNoRequestFailsWhileTheGatewaysControllerIsKilled(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, _ := s.mirrored()
		post := c.Request(http.MethodPost, "/post", "a body")
		load := c.Load(post)
		for range 2 {
			back := make(chan error, 1)
			go func() { back <- s.plane.restart(s.Context()) }()
			s.vanish()
			s.appear()
			s.vanish()
			s.Eventually(back, "2m").Should(gomega.Receive(gomega.Not(gomega.HaveOccurred())))
			s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
			s.appear()
			s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"))
		}
		s.Expect(load.End()).To(gomega.Equal(map[string]int{"httpbin-v1": load.Count()}))
		s.expectMirrored(c, post)
	})
}

func TestAnEnvoyThatDiesComesBackWithTheRouteAsItIsThen(t *testing.T) {
	onEachPlane(t, func(s *scene) {
		c, v2 := s.mirrored()
		c.envoy.Kill()
		s.Expect(c.Do(c.Get("/"))).To(gomega.ContainSubstring("connection refused"))
		s.scale(v2, 0)
		s.Expect(c.envoy.Restart(s.Context())).To(gomega.Succeed())
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		s.Eventually(func() string { return c.Do(c.Get("/")) }).Should(gomega.Equal("httpbin-v1"))
		s.scale(v2, 1)
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"))
		s.expectMirrored(c, c.Get("/"))
	})
}
