package sources

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/repository"
)

// What servers here want to be told, and nobody else may hear.
const (
	password      = "correct-horse-battery"
	wrongPassword = "Tr0ub4dor-and-3"
	token         = "t0ken-of-the-team"
)

func basic(password string) map[string][]byte {
	return map[string][]byte{"username": []byte("me"), "password": []byte(password)}
}

// header is what a server gets of basic.
func header(password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte("me:"+password))
}

func docker(host, password string) map[string][]byte {
	return map[string][]byte{".dockerconfigjson": fmt.Appendf(nil, `{"auths":{%q:{"username":"me","password":%q}}}`, host, password)}
}

func TestCredentialsOfASecretOpenARepository(t *testing.T) {
	s := newScene(t)
	var authorities [][]byte
	archive := mirror(t, "0.14.2")
	closed := func(required string) string {
		server := serve(t)
		server.Add("mirror", "0.14.2", archive)
		server.Require(required)
		authorities = append(authorities, server.CA)
		return server.URL
	}
	closedRegistry := func(bearer bool) string {
		registry := serveRegistry(t)
		registry.Push(t, "charts/mirror", "0.14.2", archive, nil)
		registry.Require(repository.Auth{Username: "me", Password: password, Bearer: bearer})
		authorities = append(authorities, registry.CA)
		return charts(registry)
	}
	host := func(address string) string {
		_, host, _ := strings.Cut(address, "://")
		host, _, _ = strings.Cut(host, "/")
		return host
	}
	const refused = "False Unauthorized: unauthorized: "
	good := "True Succeeded: "
	of := func(data map[string][]byte) func(string) map[string][]byte {
		return func(string) map[string][]byte { return data }
	}
	dockerOf := func(password string) func(string) map[string][]byte {
		return func(address string) map[string][]byte { return docker(host(address), password) }
	}
	wanted := map[string]string{}
	for name, test := range map[string]struct {
		address string
		secret  func(address string) map[string][]byte
		want    string
	}{
		"index-basic":           {closed(header(password)), of(basic(password)), good},
		"index-token":           {closed("Bearer " + token), of(map[string][]byte{"token": []byte(token + "\n")}), good},
		"index-docker":          {closed(header(password)), dockerOf(password), good},
		"index-wrong":           {closed(header(password)), of(basic(wrongPassword)), refused},
		"index-wrong-token":     {closed(header(password)), of(map[string][]byte{"token": []byte(token)}), refused},
		"index-none":            {closed(header(password)), nil, refused},
		"index-another-host":    {closed(header(password)), of(docker("charts.example.com", password)), refused},
		"registry-basic":        {closedRegistry(false), of(basic(password)), good},
		"registry-bearer":       {closedRegistry(true), of(basic(password)), good},
		"registry-docker":       {closedRegistry(false), dockerOf(password), good},
		"registry-wrong":        {closedRegistry(false), of(basic(wrongPassword)), refused},
		"registry-wrong-bearer": {closedRegistry(true), dockerOf(wrongPassword), refused},
		"registry-none":         {closedRegistry(false), nil, refused},
		"registry-another-host": {closedRegistry(false), of(docker("ghcr.io", password)), refused},
		"broken-docker":         {closed(header(password)), of(map[string][]byte{".dockerconfigjson": []byte(password)}), "False InvalidSecret: invalid secret: Secret broken-docker of spec.chart.secretRef: its .dockerconfigjson is not valid"},
	} {
		reference := from(test.address, "mirror", "")
		if test.secret != nil {
			s.secret(name, test.secret(test.address))
			reference.SecretRef = &iter8v1alpha1.SecretReference{Name: name}
		}
		s.app(name, reference, often)
		wanted[name] = test.want
	}
	s.trust(authorities...)
	for name, want := range wanted {
		s.Eventually(s.resolved(name)).Should(HavePrefix(strings.Replace(want, good, "True ", 1)), name)
	}
	s.follows("index-basic", "index-token", "index-docker", "registry-basic", "registry-bearer", "registry-docker")
	s.Expect(disclosed(s)).To(BeEmpty())
}

func TestACertificateIsCheckedUnlessTheConfigurationLetsAPolicySayOtherwise(t *testing.T) {
	s := newScene(t)
	server, registry := serve(t), serveRegistry(t)
	server.Add("mirror", "0.14.2", mirror(t, "0.14.2"))
	registry.Push(t, "charts/mirror", "0.14.2", mirror(t, "0.14.2"), nil)
	unknown := func(address string) *iter8v1alpha1.ChartReference {
		return &iter8v1alpha1.ChartReference{Repository: address, Name: "mirror"}
	}
	insecure := func(address string) *iter8v1alpha1.ChartReference {
		return &iter8v1alpha1.ChartReference{Repository: address, Name: "mirror", Insecure: true}
	}
	const signature = "HOST: the server's certificate is signed by an authority that is not known; spec.chart.caSecretRef may name a Secret with its ca.crt"
	s.app("index", unknown(server.URL))
	s.Eventually(anonymous(s.resolved("index"), server.URL+"/index.yaml")).Should(Equal("False RepositoryUnavailable: repository unavailable: https://" + signature))
	s.app("registry", unknown(charts(registry)))
	s.Eventually(anonymous(s.resolved("registry"), registry.Host+"/charts/mirror")).Should(Equal("False RepositoryUnavailable: repository unavailable: oci://" + signature))

	const notHere = "False RepositoryNotAllowed: repository not allowed: "
	hits := server.AllHits()
	s.app("insecure-index", insecure(server.URL))
	s.app("insecure-registry", insecure(charts(registry)))
	s.app("plain", unknown(strings.Replace(server.URL, "https://", "http://", 1)))
	s.Eventually(anonymous(s.resolved("insecure-index"), server.URL)).Should(Equal(notHere +
		"https://HOST: this operator uses no repository without TLS, or with a certificate that isn't valid (charts.allowInsecure of its configuration)"))
	s.Eventually(s.condition("insecure-registry", iter8v1alpha1.ConditionStalled)).Should(HavePrefix("True RepositoryNotAllowed: "))
	s.Eventually(s.resolved("plain")).Should(HavePrefix(notHere))
	s.Expect(server.AllHits()).To(Equal(hits))

	restart(t, func() { s.Expect(install(t.Context(), "--set", "charts.allowInsecure=true")).To(Succeed()) })
	defer restart(t, func() { s.Expect(install(t.Context())).To(Succeed()) })
	s.Eventually(s.ready("insecure-index")).Should(HavePrefix("True "))
	s.Eventually(s.ready("insecure-registry")).Should(HavePrefix("True "))
	s.Eventually(s.resolved("plain")).Should(HavePrefix(notHere), "it takes an entry among charts.allowedRepositories as well")
}
