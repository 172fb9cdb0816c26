package traffic

import (
	"net/http"
	"strings"
	"testing"

	"github.com/onsi/gomega"

	"iter8.tools/operator/test/dataplane"
)

// everyMethod are requests that differ in method, path, headers and body.
func everyMethod(c *httpClient) []*http.Request {
	return []*http.Request{
		c.Get("/headers", "X-One", "1", "X-Many", "a", "X-Many", "b"),
		c.Get("/get?show=all&q=%2F", "Cookie", "session=1"),
		c.Request(http.MethodHead, "/get", ""),
		c.Request(http.MethodOptions, "/", ""),
		c.Request(http.MethodPost, "/post", "a body", "Content-Type", "text/plain"),
		c.Request(http.MethodPut, "/put/some%20thing", strings.Repeat("large ", 20_000)),
		c.Request(http.MethodPatch, "/patch", `{"json": true}`, "Content-Type", "application/json"),
		c.Request(http.MethodDelete, "/delete", ""),
	}
}

func TestEveryRequestIsMirroredWhileVariantTwoExists(t *testing.T) {
	for protocol, proto := range map[dataplane.Protocol]string{dataplane.HTTP1: "HTTP/1.1", dataplane.H2C: "HTTP/2.0"} {
		t.Run(string(protocol), func(t *testing.T) {
			onEachPlane(t, func(s *scene) { s.expectEveryRequestMirrored(protocol, proto) })
		})
	}
}

// expectEveryRequestMirrored has clients, variants and all between them speak a protocol.
func (s *scene) expectEveryRequestMirrored(protocol dataplane.Protocol, proto string) {
	s.Helper()
	s.httpbin("v2")
	s.deployFor("httpbin-v1", protocol)
	s.route(mirrorAll)
	c := s.callingAt(s.plane.envoy(s), s.plane.host(s.namespace), protocol)
	requests := everyMethod(c)
	onlyV1 := map[string]int{"httpbin-v1": 200}

	s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
	s.Expect(c.Send(200, requests...)).To(gomega.Equal(onlyV1))
	s.Expect(s.received("httpbin-v1")).To(gomega.HaveLen(200))
	s.Expect(s.received("httpbin-v2")).To(gomega.BeEmpty())

	s.deployFor("httpbin-v2", protocol)
	s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"))
	s.forget("httpbin-v1")
	s.Expect(c.Send(200, requests...)).To(gomega.Equal(onlyV1))
	s.Eventually(s.count("httpbin-v2")).Should(gomega.Equal(200))
	originals, copies := s.received("httpbin-v1"), s.received("httpbin-v2")
	s.Expect(dataplane.CheckCopies(originals, copies)).To(gomega.Succeed())
	s.Expect(append(originals, copies...)).To(gomega.HaveEach(gomega.HaveField("Proto", proto)))

	s.setV2(false) // its Pod stays, and would answer
	s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
	s.forget("httpbin-v1")
	s.Expect(c.Send(200, requests...)).To(gomega.Equal(onlyV1))
	s.Expect(s.received("httpbin-v1")).To(gomega.HaveLen(200))
	s.Consistently(s.count("httpbin-v2"), "200ms").Should(gomega.Equal(200), "as many as before")
	s.Expect(s.pods("httpbin-v2")()).To(gomega.HaveLen(1))
}
