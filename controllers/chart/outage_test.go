package chart

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/repository"
)

// faults are the ways in which a server that worked can stop working.
var faults = map[string]struct {
	handler http.HandlerFunc
	message string
}{
	"an error":           {repository.Status(500), "repository unavailable: HOST: the server answers 500"},
	"too many requests":  {repository.Status(429), "repository unavailable: HOST: the server answers 429"},
	"no credentials":     {repository.Status(401), "unauthorized: HOST: the server answers 401: spec.chart.secretRef must name a Secret with credentials that it takes"},
	"nothing there":      {repository.Status(404), ""},
	"a reset":            {repository.Reset, "repository unavailable: HOST: the connection is closed before the answer is complete"},
	"no answer":          {repository.Hang, "repository unavailable: HOST: no complete answer within 1s"},
	"a page for an answ": {func(w http.ResponseWriter, _ *http.Request) { w.Write([]byte("<html>down for maintenance</html>")) }, ""},
}

// outages are both kinds of a repository, with one version of mirror, and how to break them.
func outages(t *testing.T) map[string]outage {
	t.Helper()
	server, registry := repository.Serve(t, repository.Options{}), repository.ServeRegistry(t, repository.Options{})
	server.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
	registry.Push(t, "charts/mirror", "1.0.0", mirror(t, "1.0.0"), nil)
	return map[string]outage{
		"index":    {request(server.URL, "mirror", "1.x", server.CA), server.URL + "/index.yaml", server.Answer},
		"registry": {request("oci://"+registry.Host+"/charts", "mirror", "1.x", registry.CA), "oci://" + registry.Host + "/charts/mirror", registry.Answer},
	}
}

type outage struct {
	ask     Request
	address string
	answer  func(http.HandlerFunc)
}

func impatient(t *testing.T) settings {
	t.Helper()
	o := tolerant(t)
	o.charts.Limits.Timeout.Duration = time.Second
	return o
}

func TestAnOutageLeavesTheLastGoodChart(t *testing.T) {
	for name, fault := range faults {
		for kind, source := range outages(t) {
			t.Run(kind+": "+name, func(t *testing.T) {
				g := NewWithT(t)
				w := begin(t, impatient(t))
				good := w.known(t, source.ask)
				g.Expect(good.Err).NotTo(HaveOccurred())

				source.answer(fault.handler)
				w.pass(t, 10*time.Minute)
				bad := w.Resolve(source.ask)
				g.Expect(bad.Chart).To(Equal(good.Chart))
				g.Expect(bad.Pending).To(BeFalse())
				since := w.clock.Now()
				g.Expect(bad.Since).To(Equal(since))
				g.Expect(bad.Err).To(HaveOccurred())
				if fault.message != "" {
					g.Expect(anonymous(bad.Err, source.address)).To(Equal(fault.message))
				}
				g.Eventually(w.wakes).WithArguments(policy).Should(Equal(2))

				w.pass(t, 5*time.Second)
				still := w.Resolve(source.ask)
				g.Expect(still.Err).To(MatchError(bad.Err.Error()), "the same words")
				g.Expect(still.Since).To(Equal(since))
				g.Eventually(w.wakes).WithArguments(policy).Should(Equal(2), "nothing new")

				source.answer(nil)
				w.pass(t, 20*time.Minute)
				again := w.Resolve(source.ask)
				g.Expect(again).To(Equal(good))
				g.Eventually(w.wakes).WithArguments(policy).Should(Equal(3))
			})
		}
	}
}

func TestARestartDuringAnOutageServesWhatIsOnDisk(t *testing.T) {
	signer := repository.NewSigner(t)
	for name, prepare := range map[string]func(*Request, *repository.Server){
		"from a repository for everybody": func(*Request, *repository.Server) {},
		"with credentials": func(r *Request, s *repository.Server) {
			s.Require("Basic bWU6c2VjcmV0")
			*r = r.secured(basic("me", "secret"), s.CA)
		},
		"with a signature": func(r *Request, s *repository.Server) {
			s.Put("/charts/mirror-1.0.0.tgz.prov", signer.Sign(t, "mirror-1.0.0.tgz", mirror(t, "1.0.0")))
			r.Chart.Verify = &iter8v1alpha1.ChartVerification{KeyringSecretRef: iter8v1alpha1.SecretReference{Name: "keys"}}
			*r = r.with(map[string]map[string][]byte{"keys": {"pubring.gpg": signer.Keyring(t)}, "ca": {"ca.crt": s.CA}})
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			server := repository.Serve(t, repository.Options{})
			server.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
			ask := request(server.URL, "mirror", "", server.CA)
			prepare(&ask, server)
			o := impatient(t)
			w := begin(t, o)
			good := w.known(t, ask)
			g.Expect(good.Err).NotTo(HaveOccurred())
			w.stop()

			server.Answer(repository.Hang)
			w = begin(t, o)
			w.Resolve(ask)
			g.Eventually(func() *Chart { return w.Resolve(ask).Chart }).ShouldNot(BeNil(), "before the repository has given up")
			bad := w.known(t, ask)
			g.Expect(bad.Chart.Resolved).To(Equal(good.Chart.Resolved))
			g.Expect(bad.Chart.Helm.Templates).To(Equal(good.Chart.Helm.Templates))
			g.Eventually(func() error { return w.Resolve(ask).Err }).WithTimeout(10 * time.Second).Should(MatchError(ErrRepositoryUnavailable))
			g.Expect(w.Resolve(ask).Since).To(Equal(w.clock.Now()))

			server.Answer(nil)
			server.Remove("mirror")
			server.Add("mirror", "1.1.0", mirror(t, "1.1.0"))
			if name == "with a signature" {
				return // nobody has signed this one
			}
			w.pass(t, firstRetry)
			healed := w.Resolve(ask)
			g.Expect(healed.Err).NotTo(HaveOccurred())
			g.Expect(healed.Chart.Resolved.Version).To(Equal("1.1.0"))
			g.Expect(healed.Previous).To(Equal(&good.Chart.Resolved))
		})
	}
}

func TestWhatIsOnDiskIsOnlyForTheSameRequest(t *testing.T) {
	server := repository.Serve(t, repository.Options{})
	server.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
	server.Require("Basic bWU6c2VjcmV0")
	o := impatient(t)
	first := request(server.URL, "mirror", "", server.CA).secured(basic("me", "secret"), server.CA)
	w := begin(t, o)
	NewWithT(t).Expect(w.known(t, first).Err).NotTo(HaveOccurred())
	w.stop()
	server.Answer(repository.Status(503))
	signer := repository.NewSigner(t)
	for name, ask := range map[string]Request{
		"no credentials":    request(server.URL, "mirror", "", server.CA),
		"other credentials": request(server.URL, "mirror", "", server.CA).secured(basic("me", "guess"), server.CA),
		"another range":     request(server.URL, "mirror", "1.x", server.CA).secured(basic("me", "secret"), server.CA),
		"a signature": func() Request {
			r := first
			r.Chart.Verify = &iter8v1alpha1.ChartVerification{KeyringSecretRef: iter8v1alpha1.SecretReference{Name: "keys"}}
			return r.with(map[string]map[string][]byte{
				"credentials": basic("me", "secret"), "keys": {"pubring.gpg": signer.Keyring(t)}, "ca": {"ca.crt": server.CA},
			})
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			got := begin(t, o).known(t, ask)
			NewWithT(t).Expect(got.Chart).To(BeNil())
			NewWithT(t).Expect(got.Err).To(MatchError(ErrRepositoryUnavailable))
		})
	}
	t.Run("the same, of another namespace and account", func(t *testing.T) {
		ask := first
		ask.Policy.Namespace, ask.Account = "other", "other"
		NewWithT(t).Expect(begin(t, o).known(t, ask).Chart).NotTo(BeNil())
	})
}

func TestACacheThatIsDamagedIsFetchedAgain(t *testing.T) {
	g := NewWithT(t)
	server := repository.Serve(t, repository.Options{})
	server.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
	o := tolerant(t)
	ask := request(server.URL, "mirror", "", server.CA)
	w := begin(t, o)
	g.Expect(w.known(t, ask).Err).NotTo(HaveOccurred())
	w.stop()
	entries, err := filepath.Glob(filepath.Join(o.charts.CacheDir, "entries", "*"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(entries).To(HaveLen(2), "an index and a chart")
	for _, e := range entries {
		data, err := os.ReadFile(e)
		g.Expect(err).NotTo(HaveOccurred())
		data[10] ^= 1
		g.Expect(os.WriteFile(e, data, 0o600)).To(Succeed())
	}
	g.Expect(begin(t, o).known(t, ask).Err).NotTo(HaveOccurred())
	server.Answer(repository.Status(503))
	g.Expect(begin(t, o).known(t, ask).Chart).NotTo(BeNil(), "it was put right on disk")
}

func TestRetriesComeEverLater(t *testing.T) {
	g := NewWithT(t)
	server := repository.Serve(t, repository.Options{})
	server.Answer(repository.Status(500))
	w := begin(t, tolerant(t))
	ask := request(server.URL, "mirror", "", server.CA)
	w.known(t, ask)
	var waits []time.Duration
	for range 9 {
		before, asked := w.clock.Now(), server.AllHits()
		for server.AllHits() == asked {
			w.pass(t, 5*time.Second)
		}
		waits = append(waits, w.clock.Since(before))
	}
	g.Expect(waits).To(Equal([]time.Duration{
		5 * time.Second, 10 * time.Second, 20 * time.Second, 40 * time.Second, 80 * time.Second, 160 * time.Second,
		5 * time.Minute, 5 * time.Minute, 5 * time.Minute,
	}))
	asked := server.AllHits()
	ask.Reconcile = "now"
	w.Resolve(ask)
	w.settle(t)
	g.Expect(server.AllHits()).To(Equal(asked+1), "whoever asks doesn't wait")
}

func TestACacheThatCannotBeWritten(t *testing.T) {
	g := NewWithT(t)
	server := repository.Serve(t, repository.Options{})
	server.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
	o := tolerant(t)
	file := filepath.Join(t.TempDir(), "file")
	g.Expect(os.WriteFile(file, nil, 0o600)).To(Succeed())
	o.charts.CacheDir = filepath.Join(file, "cache")
	w := begin(t, o)
	ask := request(server.URL, "mirror", "", server.CA)
	g.Expect(w.known(t, ask).Err).To(MatchError(ErrCacheUnavailable))
	g.Expect(os.Remove(file)).To(Succeed())
	w.pass(t, firstRetry)
	g.Expect(w.Resolve(ask).Err).NotTo(HaveOccurred())
}

func TestAHangingRepositoryKeepsNobodyWaiting(t *testing.T) {
	g := NewWithT(t)
	good := repository.Serve(t, repository.Options{})
	good.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
	w := begin(t, tolerant(t))
	for host := range 20 {
		bad := repository.Serve(t, repository.Options{})
		bad.Answer(repository.Hang)
		for i := range 10 {
			ask := request(bad.URL, fmt.Sprint("chart", i), "", bad.CA)
			ask.Policy.Namespace, ask.Policy.Name = fmt.Sprint("bad", host%5), fmt.Sprint(host, "-", i)
			g.Expect(w.Resolve(ask).Pending).To(BeTrue())
		}
	}
	busy := func() int {
		w.Sources.mu.Lock()
		defer w.Sources.mu.Unlock()
		return w.slots.running
	}
	g.Eventually(busy).Should(Equal(5 * maxPerNamespace))
	ask := request(good.URL, "mirror", "", good.CA)
	w.Resolve(ask)
	g.Eventually(func() *Chart { return w.Resolve(ask).Chart }).ShouldNot(BeNil())
	g.Expect(busy()).To(Equal(5 * maxPerNamespace))
}
