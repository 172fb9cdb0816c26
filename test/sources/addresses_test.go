package sources

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/test/repository"
)

// addresses has the operator led to where it must not connect to, in every way that there is.
func (a *arena) addresses() {
	_, port, _ := strings.Cut(a.decoy.Host, ":")
	server := func(prepare func(*repository.Server)) func(*testing.T) (string, []byte) {
		return func(t *testing.T) (string, []byte) {
			s := serve(t)
			prepare(s)
			return s.URL, s.CA
		}
	}
	registry := func(prepare func(*repository.Registry)) func(*testing.T) (string, []byte) {
		return func(t *testing.T) (string, []byte) {
			r := serveRegistry(t)
			r.Push(t, "charts/mirror", "0.14.2", mirror(t, "0.14.2"), nil)
			prepare(r)
			return charts(r), r.CA
		}
	}
	at := func(address string) func(*testing.T) (string, []byte) {
		return func(*testing.T) (string, []byte) { return address, a.server.CA }
	}
	entry := func(address string) func(*testing.T) (string, []byte) {
		return server(func(s *repository.Server) { s.AddEntry("mirror", "0.14.2", address, "") })
	}
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, to+r.URL.Path, http.StatusTemporaryRedirect)
		}
	}
	realm := func(address string) func(*testing.T) (string, []byte) {
		return registry(func(r *repository.Registry) {
			r.Require(repository.Auth{Username: "me", Password: password, Bearer: true, Realm: address})
		})
	}
	const forbidden, loopback = "False ForbiddenAddress: ", "leads to an address that is loopback, which the operator doesn't connect to"
	for name, test := range map[string]struct {
		address        func(*testing.T) (address string, ca []byte)
		reason, detail string
	}{
		"a loopback address":               {at("https://" + a.decoy.Host), forbidden, loopback},
		"a loopback address of IPv6":       {at("https://[::1]:" + port), forbidden, loopback},
		"a loopback address in IPv6":       {at("https://[::ffff:127.0.0.1]:" + port), forbidden, loopback},
		"the address of metadata":          {at("https://169.254.169.254"), forbidden, "link-local, where clouds serve their metadata"},
		"a registry at a loopback address": {at("oci://" + a.decoy.Host + "/charts"), forbidden, loopback},
		"a registry at metadata":           {at("oci://169.254.169.254/charts"), forbidden, "link-local"},
		"a name that leads there":          {at("https://localhost:" + port), forbidden, loopback},
		"a registry's name":                {at("oci://localhost:" + port + "/charts"), forbidden, loopback},
		"a file":                           {entry("file:///etc/passwd"), "False RepositoryNotAllowed: ", ""},
		"an address without TLS":           {entry("http://" + a.decoy.Host + "/mirror.tgz"), "False RepositoryNotAllowed: ", ""},
		"an entry of the index":            {entry("https://" + a.decoy.Host + "/mirror.tgz"), forbidden, loopback},
		"an entry of the index by name":    {entry("https://localhost:" + port + "/mirror.tgz"), forbidden, loopback},
		"an entry in a registry":           {entry("oci://" + a.decoy.Host + "/charts/mirror:0.14.2"), forbidden, loopback},
		"a redirect":                       {server(func(s *repository.Server) { s.Answer(redirect("https://" + a.decoy.Host)) }), forbidden, loopback},
		"a redirect by name":               {server(func(s *repository.Server) { s.Answer(redirect("https://localhost:" + port)) }), forbidden, loopback},
		"a redirect without TLS":           {server(func(s *repository.Server) { s.Answer(redirect("http://" + a.decoy.Host)) }), "False RepositoryNotAllowed: ", ""},
		"redirects in a circle": {server(func(s *repository.Server) {
			s.Answer(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
		}), "False RepositoryUnavailable: ", "more than 5 redirects"},
		"a registry's redirect": {registry(func(r *repository.Registry) { r.Answer(redirect("https://" + a.decoy.Host)) }), forbidden, loopback},
		"a registry's realm":    {realm("https://" + a.decoy.Host + "/token"), "False RepositoryUnavailable: ", ""},
		"a realm by name":       {realm("https://localhost:" + port + "/token"), "False RepositoryUnavailable: ", ""},
		"a realm at metadata":   {realm("http://169.254.169.254/latest/meta-data"), "False RepositoryUnavailable: ", ""},
		"more tags": {registry(func(r *repository.Registry) {
			r.Answer(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", `<https://`+a.decoy.Host+`/v2/charts/mirror/tags/list>; rel="next"`)
				fmt.Fprint(w, `{"tags":["0.14.2"]}`)
			})
		}), "False RepositoryUnavailable: ", ""},
	} {
		a.Run(name, func(t *testing.T) {
			a := a.within(t)
			name := "to-" + slug(name)
			address, ca := test.address(t)
			a.secret(name, map[string][]byte{"ca.crt": ca, "username": []byte("me"), "password": []byte(password)})
			reference := from(address, "mirror", "")
			reference.CASecretRef.Name = name
			reference.SecretRef = reference.CASecretRef
			a.app(name, reference)
			a.Eventually(a.resolved(name)).Should(And(HavePrefix(test.reason), ContainSubstring(test.detail)))
			t.Log(a.resolved(name)())
			a.survives()
			a.end(name)
		})
	}
	a.Expect(disclosed(a.scene)).To(BeEmpty())
}
