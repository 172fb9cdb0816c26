package sources

import (
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	eventsv1 "k8s.io/api/events/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/repository"
)

func TestOfARepositoryOrARegistryTheNewestVersionIsTakenThatFits(t *testing.T) {
	s := newScene(t)
	server, registry := serve(t), serveRegistry(t)
	s.trust(server.CA, registry.CA)
	archives, manifests := map[string]string{}, map[string]string{}
	for _, version := range []string{"0.13.0", "0.14.10", "0.14.2", "1.0.0-rc.1"} {
		server.Add("mirror", version, mirror(t, version))
		archives[version] = "sha256:" + repository.Digest(mirror(t, version))
		manifests[version] = registry.Push(t, "charts/mirror", version, mirror(t, version), nil)
	}
	type want struct{ address, version, digest string }
	wanted := map[string]want{}
	for name, test := range map[string]struct{ asked, version string }{
		"newest-stable":     {"", "0.14.10"},
		"newest-of-a-range": {"0.13.x", "0.13.0"},
		"exact":             {"0.14.2", "0.14.2"},
		"pre-release":       {">=0.14.0-0", "1.0.0-rc.1"},
	} {
		s.app("index-"+name, from(server.URL, "mirror", test.asked))
		wanted["index-"+name] = want{server.URL, test.version, archives[test.version]}
		s.app("registry-"+name, from(charts(registry), "mirror", test.asked))
		wanted["registry-"+name] = want{charts(registry), test.version, manifests[test.version]}
	}
	s.app("digest", from(charts(registry), "mirror@"+manifests["0.14.2"], ""))
	wanted["digest"] = want{charts(registry), "0.14.2", manifests["0.14.2"]}
	for name, w := range wanted {
		s.Eventually(s.ready(name)).Should(HavePrefix("True Succeeded: "), name)
		s.Expect(s.get(name).Status.Chart).To(Equal(&iter8v1alpha1.ResolvedChart{Repository: w.address, Name: "mirror", Version: w.version, Digest: w.digest}), name)
	}
	s.follows("index-exact", "registry-exact", "digest")

	s.app("nothing", from(server.URL, "mirror", "2.x"))
	s.Eventually(anonymous(s.resolved("nothing"), server.URL)).Should(Equal(
		"False VersionNotFound: version not found: https://HOST: no version of mirror is in 2.x; the newest is 1.0.0-rc.1"))
}

func TestTheTutorialsChartFromARepositoryRoutesAsTheBuiltInOne(t *testing.T) {
	s := newScene(t)
	server := serve(t)
	s.trust(server.CA)
	server.Add("mirror", "0.14.7", mirror(t, "0.14.7"))
	s.app("of-a-repository", from(server.URL, "mirror", "0.14.x"))
	s.app("built-in", &iter8v1alpha1.ChartReference{Name: "mirror", Version: "0.14.x"})
	both := []string{"of-a-repository", "built-in"}
	for _, available := range []bool{false, true, false} {
		if available || s.get("built-in").Status.Chart != nil {
			s.v2(available)
		}
		for _, name := range both {
			s.Eventually(s.route(name)).Should(mirrored(available), name)
		}
		got, err := s.route(both[0])()
		s.Expect(err).NotTo(HaveOccurred())
		s.Expect(s.route(both[1])()).To(HaveField("Spec", got.Spec))
	}
	s.Expect(s.get(both[0]).Status.Chart).To(Equal(&iter8v1alpha1.ResolvedChart{
		Repository: server.URL, Name: "mirror", Version: "0.14.7", Digest: "sha256:" + repository.Digest(mirror(t, "0.14.7"))}))
}

// changes polls the notes of a policy's Events ChartChanged.
func (s *scene) changes(policy string) func() ([]string, error) {
	return func() ([]string, error) {
		var events eventsv1.EventList
		err := k8s.List(s.Context(), &events, client.InNamespace(s.namespace))
		var notes []string
		for _, e := range events.Items {
			if e.Regarding.Name == policy && e.Reason == "ChartChanged" {
				notes = append(notes, e.Note)
			}
		}
		return notes, err
	}
}

func TestAMovedTagAndANewVersionAreNoticedWhenAskedForAndToldOf(t *testing.T) {
	s := newScene(t)
	server, registry := serve(t), serveRegistry(t)
	s.trust(server.CA, registry.CA)
	marked := func(version, mark string) []byte {
		return small(t, "marked", version, route("  labels: {mark: "+mark+"}"))
	}
	mark := func(of string) func() (string, error) {
		return func() (string, error) {
			route, err := s.route(of)()
			if route == nil {
				return "", err
			}
			return route.Labels["mark"], err
		}
	}
	before := registry.Push(t, "charts/marked", "1.0.0", marked("1.0.0", "before"), nil)
	server.Add("marked", "1.0.0", marked("1.0.0", "before"))
	s.app("moved", from(charts(registry), "marked", "1.0.0"))
	s.app("newer", from(server.URL, "marked", "1.x"))
	s.Eventually(mark("moved")).Should(Equal("before"))
	s.Eventually(mark("newer")).Should(Equal("before"))

	after := registry.Push(t, "charts/marked", "1.0.0", marked("1.0.0", "after"), nil)
	server.Add("marked", "1.1.0", marked("1.1.0", "after"))
	s.reconcile("moved")
	s.reconcile("newer")
	s.Eventually(mark("moved")).Should(Equal("after"))
	s.Eventually(mark("newer")).Should(Equal("after"))
	s.Eventually(s.changes("moved")).Should(ConsistOf(fmt.Sprintf("chart marked was version 1.0.0 (%s), and is version 1.0.0 (%s) now", before, after)))
	s.Eventually(s.changes("newer")).Should(ConsistOf(fmt.Sprintf("chart marked was version 1.0.0 (sha256:%s), and is version 1.1.0 (sha256:%s) now",
		repository.Digest(marked("1.0.0", "before")), repository.Digest(marked("1.1.0", "after")))))
	s.Expect(s.get("moved").Status.Chart.Digest).To(Equal(after))
}

func TestOnlyChartsThatSomebodyTrustedHasSignedAreUsedWhereThatIsAskedFor(t *testing.T) {
	s := newScene(t)
	signer, stranger := repository.NewSigner(t), repository.NewSigner(t)
	s.secret("keys", map[string][]byte{"pubring.gpg": signer.ArmoredKeyring(t)})
	server, registry := serve(t), serveRegistry(t)
	s.trust(server.CA, registry.CA)
	archive := mirror(t, "0.14.2")
	provenance := signer.Sign(t, "mirror-0.14.2.tgz", archive)
	const unsigned, unverified = "has no provenance file, and spec.chart.verify asks for one", "its provenance file doesn't hold a valid signature"
	for name, test := range map[string]struct {
		provenance []byte
		want       string
	}{
		"signed":               {provenance, ""},
		"not-signed":           {nil, unsigned},
		"signed-by-a-stranger": {stranger.Sign(t, "mirror-0.14.2.tgz", archive), unverified},
		"signed-as-another":    {signer.Sign(t, "mirror-0.14.2.tgz", mirror(t, "0.14.10")), unverified},
		"forged":               {[]byte(strings.Replace(string(provenance), "sha256:", "sha256:0", 1)), unverified},
	} {
		server.Put("/"+name+"/mirror-0.14.2.tgz", archive)
		server.Put("/"+name+"/index.yaml", fmt.Appendf(nil, "apiVersion: v1\nentries:\n  mirror:\n  - version: 0.14.2\n    urls: [mirror-0.14.2.tgz]\n"))
		if test.provenance != nil {
			server.Put("/"+name+"/mirror-0.14.2.tgz.prov", test.provenance)
		}
		registry.Push(t, name+"/mirror", "0.14.2", archive, test.provenance)
		for kind, address := range map[string]string{"index": server.URL, "registry": "oci://" + registry.Host} {
			reference := from(address+"/"+name, "mirror", "")
			reference.Verify = &iter8v1alpha1.ChartVerification{KeyringSecretRef: iter8v1alpha1.SecretReference{Name: "keys"}}
			name := kind + "-" + name
			s.app(name, reference)
			if test.want == "" {
				s.Eventually(s.ready(name)).Should(HavePrefix("True "), name)
				continue
			}
			s.Eventually(s.condition(name, iter8v1alpha1.ConditionStalled)).Should(And(HavePrefix("True Unverified: unverified chart: "), ContainSubstring(test.want)), name)
			s.Expect(s.route(name)()).To(BeNil(), name)
		}
	}
}
