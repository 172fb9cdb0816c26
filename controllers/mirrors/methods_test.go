package mirrors

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// A request is what matches look at.
type request struct {
	method, path   string
	headers, query map[string]string
}

// requests are all that differ in what the routes of these tests match.
func requests() []request {
	var all []request
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "CONNECT", "TRACE", "PROPFIND"} {
		for _, path := range []string{"/", "/a", "/a/", "/a/b", "/ab", "/c"} {
			for _, headers := range []map[string]string{{}, {"x": "1"}, {"y": "1"}, {"x": "1", "y": "1"}} {
				for _, query := range []map[string]string{{}, {"q": "1"}} {
					all = append(all, request{method, path, headers, query})
				}
			}
		}
	}
	return all
}

// A routed rule is one with what it does to requests: who answers, and with which filters but for the mirrors; and these.
type routed struct {
	gatewayv1.HTTPRouteRule
	answer  string
	mirrors []string
}

// route returns the rule that the Gateway API sends a request by: the one with the match of the highest rank, and among
// those of the same rank the first.
func (r request) route(rules []routed) routed {
	best, highest := routed{answer: "404"}, []int(nil)
	for _, rule := range rules {
		matches := rule.Matches
		if len(matches) == 0 {
			matches = []gatewayv1.HTTPRouteMatch{{}} // which any request is like
		}
		for _, match := range matches {
			if rank, matched := r.like(match); matched && slices.Compare(rank, highest) > 0 {
				best, highest = rule, rank
			}
		}
	}
	return best
}

// like reports whether the request is what a match asks for, and how the match ranks: by an exact path, then by the
// length of its path, then by its method, then by its headers, then by its query parameters.
func (r request) like(match gatewayv1.HTTPRouteMatch) (rank []int, matched bool) {
	kind, path := gatewayv1.PathMatchPathPrefix, "/"
	if match.Path != nil && match.Path.Type != nil {
		kind = *match.Path.Type
	}
	if match.Path != nil && match.Path.Value != nil {
		path = *match.Path.Value
	}
	rank = []int{0, 0, 0, len(match.Headers), len(match.QueryParams)}
	switch kind {
	case gatewayv1.PathMatchExact:
		rank[0], matched = 1, r.path == path
	case gatewayv1.PathMatchPathPrefix:
		elements := strings.TrimSuffix(path, "/")
		rank[1], matched = len(elements), r.path == elements || strings.HasPrefix(r.path, elements+"/")
	case gatewayv1.PathMatchRegularExpression: // ranks where the gateway likes: below all, here
		rank[1], matched = -1, regexp.MustCompile("^(?:"+path+")$").MatchString(r.path)
	}
	if match.Method != nil {
		rank[2] = 1
		matched = matched && r.method == string(*match.Method)
	}
	for _, header := range match.Headers {
		matched = matched && r.headers[string(header.Name)] == header.Value
	}
	for _, parameter := range match.QueryParams {
		matched = matched && r.query[string(parameter.Name)] == parameter.Value
	}
	return rank, matched
}

// routing reads what a rule does.
func routing(rule gatewayv1.HTTPRouteRule) (routed, error) {
	does := rule.DeepCopy()
	does.Name, does.Matches = nil, nil
	holders := []*[]gatewayv1.HTTPRouteFilter{&does.Filters}
	for i := range does.BackendRefs {
		holders = append(holders, &does.BackendRefs[i].Filters)
	}
	var mirrors []string
	for i, filters := range holders {
		*filters = slices.DeleteFunc(*filters, func(filter gatewayv1.HTTPRouteFilter) bool {
			if filter.RequestMirror != nil {
				mirrors = append(mirrors, fmt.Sprintf("%s in %d", filter.RequestMirror.BackendRef.Name, i))
			}
			return filter.RequestMirror != nil
		})
	}
	answer, err := json.Marshal(does)
	return routed{HTTPRouteRule: rule, answer: string(answer), mirrors: mirrors}, err
}

func TestMirroringSafeMethodsChangesNoAnswer(t *testing.T) {
	const (
		mirrored = "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}}}], "
		v1       = "backendRefs: [{name: v1, port: 80}]"
		a, b     = "backendRefs: [{name: a, port: 80}]", "backendRefs: [{name: b, port: 80}]"
	)
	for name, rules := range map[string]string{
		"a rule for everything":          `[{` + mirrored + v1 + `}]`,
		"a rule for a path":              `[{` + mirrored + v1 + `, matches: [{path: {value: /a}}]}]`,
		"a rule for several paths":       `[{` + mirrored + v1 + `, matches: [{path: {value: /a}}, {path: {type: Exact, value: /c}}]}]`,
		"a header beats the mirror":      `[{` + mirrored + v1 + `}, {` + a + `, matches: [{headers: [{name: x, value: "1"}]}]}]`,
		"a header first":                 `[{` + a + `, matches: [{headers: [{name: x, value: "1"}]}]}, {` + mirrored + v1 + `}]`,
		"a query parameter":              `[{` + mirrored + v1 + `}, {` + a + `, matches: [{queryParams: [{name: q, value: "1"}]}]}]`,
		"the mirror has the header":      `[{` + a + `}, {` + mirrored + v1 + `, matches: [{headers: [{name: x, value: "1"}]}]}]`,
		"two headers beat one":           `[{` + mirrored + v1 + `, matches: [{headers: [{name: x, value: "1"}]}]}, {` + a + `, matches: [{headers: [{name: x, value: "1"}, {name: "y", value: "1"}]}]}]`,
		"a tie that the first wins":      `[{` + mirrored + v1 + `, matches: [{headers: [{name: x, value: "1"}]}]}, {` + a + `, matches: [{headers: [{name: "y", value: "1"}]}]}]`,
		"a tie that the mirror loses":    `[{` + a + `, matches: [{headers: [{name: "y", value: "1"}]}]}, {` + mirrored + v1 + `, matches: [{headers: [{name: x, value: "1"}]}]}]`,
		"the same path, written twice":   `[{` + mirrored + v1 + `, matches: [{path: {value: /a/}}]}, {` + a + `, matches: [{path: {value: /a}, headers: [{name: x, value: "1"}]}]}]`,
		"a longer path":                  `[{` + mirrored + v1 + `}, {` + a + `, matches: [{path: {value: /a}}]}, {` + b + `, matches: [{path: {type: Exact, value: /a}}]}]`,
		"other paths":                    `[{` + mirrored + v1 + `, matches: [{path: {value: /a}}]}, {` + a + `, matches: [{path: {value: /c}, method: GET}]}, {` + b + `}]`,
		"regular expressions":            `[{` + mirrored + v1 + `, matches: [{path: {type: RegularExpression, value: '/a.*'}}]}, {` + a + `, matches: [{path: {type: RegularExpression, value: '/ab?'}, headers: [{name: x, value: "1"}]}]}]`,
		"another unsafe method":          `[{` + mirrored + v1 + `, matches: [{headers: [{name: x, value: "1"}]}]}, {` + a + `, matches: [{method: POST}]}]`,
		"only safe methods":              `[{` + mirrored + v1 + `, matches: [{method: GET}, {method: HEAD}]}, {` + a + `}, {` + b + `, matches: [{headers: [{name: x, value: "1"}]}]}]`,
		"only unsafe methods":            `[{` + mirrored + v1 + `, matches: [{method: POST}, {method: PUT}]}, {` + a + `}]`,
		"named methods of both kinds":    `[{` + mirrored + v1 + `, matches: [{method: GET}, {method: POST}, {path: {value: /a}, method: PUT}]}, {` + a + `}]`,
		"an unsafe method, and none":     `[{` + mirrored + v1 + `, matches: [{method: POST}, {headers: [{name: x, value: "1"}]}]}, {` + a + `}]`,
		"a mirror of a backendRef":       `[{backendRefs: [{name: v1, port: 80, weight: 9, ` + mirrored + `}]}, {` + a + `, matches: [{headers: [{name: x, value: "1"}]}]}]`,
		"two mirrored rules":             `[{` + mirrored + v1 + `}, {` + mirrored + a + `, matches: [{headers: [{name: x, value: "1"}]}]}, {` + b + `, matches: [{headers: [{name: x, value: "1"}, {name: "y", value: "1"}]}]}]`,
		"a mirror and other filters":     `[{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {remove: [x]}}, {type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}}}], ` + v1 + `}]`,
		"a prefix that is replaced":      `[{filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /z}}}, {type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}}}], ` + v1 + `, matches: [{path: {value: /a}}]}]`,
		"a prefix that another replaces": `[{` + mirrored + v1 + `, matches: [{path: {value: /a}}]}, {filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /z}}}], ` + a + `, matches: [{path: {value: /a}, headers: [{name: x, value: "1"}]}]}]`,
		"a name on another rule":         `[{` + mirrored + v1 + `}, {name: two, ` + a + `, matches: [{headers: [{name: x, value: "1"}]}]}]`,
		"no mirror":                      `[{` + a + `, matches: [{method: GET}]}, {` + b + `}]`,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(compareMethods(t, rules)).To(Succeed())

			untouched, err := mirrorRules(t, rules, true, false)
			g.Expect(err).NotTo(HaveOccurred())
			without, err := mirrorRules(t, rules, false, false)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(without).To(Equal(untouched), "nothing is split without a mirror")
			with, err := mirrorRules(t, rules, false, true)
			g.Expect(err).NotTo(HaveOccurred())
			for _, r := range requests() {
				g.Expect(r.route(without).answer).To(Equal(r.route(with).answer), "the mirror decides who answers %v", r)
			}
		})
	}
}

func TestMirroringSafeMethodsChangesNoAnswerWhateverTwoRulesMatch(t *testing.T) {
	g := NewWithT(t)
	var matches []string
	for _, path := range []string{"", "path: {type: Exact, value: /a}, "} {
		for _, headers := range []string{"", `headers: [{name: x, value: "1"}], `, `headers: [{name: x, value: "1"}, {name: "y", value: "1"}], `} {
			for _, method := range []string{"", "method: GET", "method: POST"} {
				matches = append(matches, path+headers+method)
			}
		}
	}
	const (
		mirrored = "filters: [{type: RequestMirror, requestMirror: {backendRef: {name: v2, port: 80}}}], backendRefs: [{name: v1, port: 80}]"
		other    = "backendRefs: [{name: a, port: 80}]"
	)
	compared, refused := 0, 0
	for _, one := range matches {
		for _, two := range matches {
			for _, rules := range []string{
				fmt.Sprintf("[{%s, matches: [{%s}]}, {%s, matches: [{%s}]}]", mirrored, one, other, two),
				fmt.Sprintf("[{%s, matches: [{%s}]}, {%s, matches: [{%s}]}]", other, one, mirrored, two),
				fmt.Sprintf("[{%s, matches: [{%s}, {%s}]}, {%s}]", mirrored, one, two, other),
			} {
				err := compareMethods(t, rules)
				compared++
				if errors.Is(err, errRefused) {
					refused++
					g.Expect(rules).To(ContainSubstring("method: GET"), err.Error())
					continue
				}
				g.Expect(err).NotTo(HaveOccurred(), rules)
			}
		}
	}
	g.Expect(refused).To(BeNumerically("<", compared/10), "of %d", compared)
}

var errRefused = errors.New("the route is refused")

// compareMethods gates rules with the mirror and with that of safe methods alone, and returns an error where a request
// is answered or mirrored in another way than it should be.
func compareMethods(t *testing.T, rules string) error {
	t.Helper()
	all, err := mirrorRules(t, rules, true, true)
	if err != nil {
		return err
	}
	safe, err := mirrorRules(t, rules, false, true)
	if err != nil {
		return fmt.Errorf("%w: %w", errRefused, err)
	}
	names := map[gatewayv1.SectionName]bool{}
	for _, rule := range safe {
		if rule.Name != nil && names[*rule.Name] {
			return fmt.Errorf("two rules are named %s", *rule.Name)
		} else if rule.Name != nil {
			names[*rule.Name] = true
		}
	}
	for _, r := range requests() {
		want, got := r.route(all), r.route(safe)
		if !slices.Contains(safeMethods, r.method) {
			want.mirrors = nil
		}
		if got.answer != want.answer || !slices.Equal(got.mirrors, want.mirrors) {
			return fmt.Errorf("%v is answered by %s and mirrored to %v, not %s and %v", r, got.answer, got.mirrors, want.answer, want.mirrors)
		}
	}
	return nil
}

// mirrorRules are the rules that Gate returns.
func mirrorRules(t *testing.T, rules string, unsafeMethods, available bool) ([]routed, error) {
	t.Helper()
	gated, err := gateFor(t, "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: web}, spec: {rules: "+rules+"}}", unsafeMethods, available)
	if err != nil {
		return nil, err
	}
	var route gatewayv1.HTTPRoute
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(gated.Manifests[0].Object, &route); err != nil {
		return nil, err
	}
	all := make([]routed, 0, len(route.Spec.Rules))
	for _, rule := range route.Spec.Rules {
		one, err := routing(rule)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, nil
}

// gateFor gates a route whose mirrors are to Service v2 of variant v2.
func gateFor(t *testing.T, route string, unsafeMethods, available bool) (Gated, error) {
	t.Helper()
	v2 := Variant{Name: "v2", Triggers: true, Resources: []Resource{resource("Service v2")}}
	if available {
		v2.State = Available
	}
	return Gate([]*unstructured.Unstructured{{Object: objectOf(t, []byte(route))}},
		Decide(Input{BuiltIn: true, SafeMethodsOnly: !unsafeMethods, Namespace: namespace, Variants: []Variant{v2}}))
}
