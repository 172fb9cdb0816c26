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
	onEachPlane(t, func(s *scene) {
		s.httpbin("v2")
		s.deploy("httpbin-v1")
		s.route(mirrorAll)
		c := s.calling()
		requests := everyMethod(c)
		onlyV1 := map[string]int{"httpbin-v1": 200}

		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		s.Expect(c.Send(200, requests...)).To(gomega.Equal(onlyV1))
		s.Expect(s.received("httpbin-v1")).To(gomega.HaveLen(200))
		s.Expect(s.received("httpbin-v2")).To(gomega.BeEmpty())

		deployment, service := s.deploy("httpbin-v2")
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1, copies to httpbin-v2 (100%)"))
		s.forget("httpbin-v1")
		s.Expect(c.Send(200, requests...)).To(gomega.Equal(onlyV1))
		s.Eventually(s.count("httpbin-v2")).Should(gomega.Equal(200))
		s.expectCopies(s.received("httpbin-v1"), s.received("httpbin-v2"))

		s.delete(deployment)
		s.Eventually(s.pods("httpbin-v2")).Should(gomega.BeEmpty())
		s.Eventually(c.routing).Should(gomega.Equal("httpbin-v1"))
		s.delete(service)
		s.forget("httpbin-v1")
		s.Expect(c.Send(200, requests...)).To(gomega.Equal(onlyV1))
		s.Expect(s.received("httpbin-v1")).To(gomega.HaveLen(200))
		s.Expect(s.received("httpbin-v2")).To(gomega.HaveLen(200), "as many as before")
	})
}

// expectCopies expects of each original one copy: with the same method, path, host, headers and body, but for what tells a
// copy from an original: "X-Envoy-Internal: true", and one more entry in X-Forwarded-For.
func (s *scene) expectCopies(originals, copies []dataplane.Received) {
	s.Helper()
	byNumber := map[string]dataplane.Received{}
	for _, o := range originals {
		byNumber[o.Header.Get(dataplane.NumberHeader)] = o
	}
	s.Expect(byNumber).To(gomega.HaveLen(len(originals)), "each number once")
	for _, c := range copies {
		number := c.Header.Get(dataplane.NumberHeader)
		s.Expect(byNumber).To(gomega.HaveKey(number), "one copy of each")
		original := byNumber[number]
		s.Expect(original.Header.Values("X-Request-Id")).To(gomega.HaveLen(1))
		s.Expect(c.Header.Get("X-Envoy-Internal")).To(gomega.Equal("true"))
		s.Expect(original.Header.Values("X-Envoy-Internal")).To(gomega.BeEmpty())
		s.Expect(forwardedFor(c)).To(gomega.HaveLen(len(forwardedFor(original)) + 1))
		s.Expect(forwardedFor(c)[:len(forwardedFor(original))]).To(gomega.Equal(forwardedFor(original)))
		original.Pod, original.At = c.Pod, c.At
		original.Header, c.Header = original.Header.Clone(), c.Header.Clone()
		for _, name := range []string{"X-Envoy-Internal", "X-Forwarded-For"} {
			original.Header.Del(name)
			c.Header.Del(name)
		}
		original.Bytes = c.Bytes // of the answers, which differ
		s.Expect(c).To(gomega.Equal(original))
		delete(byNumber, number)
	}
	s.Expect(byNumber).To(gomega.BeEmpty(), "originals without a copy")
}

func forwardedFor(r dataplane.Received) []string {
	if r.Header.Get("X-Forwarded-For") == "" {
		return []string{}
	}
	return strings.Split(r.Header.Get("X-Forwarded-For"), ",")
}
