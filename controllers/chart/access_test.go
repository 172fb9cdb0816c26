package chart

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/repository"
)

// secured names a Secret with credentials, and what is in it.
func (r Request) secured(data map[string][]byte, ca []byte) Request {
	r.Chart.SecretRef = &iter8v1alpha1.SecretReference{Name: "credentials"}
	return r.with(map[string]map[string][]byte{"credentials": data, "ca": {"ca.crt": ca}})
}

func basic(user, password string) map[string][]byte {
	return map[string][]byte{"username": []byte(user), "password": []byte(password)}
}

func docker(host, user, password string) map[string][]byte {
	auth := base64.StdEncoding.EncodeToString([]byte(user + ":" + password))
	return map[string][]byte{".dockerconfigjson": fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, host, auth)}
}

func TestCredentials(t *testing.T) {
	server := repository.Serve(t, repository.Options{})
	server.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
	registry := repository.ServeRegistry(t, repository.Options{})
	registry.Push(t, "charts/mirror", "1.0.0", mirror(t, "1.0.0"), nil)
	const wrong = "the server answers 401"
	for name, test := range map[string]struct {
		required string
		auth     *repository.Auth
		secret   map[string][]byte
		message  string
	}{
		"index: user and password":          {required: "Basic bWU6c2VjcmV0", secret: basic("me", "secret")},
		"index: a token":                    {required: "Bearer secret", secret: map[string][]byte{"token": []byte("secret\n")}},
		"index: a configuration of Docker":  {required: "Basic bWU6c2VjcmV0", secret: docker("https://"+hostOf(server.URL)+"/v1/", "me", "secret")},
		"index: another password":           {required: "Basic bWU6c2VjcmV0", secret: basic("me", "other"), message: wrong},
		"index: another host's credentials": {required: "Basic bWU6c2VjcmV0", secret: docker("example.com", "me", "secret"), message: wrong},
		"index: no credentials":             {required: "Basic bWU6c2VjcmV0", message: wrong},
		"registry: user and password":       {auth: &repository.Auth{Username: "me", Password: "secret"}, secret: basic("me", "secret")},
		"registry: a configuration":         {auth: &repository.Auth{Username: "me", Password: "secret"}, secret: docker(registry.Host, "me", "secret")},
		"registry: a token of a token host": {auth: &repository.Auth{Username: "me", Password: "secret", Bearer: true}, secret: basic("me", "secret")},
		"registry: a token for everybody":   {auth: &repository.Auth{Bearer: true}},
		"registry: a token of one's own":    {auth: &repository.Auth{Bearer: true}, secret: map[string][]byte{"token": []byte("token-0")}},
		"registry: another password":        {auth: &repository.Auth{Username: "me", Password: "secret"}, secret: basic("me", "other"), message: wrong},
		"registry: no token":                {auth: &repository.Auth{Username: "me", Password: "secret", Bearer: true}, secret: basic("me", "other"), message: wrong},
		"registry: no credentials":          {auth: &repository.Auth{Username: "me", Password: "secret"}, message: "the registry wants credentials: spec.chart.secretRef must name"},
		"registry: another host's":          {auth: &repository.Auth{Username: "me", Password: "secret"}, secret: docker("example.com", "me", "secret"), message: "the registry wants credentials"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			ask := request(server.URL, "mirror", "", server.CA)
			if test.auth != nil {
				ask = request("oci://"+registry.Host+"/charts", "mirror", "", registry.CA)
				registry.Require(*test.auth)
				if test.secret["token"] != nil {
					// Somebody else has got the token.
					registry.Require(repository.Auth{Bearer: true})
					ask2 := ask
					ask2.Policy.Name = "other"
					g.Expect(begin(t, tolerant(t)).known(t, ask2).Err).NotTo(HaveOccurred())
				}
			}
			server.Require(test.required)
			if test.secret != nil {
				ask = ask.secured(test.secret, append(append([]byte{}, server.CA...), registry.CA...))
			}
			got := begin(t, tolerant(t)).known(t, ask)
			if test.message == "" {
				g.Expect(got.Err).NotTo(HaveOccurred())
				g.Expect(got.Chart.Resolved.Version).To(Equal("1.0.0"))
				return
			}
			g.Expect(got.Err).To(MatchError(ErrUnauthorized))
			g.Expect(got.Err).To(MatchError(ContainSubstring(test.message)))
			g.Expect(got.Err).To(MatchError(Not(Or(ContainSubstring("other"), ContainSubstring("internal-secret")))))
		})
	}
}

func hostOf(address string) string { return strings.TrimPrefix(address, "https://") }

func TestSecretsThatDoNotFit(t *testing.T) {
	keyring := repository.NewSigner(t).Keyring(t)
	for name, test := range map[string]struct {
		field   string
		data    map[string][]byte
		message string
	}{
		"an empty Secret":                {"secretRef", map[string][]byte{}, "must have one of username and password, token, and .dockerconfigjson"},
		"a user without a password":      {"secretRef", map[string][]byte{"username": []byte("me")}, "has one of username and password, and must have both"},
		"two kinds of credentials":       {"secretRef", map[string][]byte{"username": []byte("me"), "password": []byte("a"), "token": []byte("b")}, "must have one of"},
		"a token of two lines":           {"secretRef", map[string][]byte{"token": []byte("a\nb: c")}, "has a token that no header can hold"},
		"a configuration that is none":   {"secretRef", map[string][]byte{".dockerconfigjson": []byte("internal-secret")}, "its .dockerconfigjson is not valid"},
		"an auth that is none":           {"secretRef", map[string][]byte{".dockerconfigjson": []byte(`{"auths":{"a.io":{"auth":"internal-secret!"}}}`)}, "its .dockerconfigjson is not valid"},
		"an authority without a ca.crt":  {"caSecretRef", map[string][]byte{"tls.crt": []byte("a")}, "invalid secret: Secret the-one of spec.chart.caSecretRef has no ca.crt"},
		"an authority that is none":      {"caSecretRef", map[string][]byte{"ca.crt": []byte("internal-secret")}, "ca.crt of spec.chart.caSecretRef holds no certificate in PEM"},
		"a keyring without pubring.gpg":  {"verify", map[string][]byte{"keyring.gpg": keyring}, "Secret the-one of spec.chart.verify.keyringSecretRef has no pubring.gpg"},
		"a keyring that is none":         {"verify", map[string][]byte{"pubring.gpg": []byte("internal-secret")}, "pubring.gpg of spec.chart.verify.keyringSecretRef holds no public keys"},
		"a Secret that there is not":     {"secretRef", nil, `invalid secret: Secret the-one of spec.chart.secretRef: secrets "the-one" not found`},
		"an armored keyring that isn't":  {"verify", map[string][]byte{"pubring.gpg": []byte("-----BEGIN PGP PUBLIC KEY BLOCK-----\n\ninternal-secret")}, "holds no public keys"},
		"a Secret that can't be read":    {"error", nil, "invalid secret: secrets is forbidden"},
		"a certificate that has another": {"caSecretRef", map[string][]byte{"ca.crt": []byte("-----BEGIN CERTIFICATE-----\ninternal-secret\n-----END CERTIFICATE-----\n")}, "holds no certificate in PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			server := repository.Serve(t, repository.Options{Plain: true})
			archive := mirror(t, "1.0.0")
			server.Put("/charts/mirror-1.0.0.tgz.prov", repository.NewSigner(t).Sign(t, "mirror-1.0.0.tgz", archive))
			server.Add("mirror", "1.0.0", archive)
			o := tolerant(t)
			o.charts.AllowInsecure, o.charts.AllowedRepositories = true, []string{"http://**"}
			ask := request(server.URL, "mirror", "", nil)
			ref := iter8v1alpha1.SecretReference{Name: "the-one"}
			switch test.field {
			case "caSecretRef":
				ask.Chart.CASecretRef = &ref
			case "verify":
				ask.Chart.Verify = &iter8v1alpha1.ChartVerification{KeyringSecretRef: ref}
			default:
				ask.Chart.SecretRef = &ref
			}
			secrets := map[string]map[string][]byte{}
			if test.data != nil {
				secrets["the-one"] = test.data
			}
			ask = ask.with(secrets)
			if test.field == "error" {
				ask.Secrets = func(context.Context) (Credentials, error) { return Credentials{}, errors.New("secrets is forbidden") }
			}
			got := begin(t, o).known(t, ask)
			g.Expect(got.Err).To(MatchError(ErrInvalidSecret))
			g.Expect(got.Err).To(MatchError(ContainSubstring(test.message)))
			g.Expect(got.Err).To(MatchError(Not(ContainSubstring("internal-secret"))))
			g.Expect(retries(got.Err)).To(BeTrue())
		})
	}
}

func TestASecretThatIsPutRightIsSeenWithoutHelp(t *testing.T) {
	g := NewWithT(t)
	server := repository.Serve(t, repository.Options{})
	server.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
	server.Require("Basic bWU6c2VjcmV0")
	w := begin(t, tolerant(t))
	secret := basic("me", "wrong")
	ask := request(server.URL, "mirror", "", server.CA).secured(secret, server.CA)
	g.Expect(w.known(t, ask).Err).To(MatchError(ErrUnauthorized))
	secret["password"] = []byte("secret")
	w.pass(t, firstRetry)
	got := w.Resolve(ask)
	g.Expect(got.Err).NotTo(HaveOccurred())
	g.Expect(got.Since).To(BeZero())
	g.Expect(w.catalogs).To(HaveLen(1), "what was asked with the other password is forgotten")
}

func TestInsecure(t *testing.T) {
	plain := repository.Serve(t, repository.Options{Plain: true})
	self := repository.Serve(t, repository.Options{})
	plainRegistry := repository.ServeRegistry(t, repository.Options{Plain: true})
	selfRegistry := repository.ServeRegistry(t, repository.Options{Expired: true})
	for _, s := range []*repository.Server{plain, self} {
		s.Add("mirror", "1.0.0", mirror(t, "1.0.0"))
	}
	for _, r := range []*repository.Registry{plainRegistry, selfRegistry} {
		r.Push(t, "charts/mirror", "1.0.0", mirror(t, "1.0.0"), nil)
	}
	for name, test := range map[string]struct {
		address  string
		insecure bool
		allowed  bool
		kind     error
	}{
		"http, allowed":                                   {plain.URL, false, true, nil},
		"http, not allowed":                               {plain.URL, false, false, ErrRepositoryNotAllowed},
		"a certificate that nobody vouches for":           {self.URL, true, true, nil},
		"the same, not allowed":                           {self.URL, true, false, ErrRepositoryNotAllowed},
		"the same, allowed and not asked for":             {self.URL, false, true, ErrRepositoryUnavailable},
		"a registry without TLS":                          {"oci://" + plainRegistry.Host + "/charts", true, true, nil},
		"a registry without TLS, not asked for":           {"oci://" + plainRegistry.Host + "/charts", false, true, ErrRepositoryUnavailable},
		"a registry with an expired certificate":          {"oci://" + selfRegistry.Host + "/charts", true, true, nil},
		"a registry that is insecure, and not allowed to": {"oci://" + selfRegistry.Host + "/charts", true, false, ErrRepositoryNotAllowed},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			o := tolerant(t)
			if o.charts.AllowInsecure = test.allowed; test.allowed {
				o.charts.AllowedRepositories = append(o.charts.AllowedRepositories, "http://127.0.0.1:*")
			}
			ask := request(test.address, "mirror", "", nil)
			ask.Chart.Insecure = test.insecure
			got := begin(t, o).known(t, ask)
			if test.kind != nil {
				g.Expect(got.Err).To(MatchError(test.kind))
				return
			}
			g.Expect(got.Err).NotTo(HaveOccurred())
		})
	}
}

func TestVerify(t *testing.T) {
	archive, other := mirror(t, "1.0.0"), mirror(t, "2.0.0")
	signer, stranger := repository.NewSigner(t), repository.NewSigner(t)
	good := signer.Sign(t, "mirror-1.0.0.tgz", archive)
	for name, test := range map[string]struct {
		keyring []byte
		prov    []byte
		message string
	}{
		"signed by a key that is trusted":    {signer.Keyring(t), good, ""},
		"the same, of an armored keyring":    {signer.ArmoredKeyring(t), good, ""},
		"signed by one key of two":           {append(stranger.Keyring(t), signer.Keyring(t)...), good, ""},
		"signed by a stranger":               {signer.Keyring(t), stranger.Sign(t, "mirror-1.0.0.tgz", archive), "doesn't hold a valid signature"},
		"signed, and not this archive":       {signer.Keyring(t), signer.Sign(t, "mirror-1.0.0.tgz", other), "doesn't hold a valid signature"},
		"signed, as another version":         {signer.Keyring(t), signer.Sign(t, "mirror-0.9.0.tgz", archive), "doesn't hold a valid signature"},
		"signed, and changed":                {signer.Keyring(t), []byte(strings.Replace(string(good), "mirror-1", "mirror-2", 1)), "doesn't hold a valid signature"},
		"not signed":                         {signer.Keyring(t), nil, "provenance file, and spec.chart.verify asks for one"},
		"a provenance file that is none":     {signer.Keyring(t), []byte("internal-secret"), "doesn't hold a valid signature"},
		"a provenance file that is too long": {signer.Keyring(t), append(good, make([]byte, maxProvenance)...), "larger than the 256Ki"},
	} {
		for _, kind := range []string{"index", "registry"} {
			t.Run(kind+": "+name, func(t *testing.T) {
				g := NewWithT(t)
				server, registry := repository.Serve(t, repository.Options{}), repository.ServeRegistry(t, repository.Options{})
				server.Add("mirror", "1.0.0", archive)
				if test.prov != nil {
					server.Put("/charts/mirror-1.0.0.tgz.prov", test.prov)
				}
				registry.Push(t, "charts/mirror", "1.0.0", archive, test.prov)
				ask := request(server.URL, "mirror", "", server.CA)
				if kind == "registry" {
					ask = request("oci://"+registry.Host+"/charts", "mirror", "", registry.CA)
				}
				ask.Chart.Verify = &iter8v1alpha1.ChartVerification{KeyringSecretRef: iter8v1alpha1.SecretReference{Name: "keys"}}
				ask = ask.with(map[string]map[string][]byte{
					"keys": {"pubring.gpg": test.keyring}, "ca": {"ca.crt": append(append([]byte{}, server.CA...), registry.CA...)},
				})
				o := tolerant(t)
				w := begin(t, o)
				got := w.known(t, ask)
				if test.message == "" {
					g.Expect(got.Err).NotTo(HaveOccurred())
					return
				}
				g.Expect(got.Chart).To(BeNil())
				g.Expect(got.Err).To(Or(MatchError(ErrUnverified), MatchError(ErrTooLarge)))
				g.Expect(retries(got.Err)).To(BeFalse(), "it isn't the repository's fault as well")
				g.Expect(got.Err).To(MatchError(ContainSubstring(test.message)))
				g.Expect(got.Err).To(MatchError(Not(ContainSubstring("internal-secret"))))

				// Whoever doesn't ask for a signature gets the chart, and that doesn't open it to those who do.
				unsigned := ask
				unsigned.Policy.Name, unsigned.Chart.Verify = "unsigned", nil
				unsigned = unsigned.with(map[string]map[string][]byte{"ca": {"ca.crt": append(append([]byte{}, server.CA...), registry.CA...)}})
				g.Expect(w.known(t, unsigned).Err).NotTo(HaveOccurred())
				ask.Reconcile = "again"
				w.Resolve(ask)
				w.settle(t)
				g.Expect(w.Resolve(ask).Chart).To(BeNil())
			})
		}
	}
}
