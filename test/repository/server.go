package repository

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// Server is a chart repository: an index.yaml, and archives beside it.
type Server struct {
	*httptest.Server
	// CA is the certificate, in PEM, that a client must trust.
	CA []byte

	certificates *certificates

	mu       sync.Mutex
	files    map[string][]byte
	entries  map[string][]string
	hits     map[string]int
	handler  http.HandlerFunc
	required string
}

// Options of a Server.
type Options struct {
	// Plain is a server without TLS.
	Plain bool
	// Expired has the server come with a certificate that isn't valid any more.
	Expired bool
	// Address to listen at, in place of any port of 127.0.0.1.
	Address string
}

// Serve starts a repository without charts, until the test ends.
func Serve(t testing.TB, o Options) *Server {
	t.Helper()
	s := &Server{files: map[string][]byte{}, entries: map[string][]string{}, hits: map[string]int{}}
	s.Server, s.certificates = start(t, http.HandlerFunc(s.serve), o)
	s.CA = s.certificates.ca
	return s
}

// certificates are what a server comes with.
type certificates struct {
	valid, expired *tls.Config
	ca             []byte
	isExpired      atomic.Bool
}

func (c *certificates) config(*tls.ClientHelloInfo) (*tls.Config, error) {
	if c.isExpired.Load() {
		return c.expired, nil
	}
	return c.valid, nil
}

// Expire has the server come with a certificate that isn't valid any more, or with its own again.
func (s *Server) Expire(expired bool) {
	s.certificates.isExpired.Store(expired)
	s.CloseClientConnections()
}

func start(t testing.TB, handler http.Handler, o Options) (*httptest.Server, *certificates) {
	t.Helper()
	server := httptest.NewUnstartedServer(handler)
	if o.Address != "" {
		listener, err := net.Listen("tcp", o.Address)
		if err != nil {
			t.Fatal(err)
		}
		server.Listener.Close() //nolint:errcheck // nobody has used it
		server.Listener = listener
	}
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // clients that don't trust the certificate are what is tested
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	if o.Plain {
		server.Start()
		return server, &certificates{}
	}
	c := &certificates{}
	c.valid, c.ca = certify(t, time.Now().Add(time.Hour))
	c.expired, _ = certify(t, time.Now().Add(-time.Hour))
	c.isExpired.Store(o.Expired)
	server.TLS = &tls.Config{Certificates: c.valid.Certificates, GetConfigForClient: c.config, MinVersion: tls.VersionTLS12}
	server.StartTLS()
	return server, c
}

// certify makes a certificate for loopback and for any host of example.com, which is its own authority.
func certify(t testing.TB, until time.Time) (*tls.Config, []byte) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "a test's repository"},
		NotBefore: until.Add(-48 * time.Hour), NotAfter: until,
		IPAddresses:           []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP("127.0.0.2"), net.IPv6loopback},
		DNSNames:              []string{"example.com", "*.example.com", "*.example.test"},
		KeyUsage:              x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage:           []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	certificate := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.hits[r.URL.Path]++
	handler, required := s.handler, s.required
	data, ok := s.files[r.URL.Path]
	if r.URL.Path == "/index.yaml" && !ok {
		data, ok = []byte(s.index()), true
	}
	s.mu.Unlock()
	switch {
	case handler != nil:
		handler(w, r)
	case required != "" && r.Header.Get("Authorization") != required:
		w.Header().Set("WWW-Authenticate", `Basic realm="charts"`)
		http.Error(w, "who are you?", http.StatusUnauthorized)
	case !ok:
		http.NotFound(w, r)
	default:
		w.Write(data) //nolint:errcheck // the client has gone
	}
}

func (s *Server) index() string {
	var b strings.Builder
	b.WriteString("apiVersion: v1\nentries:\n")
	for _, name := range slices.Sorted(maps.Keys(s.entries)) {
		fmt.Fprintf(&b, "  %s:\n%s", name, strings.Join(s.entries[name], ""))
	}
	b.WriteString("generated: \"2024-01-01T00:00:00Z\"\n")
	return b.String()
}

// Add puts a version of a chart into the repository, and gives the address of its archive.
func (s *Server) Add(name, version string, archive []byte) string {
	path := "/charts/" + name + "-" + version + ".tgz"
	s.Put(path, archive)
	s.AddEntry(name, version, strings.TrimPrefix(path, "/"), Digest(archive))
	return s.URL + path
}

// AddEntry puts an entry into the index, whatever there is at the address.
func (s *Server) AddEntry(name, version, address, digest string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.entries[name] = append(s.entries[name], fmt.Sprintf(
		"  - apiVersion: v2\n    name: %s\n    version: %s\n    digest: %q\n    urls:\n    - %s\n", name, version, digest, address))
}

// Put serves something at a path; /index.yaml goes in place of the index.
func (s *Server) Put(path string, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.files[path] = data
}

// Remove takes all versions of a chart out of the index.
func (s *Server) Remove(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.entries, name)
}

// Answer has a function answer all requests; nil has the repository work again.
func (s *Server) Answer(handler http.HandlerFunc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.handler = handler
}

// Require has the repository refuse whoever doesn't send this Authorization.
func (s *Server) Require(authorization string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.required = authorization
}

// Hits is how many requests there were for a path.
func (s *Server) Hits(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hits[path]
}

// AllHits is how many requests there were.
func (s *Server) AllHits() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := 0
	for _, n := range s.hits {
		all += n
	}
	return all
}

// Hang answers nothing until the client gives up.
func Hang(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

// Reset breaks the connection off.
func Reset(w http.ResponseWriter, _ *http.Request) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	if secured, ok := connection.(*tls.Conn); ok {
		connection = secured.NetConn()
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		tcp.SetLinger(0) //nolint:errcheck // it is closed in any case
	}
	connection.Close() //nolint:errcheck // that it breaks is what is wanted
}

// Status answers with a status, and a body that must not get into any message.
func Status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "internal-secret", code) }
}
