package mesh

import (
	"net/http"
	"strings"
	"testing"

	"github.com/onsi/gomega"
)

// everyMethod are requests that differ in method, path, headers and body.
func everyMethod(c *caller) []*http.Request {
	requests := []*http.Request{
		c.get("/headers", "X-One", "1", "X-Many", "a", "X-Many", "b"),
		c.get("/get?show=all&q=%2F", "Cookie", "session=1"),
		c.request(http.MethodHead, "/get", ""),
		c.request(http.MethodOptions, "/", ""),
		c.request(http.MethodPost, "/post", "a body", "Content-Type", "text/plain"),
		c.request(http.MethodPut, "/put/some%20thing", strings.Repeat("large ", 20_000)),
		c.request(http.MethodPatch, "/patch", `{"json": true}`, "Content-Type", "application/json"),
		c.request(http.MethodDelete, "/delete", ""),
	}
	return requests
}

func TestHTTPRouteMirrorsEveryRequestWhileVariantTwoExists(t *testing.T) {
	s := newScene(t)
	s.kubectl("apply", "-f", sample("httpbin-v1.yaml"), "-f", sample("httpbin.yaml"), "-f", sample("subject.yaml"), "-f", sample("routingpolicy.yaml"))
	s.Eventually(s.pods("httpbin-v1")).Should(gomega.HaveLen(1))
	c := s.calling(s.sidecar(), "8000", "httpbin:8000")
	requests := everyMethod(c)
	onlyV1 := map[string]int{"httpbin-v1": 200}

	s.Eventually(c.routing(requests[0])).Should(gomega.Equal("httpbin-v1:80"))
	s.Expect(c.send(200, requests...)).To(gomega.Equal(onlyV1))
	s.Expect(s.received("httpbin-v1")).To(gomega.HaveLen(200))
	s.Expect(s.received("httpbin-v2")).To(gomega.BeEmpty())

	s.kubectl("apply", "-f", sample("httpbin-v2.yaml"))
	s.Eventually(s.pods("httpbin-v2")).Should(gomega.HaveLen(1))
	s.Eventually(c.routing(requests[0])).Should(gomega.Equal("httpbin-v1:80, copies to httpbin-v2:80 (100%)"))
	servers.forget(variant{s.namespace, "httpbin-v1"})
	s.Expect(c.send(200, requests...)).To(gomega.Equal(onlyV1))
	s.Eventually(s.count("httpbin-v2")).Should(gomega.Equal(200))
	s.expectCopies(s.received("httpbin-v1"), s.received("httpbin-v2"))

	s.kubectl("delete", "-f", sample("httpbin-v2.yaml"))
	s.Eventually(s.pods("httpbin-v2")).Should(gomega.BeEmpty())
	s.Eventually(c.routing(requests[0])).Should(gomega.Equal("httpbin-v1:80"))
	servers.forget(variant{s.namespace, "httpbin-v1"})
	s.Expect(c.send(200, requests...)).To(gomega.Equal(onlyV1))
	s.Expect(s.received("httpbin-v1")).To(gomega.HaveLen(200))
	s.Expect(s.received("httpbin-v2")).To(gomega.HaveLen(200), "as many as before")
}

// expectCopies expects of each original one copy, with its method, path, host, headers and body.
func (s *scene) expectCopies(originals, copies []received) {
	s.Helper()
	byNumber := map[string]received{}
	for _, o := range originals {
		byNumber[o.header.Get(numberHeader)] = o
	}
	s.Expect(byNumber).To(gomega.HaveLen(len(originals)), "each number once")
	for _, c := range copies {
		number := c.header.Get(numberHeader)
		s.Expect(byNumber).To(gomega.HaveKey(number), "one copy of each")
		original := byNumber[number]
		original.pod = c.pod
		s.Expect(c).To(gomega.Equal(original))
		delete(byNumber, number)
	}
	s.Expect(byNumber).To(gomega.BeEmpty(), "originals without a copy")
}
