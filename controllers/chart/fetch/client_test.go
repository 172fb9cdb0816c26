package fetch

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/controllers/chart/fault"
	"iter8.tools/operator/test/repository"
)

// onlyOne lets 127.0.0.1 be connected to, and no other loopback.
var onlyOne = Options{
	Addresses: Addresses{Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}},
	Timeout:   10 * time.Second,
	Redirects: 5,
}

const password = "Bearer secret"

func accessTo(t *testing.T, s *repository.Server) Access {
	t.Helper()
	u, err := url.Parse(s.URL)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return Access{Origin: u, CAs: s.CA, Authorization: password}
}

func get(t *testing.T, o Options, a Access, address string) (string, error) {
	t.Helper()
	c, err := New(o, a)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	defer c.Close()
	var body bytes.Buffer
	err = c.Get(t.Context(), address, 100, &body)
	return body.String(), err
}

func TestGet(t *testing.T) {
	s := repository.Serve(t, repository.Options{})
	s.Require(password)
	s.Put("/index.yaml", []byte("an index"))
	NewWithT(t).Expect(get(t, onlyOne, accessTo(t, s), s.URL+"/index.yaml")).To(Equal("an index"))
}

func TestWhatGoesWrongIsToldInTheSameWordsEachTime(t *testing.T) {
	at := func(handler http.HandlerFunc) func(*testing.T, *repository.Server, *Access) string {
		return func(_ *testing.T, s *repository.Server, _ *Access) string {
			s.Answer(handler)
			return s.URL + "/index.yaml?token=internal-secret"
		}
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) }
	}
	for name, test := range map[string]struct {
		address func(*testing.T, *repository.Server, *Access) string
		kind    error
		message string
	}{
		"an error of the server": {at(repository.Status(500)), fault.ErrRepositoryUnavailable, "repository unavailable: REPO/index.yaml: the server answers 500"},
		"nothing there":          {at(repository.Status(404)), fault.ErrRepositoryUnavailable, "the server answers 404: there is nothing at this address"},
		"other credentials":      {at(repository.Status(401)), fault.ErrUnauthorized, "unauthorized: REPO/index.yaml: the server answers 401: spec.chart.secretRef must name a Secret with credentials that it takes"},
		"not allowed":            {at(repository.Status(403)), fault.ErrUnauthorized, "the server answers 403"},
		"a reset":                {at(repository.Reset), fault.ErrRepositoryUnavailable, "the connection is closed before the answer is complete"},
		"half of a document": {at(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "50")
			io.WriteString(w, "half")
		}), fault.ErrRepositoryUnavailable, "the connection is closed before the answer is complete"},
		"too large a document": {at(func(w http.ResponseWriter, _ *http.Request) {
			io.WriteString(w, strings.Repeat("x", 101))
		}), fault.ErrTooLarge, "too large: REPO/index.yaml: it is larger than the 100 that charts.limits of the operator's configuration allows"},
		"a circle of redirects": {at(redirect("/index.yaml")), fault.ErrRepositoryUnavailable, "more than 5 redirects"},
		"a redirect that leaves TLS": {at(redirect("http://example.com/internal-secret")), fault.ErrRepositoryNotAllowed,
			"REPO/index.yaml: it leads to an address without TLS (http://), which this operator was not configured to use (charts.allowInsecure)"},
		"a redirect to a file": {at(redirect("file:///etc/passwd")), fault.ErrRepositoryNotAllowed, "it leads to an address without TLS"},
		"a redirect to metadata": {at(redirect("https://169.254.169.254/latest/meta-data")), fault.ErrForbiddenAddress,
			"forbidden address: REPO/index.yaml: its host name, or that of a redirect, leads to an address that is link-local, where clouds serve their metadata, which the operator doesn't connect to"},
		"nobody at the address": {func(_ *testing.T, s *repository.Server, _ *Access) string {
			s.Close()
			return s.URL + "/index.yaml"
		}, fault.ErrRepositoryUnavailable, "the connection is refused"},
		"a name that there is not": {func(*testing.T, *repository.Server, *Access) string {
			return "https://nobody.example.com/index.yaml"
		}, fault.ErrRepositoryUnavailable, "repository unavailable: https://nobody.example.com/index.yaml: there is no host of this name"},
		"a name that leads to metadata": {func(*testing.T, *repository.Server, *Access) string {
			return "https://evil.example.com/index.yaml"
		}, fault.ErrForbiddenAddress, "forbidden address: https://evil.example.com/index.yaml: "},
		"an authority that nobody knows": {func(_ *testing.T, s *repository.Server, a *Access) string {
			a.CAs = nil
			return s.URL + "/index.yaml"
		}, fault.ErrRepositoryUnavailable, "the server's certificate is signed by an authority that is not known; spec.chart.caSecretRef may name"},
		"a certificate for another host": {func(_ *testing.T, s *repository.Server, _ *Access) string {
			return strings.Replace(s.URL, "127.0.0.1", "host.example.org", 1) + "/index.yaml"
		}, fault.ErrRepositoryUnavailable, "the server's certificate is for another host name"},
		"an expired certificate": {func(t *testing.T, _ *repository.Server, a *Access) string {
			expired := repository.Serve(t, repository.Options{Expired: true})
			*a = accessTo(t, expired)
			return expired.URL + "/index.yaml"
		}, fault.ErrRepositoryUnavailable, "the server's certificate is expired, or not yet valid"},
		"a server without TLS": {func(t *testing.T, _ *repository.Server, _ *Access) string {
			plain := repository.Serve(t, repository.Options{Plain: true})
			return strings.Replace(plain.URL, "http:", "https:", 1) + "/index.yaml"
		}, fault.ErrRepositoryUnavailable, "the server doesn't speak TLS"},
		"an address without TLS": {func(t *testing.T, _ *repository.Server, _ *Access) string {
			return repository.Serve(t, repository.Options{Plain: true}).URL + "/index.yaml"
		}, fault.ErrRepositoryNotAllowed, "it leads to an address without TLS"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := repository.Serve(t, repository.Options{})
			o := onlyOne
			o.Resolver = repository.Names(map[string]string{"evil.example.com": "169.254.169.254", "host.example.org": "127.0.0.1"})
			access := accessTo(t, s)
			address := test.address(t, s, &access)
			first := ""
			for range 2 {
				_, err := get(t, o, access, address)
				g.Expect(err).To(MatchError(test.kind))
				g.Expect(err).To(MatchError(ContainSubstring(strings.ReplaceAll(test.message, "REPO", s.URL))))
				g.Expect(err).To(MatchError(Not(ContainSubstring("secret ")))) // of the body, the query and the header
				g.Expect(err).To(MatchError(Not(ContainSubstring("internal-secret"))))
				if first != "" {
					g.Expect(err).To(MatchError(first))
				}
				first = err.Error()
			}
		})
	}
}

func TestADocumentTakesNoLongerThanTheTimeout(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"a server that doesn't answer": repository.Hang,
		"a server that stops in the middle": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, "begun")
			w.(http.Flusher).Flush()
			repository.Hang(w, r)
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := repository.Serve(t, repository.Options{})
			s.Answer(handler)
			o := onlyOne
			o.Timeout = 50 * time.Millisecond
			_, err := get(t, o, accessTo(t, s), s.URL)
			g.Expect(err).To(MatchError("repository unavailable: " + s.URL + ": no complete answer within 50ms"))
		})
	}
}

func TestCredentialsStayWithTheirHost(t *testing.T) {
	for name, test := range map[string]struct {
		options  repository.Options
		redirect bool
	}{
		"a redirect to another port of the host":        {repository.Options{}, true},
		"a redirect to another address":                 {repository.Options{Address: "127.0.0.2:0"}, true},
		"an address that is another port of the host":   {repository.Options{}, false},
		"an address that is at another host altogether": {repository.Options{Address: "127.0.0.2:0"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s, other := repository.Serve(t, repository.Options{}), repository.Serve(t, test.options)
			headers := make(chan http.Header, 1)
			other.Answer(func(_ http.ResponseWriter, r *http.Request) { headers <- r.Header })
			s.Answer(func(w http.ResponseWriter, r *http.Request) {
				http.SetCookie(w, &http.Cookie{Name: "session", Value: "secret"})
				http.Redirect(w, r, other.URL+"/chart.tgz", http.StatusFound)
			})
			o, access := onlyOne, accessTo(t, s)
			o.Addresses.Allowed = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
			access.CAs = append(access.CAs, other.CA...)
			address := other.URL
			if test.redirect {
				address = s.URL + "/chart.tgz?token=secret"
			}
			_, err := get(t, o, access, address)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(<-headers).To(And(Not(HaveKey("Authorization")), Not(HaveKey("Cookie")), Not(HaveKey("Referer"))))
		})
	}
}

func TestNothingConnectsToAnAddressThatIsRefused(t *testing.T) {
	for name, test := range map[string]func(s *repository.Server, decoy string) string{
		"by its address":   func(_ *repository.Server, decoy string) string { return "https://" + decoy },
		"by its IPv6 form": func(_ *repository.Server, decoy string) string { return "https://[::ffff:7f00:2]:" + portOf(decoy) },
		"by a name for it": func(_ *repository.Server, decoy string) string { return "https://evil.example.com:" + portOf(decoy) },
		"by localhost": func(_ *repository.Server, decoy string) string {
			return "https://localhost.example.com:" + portOf(decoy)
		},
		"by another number": func(_ *repository.Server, decoy string) string { return "https://2130706434:" + portOf(decoy) },
		"by a redirect": func(s *repository.Server, decoy string) string {
			s.Answer(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "https://"+decoy, http.StatusFound) })
			return s.URL
		},
		"by a redirect to a name": func(s *repository.Server, decoy string) string {
			s.Answer(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://evil.example.com:"+portOf(decoy), http.StatusTemporaryRedirect)
			})
			return s.URL
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			decoy := repository.ServeDecoy(t, "127.0.0.2:0")
			s := repository.Serve(t, repository.Options{})
			o := onlyOne
			o.Resolver = repository.Names(map[string]string{"evil.example.com": "127.0.0.2", "localhost.example.com": "::1"})
			_, err := get(t, o, accessTo(t, s), test(s, decoy.Host))
			g.Expect(err).To(Or(MatchError(fault.ErrForbiddenAddress), MatchError(ContainSubstring("no host of this name"))))
			g.Expect(decoy.Hits()).To(BeZero())
		})
	}
}

func portOf(host string) string {
	_, port, err := net.SplitHostPort(host)
	if err != nil {
		return ""
	}
	return port
}

func TestNoProxyIsAsked(t *testing.T) {
	g := NewWithT(t)
	proxy := repository.ServeDecoy(t, "127.0.0.1:0")
	t.Setenv("HTTPS_PROXY", "http://"+proxy.Host)
	t.Setenv("HTTP_PROXY", "http://"+proxy.Host)
	o := onlyOne
	o.Resolver = repository.Names(nil)
	_, err := get(t, o, Access{Origin: &url.URL{Scheme: "https", Host: "charts.example.com"}}, "https://charts.example.com")
	g.Expect(err).To(MatchError(ContainSubstring("there is no host of this name")))
	g.Expect(proxy.Hits()).To(BeZero())
}

func TestCertificatesThatAreNone(t *testing.T) {
	_, err := New(onlyOne, Access{CAs: []byte("-----BEGIN NONSENSE-----")})
	NewWithT(t).Expect(err).To(MatchError("invalid secret: ca.crt of spec.chart.caSecretRef holds no certificate in PEM"))
}

func TestWhatIsPublicOfAnAddress(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Public("https://me:secret@example.com/a%20b?token=secret#secret")).To(Equal("https://example.com/a%20b"))
	g.Expect(Public("https://me:secret@exa mple.com/")).NotTo(ContainSubstring("secret"))
}

func TestExplainKnowsWhatWasWrittenTo(t *testing.T) {
	g := NewWithT(t)
	g.Expect(Explain(context.Background(), "https://a.io", fault.ErrCacheUnavailable)).To(MatchError(fault.ErrCacheUnavailable))
}
