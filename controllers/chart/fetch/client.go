// Package fetch gets documents from servers that somebody else chose. It can't be turned against the cluster: every
// connection's address is looked at after its name was resolved, documents have limits, credentials stay with the
// host that they are for, and errors tell nothing of what a server answered.
package fetch

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/publicsuffix"

	"iter8.tools/operator/controllers/chart/fault"
)

// Options hold for every client of the operator.
type Options struct {
	Addresses Addresses
	// Timeout of one document, from its name's resolution to its last byte.
	Timeout time.Duration
	// Redirects that are followed at most.
	Redirects int
	// Resolver of host names; nil is the system's.
	Resolver *net.Resolver
}

// waiting for a server that isn't there takes no longer than this, in each of the steps before its answer.
const patience = 10 * time.Second

// Access says how one repository is reached.
type Access struct {
	// Origin is the repository's address. Credentials go there, and nowhere else.
	Origin *url.URL
	// Authorization is the header of that name that Origin gets.
	Authorization string
	// CAs are certificates, in PEM, of authorities that are trusted beside the system's.
	CAs []byte
	// PlainHTTP lets http:// be used.
	PlainHTTP bool
	// SkipVerify takes any certificate.
	SkipVerify bool
	// Registry limits requests to the registry of Origin and the host that gives its tokens; others are only reached
	// by redirects. Without it, any host is reached, without credentials.
	Registry bool
}

// Client gets documents by one Access.
type Client struct {
	http    *http.Client
	timeout time.Duration
}

// New gives a client, which must be closed.
func New(o Options, a Access) (*Client, error) {
	roots, err := rootsOf(a.CAs)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{
		Timeout:  patience,
		Resolver: o.Resolver,
		// The last word before a socket connects: whatever name, redirect or DNS answer led here.
		ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			ap, err := netip.ParseAddrPort(address)
			if err != nil {
				return &addressError{"unknown"}
			}
			if against := o.Addresses.Refuses(ap.Addr()); against != "" {
				return &addressError{against}
			}
			return nil
		},
	}
	transport := &http.Transport{
		// A proxy would resolve the names itself, and connect to whatever they lead to.
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSHandshakeTimeout:    patience,
		ResponseHeaderTimeout:  patience,
		MaxResponseHeaderBytes: 64 << 10,
		MaxIdleConnsPerHost:    1,
		TLSClientConfig: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			RootCAs:            roots,
			InsecureSkipVerify: a.SkipVerify,
		},
	}
	return &Client{
		timeout: o.Timeout,
		http: &http.Client{
			Transport: &guard{access: a, next: transport},
			CheckRedirect: func(_ *http.Request, via []*http.Request) error {
				if len(via) > o.Redirects {
					return &redirectsError{o.Redirects}
				}
				return nil
			},
		},
	}, nil
}

func rootsOf(pem []byte) (*x509.CertPool, error) {
	if len(pem) == 0 {
		return nil, nil //nolint:nilnil // no pool is the system's
	}
	pool, err := x509.SystemCertPool()
	if err != nil {
		pool = x509.NewCertPool() // an image without certificates
	}
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("%w: ca.crt of spec.chart.caSecretRef holds no certificate in PEM", fault.ErrInvalidSecret)
	}
	return pool, nil
}

// HTTP is for libraries that speak HTTP themselves. What they get wrong is told by Explain.
func (c *Client) HTTP() *http.Client { return c.http }

// Close closes the connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Get writes the document at an address to w, as long as it isn't larger than limit bytes.
func (c *Client) Get(ctx context.Context, address string, limit int64, w io.Writer) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.timeout, &timeoutError{c.timeout})
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return fmt.Errorf("%w: %s is not an address", fault.ErrRepositoryUnavailable, Public(address))
	}
	// A tool that unpacks what it gets would make another archive of a .tgz than the one whose digest is known.
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := c.http.Do(req)
	if err != nil {
		return Explain(ctx, address, err)
	}
	defer resp.Body.Close() //nolint:errcheck // only read
	if resp.StatusCode != http.StatusOK {
		return Explain(ctx, address, &StatusError{resp.StatusCode})
	}
	err = Copy(w, resp.Body, limit)
	if err == nil {
		// A server that sees the request end may end its answer, and what came by then isn't all of it.
		err = ctx.Err()
	}
	if err != nil {
		return Explain(ctx, address, err)
	}
	return nil
}

// Copy writes what r has to w, unless it is more than limit bytes.
func Copy(w io.Writer, r io.Reader, limit int64) error {
	n, err := io.Copy(w, io.LimitReader(r, limit+1))
	switch {
	case err != nil:
		return err
	case n > limit:
		return &sizeError{limit}
	}
	return nil
}

// guard looks at each request, those that follow a redirect among them.
type guard struct {
	access Access
	next   *http.Transport
}

func (g *guard) CloseIdleConnections() { g.next.CloseIdleConnections() }

func (g *guard) RoundTrip(req *http.Request) (*http.Response, error) {
	if req.URL.Scheme != "https" && (req.URL.Scheme != "http" || !g.access.PlainHTTP) {
		return nil, &schemeError{}
	}
	req = req.Clone(req.Context())
	req.Header.Del("Referer") // it may carry what a repository has in its addresses
	redirected := req.Response != nil
	switch {
	case sameOrigin(req.URL, g.access.Origin):
		if g.access.Authorization != "" {
			req.Header.Set("Authorization", g.access.Authorization)
		}
	case redirected || !g.access.Registry:
		if req.Method != http.MethodGet && req.Method != http.MethodHead {
			return nil, &realmError{} // a body that holds a password
		}
		req.Header.Del("Authorization")
		req.Header.Del("Cookie")
	case !SameSite(req.URL.Hostname(), g.access.Origin.Hostname()):
		return nil, &realmError{}
	}
	return g.next.RoundTrip(req)
}

func sameOrigin(a, b *url.URL) bool {
	return a.Scheme == b.Scheme && strings.EqualFold(a.Hostname(), b.Hostname()) && port(a) == port(b)
}

func port(u *url.URL) string {
	switch {
	case u.Port() != "":
		return u.Port()
	case u.Scheme == "http":
		return "80"
	default:
		return "443"
	}
}

// SameSite tells whether two hosts are one, or of one owner as far as the list of public suffixes knows: auth.docker.io
// and registry-1.docker.io are, two hosts of cluster.local are not.
func SameSite(a, b string) bool {
	a, b = strings.ToLower(a), strings.ToLower(b)
	if a == b {
		return true
	}
	site := func(host string) string {
		if _, err := netip.ParseAddr(host); err == nil {
			return ""
		}
		suffix, icann := publicsuffix.PublicSuffix(host)
		if !icann && !strings.Contains(suffix, ".") {
			return "" // a top-level domain that nobody manages
		}
		domain, err := publicsuffix.EffectiveTLDPlusOne(host)
		if err != nil {
			return ""
		}
		return domain
	}
	return site(a) != "" && site(a) == site(b)
}

// Public is an address as it may stand in a message: without user, password and query, where credentials are.
func Public(address string) string {
	u, err := url.Parse(address)
	if err != nil {
		return "an address that can't be read"
	}
	u.User, u.RawQuery, u.Fragment, u.ForceQuery = nil, "", "", false
	return u.String()
}
