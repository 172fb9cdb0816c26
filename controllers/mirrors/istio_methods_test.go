package mirrors

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// A stringMatch is Istio's; without any of these, it asks for nothing but that the value is there.
type stringMatch struct {
	Exact, Prefix, Regex string
}

func (m *stringMatch) matches(value string) bool {
	switch {
	case m == nil:
		return true
	case m.Exact != "":
		return value == m.Exact
	case m.Prefix != "":
		return strings.HasPrefix(value, m.Prefix)
	case m.Regex != "":
		return regexp.MustCompile("^(?:" + m.Regex + ")$").MatchString(value)
	default:
		return true
	}
}

// An istioRoute is an HTTP route of a VirtualService with what it does to requests: where they are answered, and the
// mirrors.
type istioRoute struct {
	Name  string
	Match []struct {
		URI, Method *stringMatch
		Headers     map[string]*stringMatch
	}
	answer, mirrors string
}

// takes reports whether the route matches a request. The first that does answers it.
func (route *istioRoute) takes(r request) bool {
	for _, match := range route.Match {
		matched := match.URI.matches(r.path) && match.Method.matches(r.method)
		for name, header := range match.Headers {
			value, there := r.headers[name]
			matched = matched && there && header.matches(value)
		}
		if matched {
			return true
		}
	}
	return len(route.Match) == 0
}

func firstRoute(routes []istioRoute, r request) istioRoute {
	if i := slices.IndexFunc(routes, func(route istioRoute) bool { return route.takes(r) }); i >= 0 {
		return routes[i]
	}
	return istioRoute{answer: "404"}
}

func TestMirroringSafeMethodsByIstioChangesNoAnswer(t *testing.T) {
	const v1, a, mirror = "route: [{destination: {host: v1}}]", "route: [{destination: {host: a}}]", "mirror: {host: v2}, mirrorPercentage: {value: 50}"
	for name, http := range map[string]string{
		"a route for everything":       `[{` + v1 + `, ` + mirror + `}]`,
		"several mirrors":              `[{` + v1 + `, mirrors: [{destination: {host: v2}}, {destination: {host: v2}, percentage: {value: 5}}]}]`,
		"a route for a path":           `[{` + v1 + `, ` + mirror + `, match: [{uri: {prefix: /a}}]}, {` + a + `}]`,
		"several matches":              `[{` + v1 + `, ` + mirror + `, match: [{uri: {exact: /c}}, {headers: {x: {}}}]}, {` + a + `}]`,
		"a header before the mirror":   `[{` + a + `, match: [{headers: {x: {exact: "1"}}}]}, {` + v1 + `, ` + mirror + `}]`,
		"a header after the mirror":    `[{` + v1 + `, ` + mirror + `, match: [{uri: {prefix: /a}}]}, {` + a + `, match: [{headers: {x: {exact: "1"}}}]}]`,
		"two mirrored routes":          `[{name: one, ` + v1 + `, ` + mirror + `, match: [{uri: {prefix: /a}}]}, {name: two, ` + a + `, ` + mirror + `}]`,
		"methods of both kinds":        `[{name: one, ` + v1 + `, ` + mirror + `, match: [{method: {exact: GET}}, {method: {exact: POST}}]}, {` + a + `}]`,
		"a method, and none":           `[{` + v1 + `, ` + mirror + `, match: [{method: {exact: PUT}}, {headers: {x: {}}}]}, {` + a + `}]`,
		"only safe methods":            `[{name: one, ` + v1 + `, ` + mirror + `, match: [{method: {exact: HEAD}}]}, {` + a + `}]`,
		"only unsafe methods":          `[{` + v1 + `, ` + mirror + `, match: [{method: {exact: DELETE}}]}, {` + a + `}]`,
		"other routes by their method": `[{` + a + `, match: [{method: {regex: "P.*"}}]}, {` + v1 + `, ` + mirror + `}]`,
		"no mirror":                    `[{` + a + `, match: [{uri: {prefix: /a}}]}, {` + v1 + `}]`,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			all := mirrorIstioRoutes(t, http, true, true)
			safe := mirrorIstioRoutes(t, http, false, true)
			untouched := mirrorIstioRoutes(t, http, true, false)
			without := mirrorIstioRoutes(t, http, false, false)
			g.Expect(without).To(Equal(untouched), "nothing is split without a mirror")
			taken := map[string]bool{}
			for _, route := range safe {
				g.Expect(taken[route.Name]).To(BeFalse(), "two routes are named %s", route.Name)
				taken[route.Name] = route.Name != ""
			}
			for _, r := range requests() {
				want := firstRoute(all, r)
				if !slices.Contains(safeMethods, r.method) {
					want.mirrors = ""
				}
				got := firstRoute(safe, r)
				g.Expect(got.answer).To(Equal(want.answer), "who answers %v", r)
				g.Expect(got.mirrors).To(Equal(want.mirrors), "the mirrors of %v", r)
				g.Expect(firstRoute(without, r).answer).To(Equal(want.answer), "who answers %v without the mirror", r)
			}
		})
	}
}

// mirrorIstioRoutes are the HTTP routes that Gate returns.
func mirrorIstioRoutes(t *testing.T, http string, unsafeMethods, available bool) []istioRoute {
	t.Helper()
	g := NewWithT(t)
	gated, err := gateFor(t, "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: web}, spec: {hosts: [v1], http: "+http+"}}", unsafeMethods, available)
	g.Expect(err).NotTo(HaveOccurred())
	var routes []istioRoute
	for _, entry := range gated.Manifests[0].Object["spec"].(map[string]any)["http"].([]any) {
		route, answer := istioRoute{}, maps.Clone(entry.(map[string]any))
		data, err := json.Marshal(entry)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(json.Unmarshal(data, &route)).To(Succeed())

		mirrors := map[string]any{}
		for _, key := range []string{"mirror", "mirrorPercentage", "mirrors"} {
			if value, there := answer[key]; there {
				mirrors[key] = value
			}
			delete(answer, key)
		}
		if len(mirrors) > 0 {
			route.mirrors = fmt.Sprint(mirrors)
		}
		delete(answer, "name")
		delete(answer, "match")
		route.answer = fmt.Sprint(answer)
		routes = append(routes, route)
	}
	return routes
}
