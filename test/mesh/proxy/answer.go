package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcherv3 "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
)

// answer is what the proxy says itself.
type answer struct {
	status   int
	location string // of a redirect
	body     string
}

func directResponse(in *routev3.DirectResponseAction) func(*http.Request) answer {
	said := answer{status: int(in.GetStatus()), body: in.GetBody().GetInlineString() + string(in.GetBody().GetInlineBytes())}
	return func(*http.Request) answer { return said }
}

// redirectStatus are HTTP's numbers of Envoy's.
var redirectStatus = map[routev3.RedirectAction_RedirectResponseCode]int{
	routev3.RedirectAction_MOVED_PERMANENTLY:  http.StatusMovedPermanently,
	routev3.RedirectAction_FOUND:              http.StatusFound,
	routev3.RedirectAction_SEE_OTHER:          http.StatusSeeOther,
	routev3.RedirectAction_TEMPORARY_REDIRECT: http.StatusTemporaryRedirect,
	routev3.RedirectAction_PERMANENT_REDIRECT: http.StatusPermanentRedirect,
}

func redirect(match *routev3.RouteMatch, in *routev3.RedirectAction) (func(*http.Request) answer, error) {
	newPath, err := rewrite(match, in.GetPrefixRewrite(), in.GetRegexRewrite())
	if err != nil {
		return nil, err
	}
	status := redirectStatus[in.GetResponseCode()]
	return func(r *http.Request) answer {
		to := *r.URL
		to.Scheme, to.Host = "http", r.Host
		if in.GetHttpsRedirect() {
			to.Scheme = "https"
		} else if scheme := in.GetSchemeRedirect(); scheme != "" {
			to.Scheme = scheme
		}
		if host := in.GetHostRedirect(); host != "" {
			to.Host = host
		}
		if port := in.GetPortRedirect(); port != 0 {
			to.Host = fmt.Sprintf("%s:%d", withoutPort(to.Host), port)
		}
		if path := in.GetPathRedirect(); path != "" {
			to.Path, to.RawPath = path, ""
		} else if newPath != nil {
			to.Path, to.RawPath = newPath(r.URL.Path), ""
		}
		if in.GetStripQuery() {
			to.RawQuery = ""
		}
		return answer{status: status, location: to.String()}
	}, nil
}

// rewrite gives the path that goes on; nil where none is given.
func rewrite(match *routev3.RouteMatch, prefix string, regex *matcherv3.RegexMatchAndSubstitute) (func(string) string, error) {
	switch {
	case regex != nil:
		return nil, errors.New("a rewrite of the path by a regular expression")
	case prefix == "":
		return nil, nil
	}
	switch by := match.GetPathSpecifier().(type) {
	case *routev3.RouteMatch_Path:
		return func(string) string { return prefix }, nil
	case *routev3.RouteMatch_Prefix:
		return func(path string) string { return prefix + strings.TrimPrefix(path, by.Prefix) }, nil
	case *routev3.RouteMatch_PathSeparatedPrefix:
		return func(path string) string { return prefix + strings.TrimPrefix(path, by.PathSeparatedPrefix) }, nil
	default:
		return nil, fmt.Errorf("a rewrite of the prefix, where the match is by %T", by)
	}
}
