package dataplane

import (
	"net/http"
	"testing"

	. "github.com/onsi/gomega"
)

func TestCheckCopies(t *testing.T) {
	original := func(number string) Received {
		return Received{
			Pod: "v1", Method: http.MethodGet, Path: "/headers", Host: "httpbin:8000", Bytes: 10, Status: http.StatusOK,
			Header: http.Header{NumberHeader: {number}, "X-Request-Id": {"id-" + number}, "X-Forwarded-For": {"10.0.0.1"}},
		}
	}
	copied := func(number string, change func(*Received)) Received {
		c := original(number)
		c.Pod, c.Bytes = "v2", 20
		c.Header.Set("X-Envoy-Internal", "true")
		c.Header.Set("X-Forwarded-For", "10.0.0.1,10.0.0.2")
		change(&c)
		return c
	}
	header := func(name string, values ...string) func(*Received) {
		return func(r *Received) { r.Header[name] = values }
	}
	same := func(*Received) {}
	for sentence, test := range map[string]struct {
		originals, copies []Received
		want              string
	}{
		"no requests": {},
		"one copy of each, in any order": {
			originals: []Received{original("1"), original("2")},
			copies:    []Received{copied("2", same), copied("1", same)},
		},
		"an original without a copy": {
			originals: []Received{original("1"), original("2")}, copies: []Received{copied("1", same)},
			want: "1 of 2 requests weren't copied",
		},
		"an original that came twice": {
			originals: []Received{original("1"), original("1")}, want: "request 1 was received twice",
		},
		"a copy that came twice": {
			originals: []Received{original("1")}, copies: []Received{copied("1", same), copied("1", same)},
			want: "request 1 was copied twice",
		},
		"a copy of another request": {
			originals: []Received{original("1")}, copies: []Received{copied("2", same)}, want: "request 2 was copied twice, or without",
		},
		"a copy that isn't marked": {
			originals: []Received{original("1")}, copies: []Received{copied("1", header("X-Envoy-Internal"))}, want: "X-Envoy-Internal is []",
		},
		"a copy that has come no other way": {
			originals: []Received{original("1")}, copies: []Received{copied("1", header("X-Forwarded-For", "10.0.0.1"))}, want: "X-Forwarded-For is",
		},
		"a copy with another X-Request-Id": {
			originals: []Received{original("1")}, copies: []Received{copied("1", header("X-Request-Id", "other"))}, want: "it is not the original",
		},
		"a copy of another path": {
			originals: []Received{original("1")}, copies: []Received{copied("1", func(r *Received) { r.Path = "/get" })}, want: "it is not the original",
		},
		"an original that is marked": {
			originals: []Received{copied("1", same)}, copies: []Received{copied("1", same)}, want: "the original has an X-Envoy-Internal",
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			err := CheckCopies(test.originals, test.copies)
			if test.want == "" {
				NewWithT(t).Expect(err).NotTo(HaveOccurred())
				return
			}
			NewWithT(t).Expect(err).To(MatchError(ContainSubstring(test.want)))
		})
	}
}
