package proxy

import (
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// matcher tells whether a request is one of those that it is about.
type matcher func(*request) bool

// request is what matchers look at.
type request struct {
	*http.Request
	path  string // as it was sent, without the query
	query url.Values
}

func newRequest(r *http.Request) *request {
	return &request{Request: r, path: r.URL.EscapedPath(), query: r.URL.Query()}
}

// header gives the values of a header joined by commas, and whether there are any. Names with a colon are
// HTTP/2's pseudo headers.
func (r *request) header(name string) (string, bool) {
	switch name {
	case ":method":
		return r.Method, true
	case ":path":
		return r.URL.RequestURI(), true
	case ":authority":
		return r.Host, true
	case ":scheme":
		return "http", true
	}
	values := r.Header.Values(name)
	return strings.Join(values, ","), len(values) > 0
}

// all matches what every one of the matchers does.
func all(matchers []matcher) matcher {
	return func(r *request) bool {
		for _, m := range matchers {
			if !m(r) {
				return false
			}
		}
		return true
	}
}

// routeMatch compiles the match of a route.
func routeMatch(match *routev3.RouteMatch) (matcher, error) {
	if match.GetRuntimeFraction() != nil || match.GetTlsContext() != nil || len(match.GetCookies()) > 0 ||
		len(match.GetDynamicMetadata()) > 0 || len(match.GetFilterState()) > 0 {
		return nil, fmt.Errorf("a match by what the test proxy doesn't know of: %v", match)
	}
	path, err := pathMatch(match)
	if err != nil {
		return nil, err
	}
	matchers := []matcher{path}
	for _, h := range match.GetHeaders() {
		m, err := headerMatch(h)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.GetName(), err)
		}
		matchers = append(matchers, m)
	}
	for _, q := range match.GetQueryParameters() {
		m, err := queryMatch(q)
		if err != nil {
			return nil, fmt.Errorf("query parameter %s: %w", q.GetName(), err)
		}
		matchers = append(matchers, m)
	}
	if match.GetGrpc() != nil {
		matchers = append(matchers, func(r *request) bool {
			return strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc")
		})
	}
	return all(matchers), nil
}

func pathMatch(match *routev3.RouteMatch) (matcher, error) {
	fold := func(s string) string { return s }
	if match.GetCaseSensitive() != nil && !match.GetCaseSensitive().GetValue() {
		fold = strings.ToLower
	}
	switch by := match.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Prefix:
		prefix := fold(by.Prefix)
		return func(r *request) bool { return strings.HasPrefix(fold(r.path), prefix) }, nil
	case *routev3.RouteMatch_Path:
		path := fold(by.Path)
		return func(r *request) bool { return fold(r.path) == path }, nil
	case *routev3.RouteMatch_PathSeparatedPrefix:
		prefix := fold(by.PathSeparatedPrefix)
		return func(r *request) bool {
			rest, found := strings.CutPrefix(fold(r.path), prefix)
			return found && (rest == "" || rest[0] == '/')
		}, nil
	case *routev3.RouteMatch_SafeRegex:
		pattern, err := wholeRegexp(by.SafeRegex)
		if err != nil {
			return nil, err
		}
		return func(r *request) bool { return pattern.MatchString(r.path) }, nil
	default:
		return nil, fmt.Errorf("a match by %T", by)
	}
}

// wholeRegexp compiles a regular expression that the whole text must match. Envoy's are RE2, as Go's are.
func wholeRegexp(regex *matcherv3.RegexMatcher) (*regexp.Regexp, error) {
	pattern, err := regexp.Compile(`^(?:` + regex.GetRegex() + `)$`)
	if err != nil {
		return nil, fmt.Errorf("compiling a regular expression: %w", err)
	}
	return pattern, nil
}

func stringMatch(match *matcherv3.StringMatcher) (func(string) bool, error) {
	fold := func(s string) string { return s }
	if match.GetIgnoreCase() {
		fold = strings.ToLower
	}
	switch by := match.GetMatchPattern().(type) {
	case *matcherv3.StringMatcher_Exact:
		return func(s string) bool { return fold(s) == fold(by.Exact) }, nil
	case *matcherv3.StringMatcher_Prefix:
		return func(s string) bool { return strings.HasPrefix(fold(s), fold(by.Prefix)) }, nil
	case *matcherv3.StringMatcher_Suffix:
		return func(s string) bool { return strings.HasSuffix(fold(s), fold(by.Suffix)) }, nil
	case *matcherv3.StringMatcher_Contains:
		return func(s string) bool { return strings.Contains(fold(s), fold(by.Contains)) }, nil
	case *matcherv3.StringMatcher_SafeRegex:
		pattern, err := wholeRegexp(by.SafeRegex)
		if err != nil {
			return nil, err
		}
		return pattern.MatchString, nil
	default:
		return nil, fmt.Errorf("a match by %T", by)
	}
}

// headerMatch compiles the match of one header. A header that isn't there is matched only by what asks for
// its absence, unless it counts as empty.
func headerMatch(match *routev3.HeaderMatcher) (matcher, error) {
	name, invert, missingIsEmpty := match.GetName(), match.GetInvertMatch(), match.GetTreatMissingHeaderAsEmpty()
	present := func(want bool) matcher {
		return func(r *request) bool {
			_, found := r.header(name)
			return (found == want) != invert
		}
	}
	value, err := headerValueMatch(match)
	switch {
	case err != nil:
		return nil, err
	case value != nil:
		return func(r *request) bool {
			text, found := r.header(name)
			if !found && !missingIsEmpty {
				return false
			}
			return value(text) != invert
		}, nil
	case match.GetHeaderMatchSpecifier() == nil:
		return present(true), nil
	default:
		return present(match.GetPresentMatch()), nil
	}
}

// headerValueMatch is nil where the match is not about the header's value.
//
//nolint:staticcheck // the deprecated ways to match are still valid
func headerValueMatch(match *routev3.HeaderMatcher) (func(string) bool, error) {
	pattern := &matcherv3.StringMatcher{}
	switch by := match.GetHeaderMatchSpecifier().(type) {
	case nil, *routev3.HeaderMatcher_PresentMatch:
		return nil, nil
	case *routev3.HeaderMatcher_RangeMatch:
		return func(s string) bool {
			n, err := strconv.ParseInt(s, 10, 64)
			return err == nil && n >= by.RangeMatch.GetStart() && n < by.RangeMatch.GetEnd()
		}, nil
	case *routev3.HeaderMatcher_StringMatch:
		pattern = by.StringMatch
	case *routev3.HeaderMatcher_ExactMatch:
		pattern.MatchPattern = &matcherv3.StringMatcher_Exact{Exact: by.ExactMatch}
	case *routev3.HeaderMatcher_PrefixMatch:
		pattern.MatchPattern = &matcherv3.StringMatcher_Prefix{Prefix: by.PrefixMatch}
	case *routev3.HeaderMatcher_SuffixMatch:
		pattern.MatchPattern = &matcherv3.StringMatcher_Suffix{Suffix: by.SuffixMatch}
	case *routev3.HeaderMatcher_ContainsMatch:
		pattern.MatchPattern = &matcherv3.StringMatcher_Contains{Contains: by.ContainsMatch}
	case *routev3.HeaderMatcher_SafeRegexMatch:
		pattern.MatchPattern = &matcherv3.StringMatcher_SafeRegex{SafeRegex: by.SafeRegexMatch}
	}
	return stringMatch(pattern)
}

func queryMatch(match *routev3.QueryParameterMatcher) (matcher, error) {
	name := match.GetName()
	if by, ok := match.GetQueryParameterMatchSpecifier().(*routev3.QueryParameterMatcher_StringMatch); ok {
		value, err := stringMatch(by.StringMatch)
		if err != nil {
			return nil, err
		}
		return func(r *request) bool { return r.query.Has(name) && value(r.query.Get(name)) }, nil
	}
	return func(r *request) bool { return r.query.Has(name) }, nil
}
