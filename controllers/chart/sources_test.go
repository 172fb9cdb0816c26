package chart

import (
	"fmt"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/repository"
)

// versions are in both kinds of repository, in an order that nobody should rely on.
var versions = []string{"0.13.9", "0.14.10", "0.14.2", "1.0.0-rc.1", "0.14.11-alpha", "0.9.0+build.7"}

func TestWhichVersionIsTaken(t *testing.T) {
	server := repository.Serve(t, repository.Options{})
	registry := repository.ServeRegistry(t, repository.Options{})
	digests, manifests := map[string]string{}, map[string]string{}
	for _, v := range versions {
		server.Add("mirror", v, mirror(t, v))
		digests[v] = "sha256:" + repository.Digest(mirror(t, v))
		manifests[v] = registry.Push(t, "charts/mirror", strings.ReplaceAll(v, "+", "_"), mirror(t, v), nil)
	}
	registry.Push(t, "charts/mirror", "latest", mirror(t, "9.9.9"), nil)
	server.AddEntry("mirror", "no-version", "a.tgz", "")
	for name, test := range map[string]struct {
		version string
		want    string
		kind    error
		message string
	}{
		"the newest that is stable":            {"", "0.14.10", nil, ""},
		"the newest of a range":                {"0.14.x", "0.14.10", nil, ""},
		"the newest of a range of two bounds":  {">=0.9.0 <0.14.0", "0.13.9", nil, ""},
		"the newest of two ranges":             {"0.8.x || 0.13.x", "0.13.9", nil, ""},
		"a version":                            {"0.14.2", "0.14.2", nil, ""},
		"a version with a v":                   {"v0.14.2", "0.14.2", nil, ""},
		"a pre-release, by its name":           {"1.0.0-rc.1", "1.0.0-rc.1", nil, ""},
		"a range that has pre-releases":        {">=0.14.0-0", "1.0.0-rc.1", nil, ""},
		"a version with build metadata":        {"0.9.0+build.7", "0.9.0+build.7", nil, ""},
		"the same version without it":          {"0.9.0", "0.9.0+build.7", nil, ""},
		"a range that nothing is in":           {"2.x", "", ErrVersionNotFound, "version not found: HOST: no version of mirror is in 2.x; the newest is 1.0.0-rc.1"},
		"a range that has a pre-release in it": {"1.x", "", ErrVersionNotFound, "no version of mirror is in 1.x; the newest is 1.0.0-rc.1"},
		"a version that is not there":          {"0.14.3", "", ErrVersionNotFound, "no version of mirror is in 0.14.3"},
		"what is no version":                   {"latest", "", ErrInvalidVersion, `invalid version range: spec.chart.version "latest": improper constraint: "latest"`},
	} {
		for kind, source := range map[string]struct {
			address, shown string
			ca             []byte
			digests        map[string]string
		}{
			"index":    {server.URL, server.URL, server.CA, digests},
			"registry": {"oci://" + registry.Host + "/charts", "oci://" + registry.Host + "/charts/mirror", registry.CA, manifests},
		} {
			t.Run(kind+": "+name, func(t *testing.T) {
				g := NewWithT(t)
				w := begin(t, tolerant(t))
				got := w.known(t, request(source.address, "mirror", test.version, source.ca))
				if test.kind != nil {
					g.Expect(got.Chart).To(BeNil())
					g.Expect(got.Err).To(MatchError(test.kind))
					g.Expect(anonymous(got.Err, source.shown)).To(ContainSubstring(test.message))
					return
				}
				g.Expect(got.Err).NotTo(HaveOccurred())
				g.Expect(got.Chart.Resolved).To(Equal(iter8v1alpha1.ResolvedChart{
					Repository: source.address, Name: "mirror", Version: test.want, Digest: source.digests[test.want],
				}))
				g.Expect(string(got.Chart.Helm.Templates[0].Data)).To(Equal("kind: A # " + test.want + "\n"))
			})
		}
	}
}

func TestWhereAChartIs(t *testing.T) {
	g := NewWithT(t)
	server, other := repository.Serve(t, repository.Options{}), repository.Serve(t, repository.Options{})
	registry := repository.ServeRegistry(t, repository.Options{})
	archive := mirror(t, "1.0.0")
	other.Put("/elsewhere.tgz", archive)
	server.Put("/deep/down/mirror.tgz", archive)
	server.Put("/up.tgz", archive)
	manifest := registry.Push(t, "charts/mirror", "1.0.0", archive, nil)
	cas := append(append([]byte{}, server.CA...), append(other.CA, registry.CA...)...)
	for name, test := range map[string]struct{ path, entry, digest string }{
		"at another server":                     {"", other.URL + "/elsewhere.tgz", ""},
		"at another server, with a query":       {"", other.URL + "/elsewhere.tgz?signature=secret", ""},
		"relative to an index further down":     {"/deep", "down/mirror.tgz", ""},
		"relative, with a slash at the end":     {"/deep/", "down/mirror.tgz", ""},
		"relative to the server":                {"/deep", "/up.tgz", ""},
		"relative, out of the index's folder":   {"/deep", "../up.tgz", ""},
		"in a registry, by its tag":             {"", "oci://" + registry.Host + "/charts/mirror:1.0.0", manifest},
		"in a registry, by its digest":          {"", "oci://" + registry.Host + "/charts/mirror@" + manifest, manifest},
		"where it has no digest":                {"/none", "/up.tgz", ""},
		"where the digest is in capital letter": {"/upper", "/up.tgz", ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			digest := repository.Digest(archive)
			switch test.path {
			case "/none":
				digest = ""
			case "/upper":
				digest = strings.ToUpper(digest)
			}
			server.Put(strings.TrimRight(test.path, "/")+"/index.yaml", fmt.Appendf(nil, "apiVersion: v1\nentries:\n  mirror:\n  - {version: 1.0.0, urls: ['%s'], digest: '%s'}\n", test.entry, digest))
			got := begin(t, tolerant(t)).known(t, request(server.URL+test.path, "mirror", "", cas))
			g.Expect(got.Err).NotTo(HaveOccurred())
			want := test.digest
			if want == "" {
				want = "sha256:" + repository.Digest(archive)
			}
			g.Expect(got.Chart.Resolved.Digest).To(Equal(want))
		})
	}
	_ = g
}

func TestAChartByItsDigest(t *testing.T) {
	g := NewWithT(t)
	registry := repository.ServeRegistry(t, repository.Options{})
	first := registry.Push(t, "charts/mirror", "1.0.0", mirror(t, "1.0.0"), nil)
	registry.Push(t, "charts/mirror", "1.0.0", mirror(t, "1.0.0+moved"), nil)
	w := begin(t, tolerant(t))
	got := w.known(t, request("oci://"+registry.Host+"/charts", "mirror@"+first, "", registry.CA))
	g.Expect(got.Err).NotTo(HaveOccurred())
	g.Expect(got.Chart.Resolved).To(And(HaveField("Name", "mirror"), HaveField("Version", "1.0.0"), HaveField("Digest", first)))

	other := "sha256:" + strings.Repeat("0", 64)
	got = w.known(t, request("oci://"+registry.Host+"/charts", "mirror@"+other, "", registry.CA))
	g.Expect(got.Err).To(MatchError(ErrRepositoryUnavailable))
	g.Expect(anonymous(got.Err, registry.Host)).To(Equal("repository unavailable: oci://HOST/charts/mirror: there is nothing at this address"))
}

func TestANewVersionAndAMovedTagAreSeen(t *testing.T) {
	server := repository.Serve(t, repository.Options{})
	registry := repository.ServeRegistry(t, repository.Options{})
	moved := repository.Chart(t, "mirror", "1.1.0", map[string]string{"templates/route.yaml": "kind: Moved\n"})
	for name, test := range map[string]struct {
		address string
		ca      []byte
		put     func(version string, archive []byte)
	}{
		"index": {server.URL, server.CA, func(version string, archive []byte) {
			server.Remove("mirror")
			server.Add("mirror", version, archive)
		}},
		"registry": {"oci://" + registry.Host + "/charts", registry.CA, func(version string, archive []byte) {
			registry.Push(t, "charts/mirror", version, archive, nil)
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			w := begin(t, tolerant(t))
			ask := request(test.address, "mirror", "1.x", test.ca)
			test.put("1.0.0", mirror(t, "1.0.0"))
			first := w.known(t, ask)
			g.Expect(first.Err).NotTo(HaveOccurred())
			g.Expect(first.Previous).To(BeNil())
			g.Eventually(w.wakes).WithArguments(policy).Should(Equal(1))

			w.pass(t, 10*time.Minute)
			g.Expect(w.Resolve(ask)).To(Equal(first), "nothing is new")
			g.Eventually(w.wakes).WithArguments(policy).Should(Equal(1))

			test.put("1.1.0", mirror(t, "1.1.0"))
			w.pass(t, 9*time.Minute)
			g.Expect(w.Resolve(ask)).To(Equal(first), "nobody has asked yet")
			w.pass(t, time.Minute)
			second := w.Resolve(ask)
			g.Expect(second.Chart.Resolved.Version).To(Equal("1.1.0"))
			g.Expect(second.Previous).To(Equal(&first.Chart.Resolved))
			g.Eventually(w.wakes).WithArguments(policy).Should(Equal(2))

			test.put("1.1.0", moved)
			ask.Reconcile = "now"
			w.Resolve(ask)
			w.settle(t)
			third := w.Resolve(ask)
			g.Expect(third.Chart.Resolved.Version).To(Equal("1.1.0"))
			g.Expect(third.Chart.Resolved.Digest).NotTo(Equal(second.Chart.Resolved.Digest))
			g.Expect(third.Previous).To(Equal(&second.Chart.Resolved))
			g.Expect(string(third.Chart.Helm.Templates[0].Data)).To(Equal("kind: Moved\n"))
			g.Eventually(w.wakes).WithArguments(policy).Should(Equal(3))
		})
	}
}

func TestBuiltInChartsAndWhatCannotWorkResolveAtOnce(t *testing.T) {
	g := NewWithT(t)
	builtIn, err := LoadBuiltIn(files())
	g.Expect(err).NotTo(HaveOccurred())
	o := tolerant(t)
	o.charts.CacheDir = "/proc/nothing/can/be/written/here"
	w, err := NewSources(Options{BuiltIn: builtIn, Charts: o.charts})
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(w.NeedLeaderElection()).To(BeFalse())
	got := w.Resolve(Request{Policy: policy, Chart: iter8v1alpha1.ChartReference{Name: "mirror", Version: "0.14.x"}})
	g.Expect(got.Err).NotTo(HaveOccurred())
	g.Expect(got.Chart.Resolved.Version).To(Equal("0.14.2"))
	got = w.Resolve(Request{Policy: policy, Chart: iter8v1alpha1.ChartReference{Name: "nothing"}})
	g.Expect(got).To(And(HaveField("Pending", false), HaveField("Err", MatchError(ErrChartNotFound))))
	got = w.Resolve(Request{Policy: policy, Chart: iter8v1alpha1.ChartReference{Repository: "file:///charts", Name: "mirror"}})
	g.Expect(got).To(And(HaveField("Pending", false), HaveField("Err", MatchError(ErrRepositoryNotAllowed))))
	got = w.Resolve(request("https://charts.example.com", "mirror", "", nil))
	g.Expect(got).To(Equal(Resolution{Pending: true}))
	g.Expect(w.sources).To(HaveLen(1))
	w.Resolve(Request{Policy: policy, Chart: iter8v1alpha1.ChartReference{Name: "mirror"}})
	g.Expect(w.sources).To(BeEmpty())
	g.Expect(w.catalogs).To(BeEmpty())
}

func TestWhatNobodyAsksForIsDropped(t *testing.T) {
	g := NewWithT(t)
	server := repository.Serve(t, repository.Options{})
	server.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
	server.Add("other", "1.0.0", repository.Chart(t, "other", "1.0.0", nil))
	w := begin(t, tolerant(t))
	ask := request(server.URL, "mirror", "", server.CA)
	second := ask
	second.Policy.Name = "second"
	for _, r := range []Request{ask, second} {
		g.Expect(w.known(t, r).Err).NotTo(HaveOccurred())
	}
	g.Expect(w.memory).To(HaveLen(1))

	w.Forget(second.Policy)
	w.Forget(types.NamespacedName{Name: "nobody"})
	g.Expect(w.sources).To(HaveLen(1))
	changed := ask
	changed.Chart.Name = "other"
	g.Expect(w.known(t, changed.with(map[string]map[string][]byte{"ca": {"ca.crt": server.CA}})).Chart.Resolved.Name).To(Equal("other"))
	g.Expect(w.sources).To(HaveLen(1))
	g.Expect(w.memory).To(HaveLen(1))

	server.Answer(repository.Hang)
	changed.Reconcile = "now"
	w.Resolve(changed.with(map[string]map[string][]byte{"ca": {"ca.crt": server.CA}}))
	g.Eventually(func() int { return server.Hits("/index.yaml") }).Should(Equal(3))
	w.Forget(policy)
	g.Expect(w.sources).To(BeEmpty())
	g.Expect(w.memory).To(BeEmpty())
	g.Expect(w.catalogs).To(BeEmpty())
	g.Expect(w.policies).To(BeEmpty())
	g.Eventually(func() int {
		w.Sources.mu.Lock()
		defer w.Sources.mu.Unlock()
		return w.slots.running
	}).Should(BeZero(), "what hung was broken off")
}
