package proxy

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	. "github.com/onsi/gomega"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// parse reads a message from JSON.
func parse[M proto.Message](t *testing.T, json string, into M) M {
	t.Helper()
	if err := protojson.Unmarshal([]byte(json), into); err != nil {
		t.Fatal(err)
	}
	return into
}

// ask is a request: a method and a URL, and headers as "Name: value".
func ask(what string, headers ...string) *http.Request {
	method, url, _ := strings.Cut(what, " ")
	r := httptest.NewRequest(method, url, http.NoBody)
	for _, h := range headers {
		name, value, _ := strings.Cut(h, ": ")
		r.Header.Add(name, value)
	}
	return r
}

func TestRouteMatch(t *testing.T) {
	const anywhere = `"prefix": "/"`
	header := func(how string) string {
		return fmt.Sprintf(`%s, "headers": [{"name": "End-User", %s}]`, anywhere, how)
	}
	query := func(how string) string {
		return fmt.Sprintf(`%s, "query_parameters": [{"name": "q"%s}]`, anywhere, how)
	}
	for sentence, c := range map[string]struct {
		match string
		takes []*http.Request
		not   []*http.Request
	}{
		"a prefix of the path": {
			match: `"prefix": "/a"`,
			takes: []*http.Request{ask("GET /a"), ask("GET /ab"), ask("GET /a/b?c")},
			not:   []*http.Request{ask("GET /b"), ask("GET /A")},
		},
		"a prefix of the path, whatever its case": {
			match: `"prefix": "/Ab", "case_sensitive": false`,
			takes: []*http.Request{ask("GET /aBc")},
			not:   []*http.Request{ask("GET /a")},
		},
		"a path, without its query": {
			match: `"path": "/a"`,
			takes: []*http.Request{ask("GET /a"), ask("GET /a?b=c")},
			not:   []*http.Request{ask("GET /a/"), ask("GET /ab")},
		},
		"a prefix of the path's segments": {
			match: `"path_separated_prefix": "/a"`,
			takes: []*http.Request{ask("GET /a"), ask("GET /a/"), ask("GET /a/b")},
			not:   []*http.Request{ask("GET /ab"), ask("GET /")},
		},
		"a regular expression for the whole path": {
			match: `"safe_regex": {"regex": "/a.|/long"}`,
			takes: []*http.Request{ask("GET /ab?c"), ask("GET /long")},
			not:   []*http.Request{ask("GET /abc"), ask("GET /longer"), ask("GET /x/ab")},
		},
		"a header of one value": {
			match: header(`"string_match": {"exact": "tester"}`),
			takes: []*http.Request{ask("GET /", "end-user: tester")},
			not:   []*http.Request{ask("GET /"), ask("GET /", "end-user: Tester"), ask("GET /", "end-user: tester", "end-user: tester")},
		},
		"a header of one value, as it was once written": {
			match: header(`"exact_match": "tester"`),
			takes: []*http.Request{ask("GET /", "end-user: tester")},
			not:   []*http.Request{ask("GET /")},
		},
		"a header of several values, joined": {
			match: header(`"string_match": {"exact": "a,b"}`),
			takes: []*http.Request{ask("GET /", "end-user: a", "end-user: b")},
			not:   []*http.Request{ask("GET /", "end-user: a")},
		},
		"a header by prefix, whatever its case": {
			match: header(`"string_match": {"prefix": "tEst", "ignore_case": true}`),
			takes: []*http.Request{ask("GET /", "end-user: Tester")},
			not:   []*http.Request{ask("GET /", "end-user: a tester")},
		},
		"a header by suffix": {
			match: header(`"string_match": {"suffix": "er"}`),
			takes: []*http.Request{ask("GET /", "end-user: tester")},
			not:   []*http.Request{ask("GET /", "end-user: terse")},
		},
		"a header by what it contains": {
			match: header(`"string_match": {"contains": "est"}`),
			takes: []*http.Request{ask("GET /", "end-user: tester")},
			not:   []*http.Request{ask("GET /", "end-user: user")},
		},
		"a header by a regular expression for the whole value": {
			match: header(`"string_match": {"safe_regex": {"regex": "te.*r"}}`),
			takes: []*http.Request{ask("GET /", "end-user: tester")},
			not:   []*http.Request{ask("GET /", "end-user: testers")},
		},
		"a header by a range of numbers, without its end": {
			match: header(`"range_match": {"start": 1, "end": 3}`),
			takes: []*http.Request{ask("GET /", "end-user: 1"), ask("GET /", "end-user: 2")},
			not:   []*http.Request{ask("GET /", "end-user: 3"), ask("GET /", "end-user: one"), ask("GET /")},
		},
		"a header that is there": {
			match: header(`"present_match": true`),
			takes: []*http.Request{ask("GET /", "end-user: ")},
			not:   []*http.Request{ask("GET /")},
		},
		"a header that is not there": {
			match: header(`"present_match": false`),
			takes: []*http.Request{ask("GET /")},
			not:   []*http.Request{ask("GET /", "end-user: tester")},
		},
		"a header that is not there, put the other way": {
			match: header(`"present_match": true, "invert_match": true`),
			takes: []*http.Request{ask("GET /")},
			not:   []*http.Request{ask("GET /", "end-user: tester")},
		},
		"another value of a header, which must be there": {
			match: header(`"string_match": {"exact": "tester"}, "invert_match": true`),
			takes: []*http.Request{ask("GET /", "end-user: user")},
			not:   []*http.Request{ask("GET /", "end-user: tester"), ask("GET /")},
		},
		"another value of a header, or none": {
			match: header(`"string_match": {"exact": "tester"}, "invert_match": true, "treat_missing_header_as_empty": true`),
			takes: []*http.Request{ask("GET /", "end-user: user"), ask("GET /")},
			not:   []*http.Request{ask("GET /", "end-user: tester")},
		},
		"a method": {
			match: anywhere + `, "headers": [{"name": ":method", "string_match": {"exact": "POST"}}]`,
			takes: []*http.Request{ask("POST /")},
			not:   []*http.Request{ask("GET /", ":method: POST")},
		},
		"an authority": {
			match: anywhere + `, "headers": [{"name": ":authority", "string_match": {"prefix": "a.example"}}]`,
			takes: []*http.Request{ask("GET http://a.example:80/")},
			not:   []*http.Request{ask("GET http://b.example/")},
		},
		"every one of several headers": {
			match: anywhere + `, "headers": [{"name": "a", "present_match": true}, {"name": "b", "present_match": true}]`,
			takes: []*http.Request{ask("GET /", "a: 1", "b: 2")},
			not:   []*http.Request{ask("GET /", "a: 1"), ask("GET /", "b: 2")},
		},
		"a query parameter's value": {
			match: query(`, "string_match": {"exact": "1 2"}`),
			takes: []*http.Request{ask("GET /?q=1%202"), ask("GET /?a=b&q=1+2")},
			not:   []*http.Request{ask("GET /?q=1"), ask("GET /")},
		},
		"a query parameter that is there": {
			match: query(``),
			takes: []*http.Request{ask("GET /?q"), ask("GET /?q=1")},
			not:   []*http.Request{ask("GET /?r=1")},
		},
		"gRPC": {
			match: anywhere + `, "grpc": {}`,
			takes: []*http.Request{ask("POST /", "Content-Type: application/grpc+proto")},
			not:   []*http.Request{ask("POST /", "Content-Type: application/json")},
		},
	} {
		t.Run(sentence, func(t *testing.T) {
			g := NewWithT(t)
			matches, err := routeMatch(parse(t, "{"+c.match+"}", &routev3.RouteMatch{}))
			g.Expect(err).NotTo(HaveOccurred())
			for _, r := range c.takes {
				g.Expect(matches(newRequest(r))).To(BeTrue(), "%s %s %v", r.Method, r.URL, r.Header)
			}
			for _, r := range c.not {
				g.Expect(matches(newRequest(r))).To(BeFalse(), "%s %s %v", r.Method, r.URL, r.Header)
			}
		})
	}
}

func TestVirtualHostOfAnAuthority(t *testing.T) {
	domains := []string{"exact.example", "exact.example:80", "*.example", "*.long.example", "-*", "exact.*", "exact.long.*", "*"}
	for sentence, c := range map[string]struct {
		authority, domain string
		ignorePort        bool
	}{
		"the domain itself":        {authority: "exact.example", domain: "exact.example"},
		"in capitals":              {authority: "EXACT.example", domain: "exact.example"},
		"with its port":            {authority: "exact.example:80", domain: "exact.example:80"},
		"with a port that counts":  {authority: "exact.example:81", domain: "exact.*"},
		"with a port that doesn't": {authority: "exact.example:81", domain: "exact.example", ignorePort: true},
		"an end":                   {authority: "any.example", domain: "*.example"},
		"the longest end":          {authority: "any.long.example", domain: "*.long.example"},
		"an end, for which there must be a beginning": {authority: ".example", domain: "*"},
		"a beginning":               {authority: "exact.test", domain: "exact.*"},
		"the longest beginning":     {authority: "exact.long.test", domain: "exact.long.*"},
		"an end before a beginning": {authority: "exact.long.example", domain: "*.long.example"},
		"anything":                  {authority: "localhost", domain: "*"},
		"an address with a port that doesn't count": {authority: "[::1]:80", domain: "*", ignorePort: true},
	} {
		t.Run(sentence, func(t *testing.T) {
			names := map[*virtualHost]string{}
			in := &routev3.RouteConfiguration{IgnorePortInHostMatching: c.ignorePort}
			for _, domain := range domains {
				in.VirtualHosts = append(in.VirtualHosts, &routev3.VirtualHost{Domains: []string{domain}})
			}
			g := NewWithT(t)
			config, err := compiler{newCounters()}.routeConfiguration(in)
			g.Expect(err).NotTo(HaveOccurred())
			for domain, host := range config.exact {
				names[host] = domain
			}
			for _, w := range config.suffixes {
				names[w.host] = "*" + w.text
			}
			for _, w := range config.prefixes {
				names[w.host] = w.text + "*"
			}
			names[config.any] = "*"
			g.Expect(names[config.virtualHost(c.authority)]).To(Equal(c.domain))
		})
	}
}
