package chart

import (
	"archive/tar"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/test/repository"
)

// hostNames are what the resolver of these tests knows.
var hostNames = map[string]string{"charts.example.com": "127.0.0.1", "evil.example.com": "127.0.0.2", "metadata.example.com": "169.254.169.254", "mapped.example.com": "::ffff:127.0.0.2"}

func TestNobodyIsLedToTheDecoy(t *testing.T) {
	archive := mirror(t, "1.0.0")
	port := func(host string) string { return host[strings.LastIndex(host, ":"):] }
	for name, test := range map[string]struct {
		prepare func(ask *Request, s *repository.Server, r *repository.Registry, decoy string)
		kinds   []error
	}{
		"by the repository's address": {func(ask *Request, _ *repository.Server, _ *repository.Registry, decoy string) {
			ask.Chart.Repository = "https://" + decoy
		}, []error{ErrForbiddenAddress}},
		"by a registry's address": {func(ask *Request, _ *repository.Server, _ *repository.Registry, decoy string) {
			ask.Chart.Repository = "oci://" + decoy + "/charts"
		}, []error{ErrForbiddenAddress}},
		"by a DNS answer": {func(ask *Request, _ *repository.Server, _ *repository.Registry, decoy string) {
			ask.Chart.Repository = "https://evil.example.com" + port(decoy)
		}, []error{ErrForbiddenAddress}},
		"by a DNS answer, as IPv6": {func(ask *Request, _ *repository.Server, _ *repository.Registry, decoy string) {
			ask.Chart.Repository = "https://mapped.example.com" + port(decoy)
		}, []error{ErrForbiddenAddress}},
		"by a DNS answer for a registry": {func(ask *Request, _ *repository.Server, _ *repository.Registry, decoy string) {
			ask.Chart.Repository = "oci://evil.example.com" + port(decoy) + "/charts"
		}, []error{ErrForbiddenAddress}},
		"to metadata, by a DNS answer": {func(ask *Request, _ *repository.Server, _ *repository.Registry, _ string) {
			ask.Chart.Repository = "https://metadata.example.com"
		}, []error{ErrForbiddenAddress}},
		"by a redirect": {func(_ *Request, s *repository.Server, _ *repository.Registry, decoy string) {
			s.Answer(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "https://"+decoy, http.StatusFound) })
		}, []error{ErrForbiddenAddress}},
		"by a registry's redirect": {func(ask *Request, _ *repository.Server, r *repository.Registry, decoy string) {
			ask.Chart.Repository = "oci://" + r.Host + "/charts"
			r.Answer(func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "https://"+decoy+r.URL.Path, http.StatusTemporaryRedirect)
			})
		}, []error{ErrForbiddenAddress}},
		"by an entry of the index": {func(_ *Request, s *repository.Server, _ *repository.Registry, decoy string) {
			s.AddEntry("mirror", "2.0.0", "https://"+decoy+"/mirror-2.0.0.tgz", "")
		}, []error{ErrForbiddenAddress}},
		"by an entry of the index, without TLS": {func(_ *Request, s *repository.Server, _ *repository.Registry, decoy string) {
			s.AddEntry("mirror", "2.0.0", "http://"+decoy+"/mirror-2.0.0.tgz", "")
		}, []error{ErrRepositoryNotAllowed}},
		"by an entry of the index, in a registry": {func(_ *Request, s *repository.Server, _ *repository.Registry, decoy string) {
			s.AddEntry("mirror", "2.0.0", "oci://"+decoy+"/charts/mirror:2.0.0", "")
		}, []error{ErrForbiddenAddress}},
		"by an entry of the index that is a file": {func(_ *Request, s *repository.Server, _ *repository.Registry, _ string) {
			s.AddEntry("mirror", "2.0.0", "file:///etc/passwd", "")
		}, []error{ErrRepositoryNotAllowed}},
		"by the realm of a registry, with credentials": {func(ask *Request, _ *repository.Server, r *repository.Registry, decoy string) {
			ask.Chart.Repository = "oci://" + r.Host + "/charts"
			r.Require(repository.Auth{Username: "me", Password: "secret", Bearer: true, Realm: "https://" + decoy + "/token"})
			*ask = ask.secured(basic("me", "secret"), r.CA)
		}, []error{ErrUnauthorized, ErrRepositoryUnavailable}},
		"by the realm of a registry, without": {func(ask *Request, _ *repository.Server, r *repository.Registry, decoy string) {
			ask.Chart.Repository = "oci://" + r.Host + "/charts"
			r.Require(repository.Auth{Bearer: true, Realm: "https://evil.example.com" + port(decoy) + "/token"})
		}, []error{ErrUnauthorized}},
		"by a realm without TLS": {func(ask *Request, _ *repository.Server, r *repository.Registry, decoy string) {
			ask.Chart.Repository = "oci://" + r.Host + "/charts"
			r.Require(repository.Auth{Bearer: true, Realm: "http://" + decoy + "/token"})
		}, []error{ErrRepositoryUnavailable, ErrUnauthorized}},
		"by the next page of tags": {func(ask *Request, _ *repository.Server, r *repository.Registry, decoy string) {
			ask.Chart.Repository = "oci://" + r.Host + "/charts"
			r.Answer(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Link", `<https://`+decoy+`/v2/charts/mirror/tags/list>; rel="next"`)
				io.WriteString(w, `{"tags":["1.0.0"]}`)
			})
		}, []error{ErrRepositoryUnavailable}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			server, registry := repository.Serve(t, repository.Options{}), repository.ServeRegistry(t, repository.Options{})
			decoy := repository.ServeDecoy(t, "127.0.0.2:0")
			server.Add("mirror", "1.0.0", archive)
			registry.Push(t, "charts/mirror", "1.0.0", archive, nil)
			o := tolerant(t)
			o.resolver = repository.Names(hostNames)
			ask := request(server.URL, "mirror", "", append(append([]byte{}, server.CA...), registry.CA...))
			test.prepare(&ask, server, registry, decoy.Host)
			if ask.Chart.SecretRef == nil {
				ask = ask.with(map[string]map[string][]byte{"ca": {"ca.crt": append(append([]byte{}, server.CA...), registry.CA...)}})
			}
			got := begin(t, o).known(t, ask)
			g.Expect(got.Chart).To(BeNil())
			g.Expect(test.kinds).To(ContainElement(WithTransform(func(kind error) bool { return strings.HasPrefix(got.Err.Error(), kind.Error()+": ") }, BeTrue())), "%s", got.Err)
			g.Expect(got.Err).To(MatchError(Not(ContainSubstring("secret "))))
			g.Expect(decoy.Hits()).To(BeZero())
		})
	}
}

func TestTheRealmOfARegistryGetsNoCredentialsUnlessItIsOfTheSameOwner(t *testing.T) {
	for name, test := range map[string]struct {
		registry, realm string
		got             bool
	}{
		"another port of the host":         {"charts.example.com", "charts.example.com", true},
		"another host of the domain":       {"charts.example.com", "auth.example.com", true},
		"a host of another domain":         {"charts.example.com", "auth.example.test", false},
		"a host of another, by its number": {"charts.example.com", "127.0.0.1", false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			registry, realm := repository.ServeRegistry(t, repository.Options{}), repository.Serve(t, repository.Options{})
			registry.Push(t, "charts/mirror", "1.0.0", mirror(t, "1.0.0"), nil)
			passwords := make(chan string, 10)
			realm.Answer(func(w http.ResponseWriter, r *http.Request) {
				_, password, _ := r.BasicAuth()
				passwords <- password
				io.WriteString(w, `{"token":"a"}`)
			})
			port := func(address string) string { return address[strings.LastIndex(address, ":"):] }
			registry.Require(repository.Auth{Username: "me", Password: "secret", Bearer: true, Realm: "https://" + test.realm + port(realm.URL) + "/token"})
			o := tolerant(t)
			o.resolver = repository.Names(map[string]string{"charts.example.com": "127.0.0.1", "auth.example.com": "127.0.0.1", "auth.example.test": "127.0.0.1"})
			cas := append(append([]byte{}, registry.CA...), realm.CA...)
			ask := request("oci://"+test.registry+port(registry.URL)+"/charts", "mirror", "", cas).secured(basic("me", "secret"), cas)
			got := begin(t, o).known(t, ask)
			g.Expect(got.Err).To(MatchError(Or(HavePrefix("unauthorized: "), HavePrefix("repository unavailable: "))))
			if test.got {
				g.Expect(passwords).To(Receive(Equal("secret")))
				return
			}
			g.Expect(passwords).To(BeEmpty())
		})
	}
}

func TestHostileRepositories(t *testing.T) {
	bomb := repository.Archive(t, func(w *tar.Writer) error {
		if err := w.WriteHeader(&tar.Header{Name: "mirror/a", Typeflag: tar.TypeReg, Size: 64 << 20}); err != nil {
			return err
		}
		_, err := w.Write(make([]byte, 64<<20))
		return err
	})
	link := repository.Archive(t, func(w *tar.Writer) error {
		return w.WriteHeader(&tar.Header{Name: "mirror/a", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"})
	})
	for name, test := range map[string]struct {
		archive []byte
		digest  string
		entry   string
		kind    error
		message string
	}{
		"an archive that expands":       {archive: bomb, kind: ErrTooLarge, message: "too large: the chart's files, and what its values are decoded to, take more memory than the 8Mi that a namespace may have; charts.memory of the operator's configuration sets it (mirror 1.0.0 from HOST)"},
		"an archive with a link":        {archive: link, kind: ErrInvalidArchive, message: `invalid chart: it holds a link, "mirror/a" (mirror 1.0.0 from HOST)`},
		"another digest":                {archive: mirror(t, "1.0.0"), digest: strings.Repeat("0", 64), kind: ErrInvalidArchive, message: "and the index says sha256:" + strings.Repeat("0", 64)},
		"another chart":                 {archive: repository.Chart(t, "other", "1.0.0", nil), kind: ErrInvalidArchive, message: `invalid chart: HOST has the chart "other" where it should have mirror`},
		"another version":               {archive: mirror(t, "0.9.0"), kind: ErrInvalidArchive, message: "invalid chart: HOST has version 0.9.0 of mirror where it should have 1.0.0"},
		"an archive that is too large":  {archive: make([]byte, 11<<20), kind: ErrTooLarge, message: "HOST/charts/mirror-1.0.0.tgz: it is larger than the 10Mi that charts.limits of the operator's configuration allows"},
		"an archive that is a page":     {archive: []byte("<html>internal-secret"), kind: ErrInvalidArchive, message: "invalid chart: it is not an archive that helm package makes, a .tgz, or it is damaged (mirror 1.0.0 from HOST)"},
		"an archive that is not there":  {entry: "nowhere.tgz", kind: ErrRepositoryUnavailable, message: "repository unavailable: HOST/nowhere.tgz: the server answers 404: there is nothing at this address"},
		"an address that is none":       {entry: "'https://%zz'", kind: ErrInvalidIndex, message: "invalid index: HOST: the index has no address for mirror 1.0.0"},
		"a registry without a version":  {entry: "oci://a.example.com/mirror", kind: ErrInvalidIndex, message: "the index has no valid oci:// address"},
		"an address with a query":       {entry: "nowhere.tgz?internal-secret", kind: ErrRepositoryUnavailable, message: "HOST/nowhere.tgz: the server answers 404"},
		"an address with a password":    {entry: "https://me:internal-secret@nobody.example.com/a.tgz", kind: ErrRepositoryUnavailable, message: "https://nobody.example.com/a.tgz: there is no host of this name"},
		"an index that is a page":       {entry: "index", archive: []byte("<html>internal-secret"), kind: ErrInvalidIndex, message: "invalid index: index.yaml is not what helm repo index writes: it has no apiVersion (HOST)"},
		"an index that is too large":    {entry: "index", archive: make([]byte, 51<<20), kind: ErrTooLarge, message: "too large: HOST/index.yaml: it is larger than the 50Mi that charts.limits of the operator's configuration allows"},
		"an index without the chart":    {entry: "index", archive: []byte("apiVersion: v1\nentries:\n  other:\n"), kind: ErrChartNotFound, message: `chart not found: HOST: its index has no chart "mirror"`},
		"an index with nothing but nul": {entry: "index", archive: []byte("apiVersion: v1\nentries:\n  mirror: [null, null]\n"), kind: ErrChartNotFound, message: `its index has no chart "mirror"`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			server := repository.Serve(t, repository.Options{})
			switch {
			case test.entry == "index":
				server.Put("/index.yaml", test.archive)
			case test.entry != "":
				server.AddEntry("mirror", "1.0.0", test.entry, "")
			case test.digest != "":
				server.Put("/charts/mirror-1.0.0.tgz", test.archive)
				server.AddEntry("mirror", "1.0.0", "charts/mirror-1.0.0.tgz", test.digest)
			default:
				server.Add("mirror", "1.0.0", test.archive)
			}
			o := tolerant(t)
			o.resolver = repository.Names(nil)
			got := begin(t, o).known(t, request(server.URL, "mirror", "", server.CA))
			g.Expect(got.Chart).To(BeNil())
			g.Expect(got.Err).To(MatchError(test.kind))
			g.Expect(anonymous(got.Err, server.URL)).To(And(ContainSubstring(test.message), Not(ContainSubstring("internal-secret"))))
			entries, err := os.ReadDir(o.charts.CacheDir + "/tmp")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(entries).To(BeEmpty())
		})
	}
}

func TestHostileRegistries(t *testing.T) {
	const prefix = "charts/mirror"
	archive := mirror(t, "1.0.0")
	manifest := func(layers string) []byte {
		return fmt.Appendf(nil, `{"schemaVersion":2,"config":{"mediaType":"a/b","digest":"sha256:%064d","size":2},"layers":[%s]}`, 0, layers)
	}
	layer := func(digest string, size int64) string {
		return fmt.Sprintf(`{"mediaType":%q,"digest":%q,"size":%d}`, archiveLayer, digest, size)
	}
	for name, test := range map[string]struct {
		manifest []byte
		answer   func(next http.Handler) http.HandlerFunc
		kind     error
		message  string
	}{
		"an image that is no chart":          {manifest: manifest(`{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"sha256:a","size":1}`), kind: ErrInvalidArchive, message: "what the registry has is not a Helm chart (oci://HOST/charts/mirror)"},
		"a manifest of null":                 {manifest: []byte("null"), kind: ErrInvalidArchive, message: "what the registry has is not a Helm chart"},
		"a manifest that is none":            {manifest: []byte("internal-secret"), kind: ErrInvalidArchive, message: "the manifest is not valid"},
		"a manifest that is too large":       {manifest: make([]byte, 2<<20), kind: ErrTooLarge, message: "the manifest has more than 64Ki"},
		"a layer that says it is large":      {manifest: manifest(layer("sha256:"+repository.Digest(archive), 1<<40)), kind: ErrTooLarge, message: "larger than the 10Mi"},
		"a layer that says it is small":      {manifest: manifest(layer("sha256:"+repository.Digest(archive), 1)), kind: ErrRepositoryUnavailable, message: "oci://HOST/charts/mirror: it can't be fetched"},
		"a layer with another digest":        {manifest: manifest(layer("sha512:"+strings.Repeat("0", 128), 1)), kind: ErrInvalidArchive, message: "a layer without a SHA-256"},
		"a layer with a digest that is none": {manifest: manifest(layer("../../../etc", 1)), kind: ErrInvalidArchive, message: "a layer without a SHA-256"},
		"a layer that is not there":          {manifest: manifest(layer("sha256:"+strings.Repeat("0", 64), 1)), kind: ErrRepositoryUnavailable, message: "there is nothing at this address"},
		"tags without an end": {answer: func(next http.Handler) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if !strings.HasSuffix(r.URL.Path, "/tags/list") {
					next.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Link", `</v2/`+prefix+`/tags/list?last=x>; rel="next"`)
				io.WriteString(w, `{"tags":["0.1.0"]}`)
			}
		}, kind: ErrTooLarge, message: "has more than 20000 tags, or 100 pages of them"},
		"a page of tags without an end": {answer: func(http.Handler) http.HandlerFunc {
			return func(w http.ResponseWriter, _ *http.Request) {
				io.WriteString(w, `{"tags":["`)
				for range 64 {
					w.Write(make([]byte, 1<<20))
				}
			}
		}, kind: ErrRepositoryUnavailable, message: "oci://HOST/charts/mirror: "},
		"another layer than its digest says": {answer: func(next http.Handler) http.HandlerFunc {
			return func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.URL.Path, "/blobs/") {
					w.Write(make([]byte, len(archive)))
					return
				}
				next.ServeHTTP(w, r)
			}
		}, kind: ErrInvalidArchive, message: "and the manifest says sha256:" + repository.Digest(archive)},
		"no such chart": {answer: func(http.Handler) http.HandlerFunc { return repository.Status(404) }, kind: ErrChartNotFound,
			message: "chart not found: oci://HOST/charts/mirror: the registry has nothing of this name, or shows it only to clients with credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			registry := repository.ServeRegistry(t, repository.Options{})
			registry.Push(t, prefix, "1.0.0", archive, nil)
			if test.manifest != nil {
				registry.PushManifest(t, prefix, "1.0.0", test.manifest)
			}
			if test.answer != nil {
				registry.Answer(test.answer(registry.Content()))
			}
			got := begin(t, tolerant(t)).known(t, request("oci://"+registry.Host+"/charts", "mirror", "", registry.CA))
			g.Expect(got.Chart).To(BeNil())
			g.Expect(got.Err).To(MatchError(test.kind))
			g.Expect(anonymous(got.Err, registry.Host)).To(And(ContainSubstring(test.message), Not(ContainSubstring("internal-secret"))))
		})
	}
}
