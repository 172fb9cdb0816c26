package repository

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/registry"
)

// Registry is an OCI registry.
type Registry struct {
	*httptest.Server
	// CA is the certificate, in PEM, that a client must trust.
	CA []byte
	// Host with its port.
	Host string

	registry http.Handler
	mu       sync.Mutex
	handler  http.HandlerFunc
	auth     Auth
	hits     map[string]int
	tokens   []string
}

// Auth is what a registry asks of its clients.
type Auth struct {
	// Username and Password that are taken. Without them everybody is let in, with a token if there is a Realm.
	Username, Password string
	// Bearer has the registry send its clients to /token, with these, for a token; it takes no password itself.
	Bearer bool
	// Realm goes in place of the registry's own /token.
	Realm string
}

// ServeRegistry starts a registry, until the test ends.
func ServeRegistry(t testing.TB, o Options) *Registry {
	t.Helper()
	r := &Registry{registry: registry.New(registry.Logger(log.New(io.Discard, "", 0))), hits: map[string]int{}}
	server, presented := start(t, http.HandlerFunc(r.serve), o)
	r.Server, r.CA = server, presented.ca
	r.Host = strings.TrimPrefix(strings.TrimPrefix(r.URL, "https://"), "http://")
	return r
}

func (r *Registry) serve(w http.ResponseWriter, req *http.Request) {
	r.mu.Lock()
	r.hits[req.URL.Path]++
	handler, auth := r.handler, r.auth
	r.mu.Unlock()
	switch {
	case handler != nil:
		handler(w, req)
	case req.URL.Path == "/token":
		r.token(w, req, auth)
	case !r.allowed(req, auth):
		challenge := `Basic realm="registry"`
		if auth.Bearer {
			realm := auth.Realm
			if realm == "" {
				realm = r.URL + "/token"
			}
			challenge = fmt.Sprintf(`Bearer realm=%q,service="registry"`, realm)
		}
		w.Header().Set("WWW-Authenticate", challenge)
		http.Error(w, `{"errors":[{"code":"UNAUTHORIZED","message":"internal-secret"}]}`, http.StatusUnauthorized)
	default:
		r.registry.ServeHTTP(w, req)
	}
}

func (r *Registry) token(w http.ResponseWriter, req *http.Request, auth Auth) {
	user, password, _ := req.BasicAuth()
	if user != auth.Username || password != auth.Password {
		http.Error(w, "internal-secret", http.StatusUnauthorized)
		return
	}
	r.mu.Lock()
	token := fmt.Sprintf("token-%d", len(r.tokens))
	r.tokens = append(r.tokens, "Bearer "+token)
	r.mu.Unlock()
	json.NewEncoder(w).Encode(map[string]string{"token": token}) //nolint:errcheck,errchkjson // the client has gone
}

func (r *Registry) allowed(req *http.Request, auth Auth) bool {
	switch {
	case auth == Auth{}:
		return true
	case !auth.Bearer:
		user, password, ok := req.BasicAuth()
		return ok && user == auth.Username && password == auth.Password
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, token := range r.tokens {
		if req.Header.Get("Authorization") == token {
			return true
		}
	}
	return false
}

// Require sets what the registry asks of its clients.
func (r *Registry) Require(auth Auth) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.auth = auth
}

// Answer has a function answer all requests; nil has the registry work again.
func (r *Registry) Answer(handler http.HandlerFunc) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.handler = handler
}

// Hits is how many requests there were whose path ends so.
func (r *Registry) Hits(suffix string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := 0
	for path, n := range r.hits {
		if strings.HasSuffix(path, suffix) {
			all += n
		}
	}
	return all
}

// Push puts a chart into the registry as helm push does, with its provenance if there is some, and gives the digest of
// the manifest. It goes past what the registry asks of its clients.
func (r *Registry) Push(t testing.TB, name, tag string, archive, provenance []byte) string {
	t.Helper()
	type descriptor struct {
		MediaType string `json:"mediaType"`
		Digest    string `json:"digest"`
		Size      int    `json:"size"`
	}
	blob := func(mediaType string, data []byte) descriptor {
		digest := "sha256:" + Digest(data)
		r.put(t, http.MethodPost, "/v2/"+name+"/blobs/uploads/?digest="+url.QueryEscape(digest), "application/octet-stream", data)
		return descriptor{mediaType, digest, len(data)}
	}
	layers := []descriptor{blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", archive)}
	if provenance != nil {
		layers = append(layers, blob("application/vnd.cncf.helm.chart.provenance.v1.prov", provenance))
	}
	manifest, err := json.Marshal(map[string]any{
		"schemaVersion": 2,
		"mediaType":     "application/vnd.oci.image.manifest.v1+json",
		"config":        blob("application/vnd.cncf.helm.config.v1+json", []byte("{}")),
		"layers":        layers,
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.PushManifest(t, name, tag, manifest)
}

// PushManifest puts a manifest into the registry, whatever it says.
func (r *Registry) PushManifest(t testing.TB, name, tag string, manifest []byte) string {
	t.Helper()
	r.put(t, http.MethodPut, "/v2/"+name+"/manifests/"+tag, "application/vnd.oci.image.manifest.v1+json", manifest)
	return "sha256:" + Digest(manifest)
}

func (r *Registry) put(t testing.TB, method, path, contentType string, data []byte) {
	t.Helper()
	req := httptest.NewRequestWithContext(t.Context(), method, path, bytes.NewReader(data))
	req.Header.Set("Content-Type", contentType)
	answer := httptest.NewRecorder()
	r.registry.ServeHTTP(answer, req)
	if answer.Code != http.StatusCreated {
		t.Fatalf("%s %s: %d %s", method, path, answer.Code, answer.Body)
	}
}

// Content is the registry without what it asks of its clients, for a function that answers in its place now and then.
func (r *Registry) Content() http.Handler { return r.registry }
