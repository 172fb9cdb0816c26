package chart

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"

	"oras.land/oras-go/v2/registry/remote/auth"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart/fetch"
)

// Credentials are what the Secrets hold that a chart's reference names.
type Credentials struct {
	// Username and Password, for basic authentication.
	Username, Password string
	// Token, for bearer authentication.
	Token string
	// DockerConfig is a .dockerconfigjson, which has credentials by hosts.
	DockerConfig []byte
	// CA are certificates in PEM.
	CA []byte
	// Keyring are public keys.
	Keyring []byte
}

// ReadSecrets makes Credentials of the Secrets that a reference names. read gives what is in a Secret.
func ReadSecrets(ref iter8v1alpha1.ChartReference, read func(name string) (map[string][]byte, error)) (Credentials, error) {
	var c Credentials
	if ref.SecretRef != nil {
		data, err := readSecret("spec.chart.secretRef", ref.SecretRef.Name, read)
		if err != nil {
			return Credentials{}, err
		}
		if c, err = authentication(ref.SecretRef.Name, data); err != nil {
			return Credentials{}, err
		}
	}
	if ref.CASecretRef != nil {
		data, err := readSecret("spec.chart.caSecretRef", ref.CASecretRef.Name, read, "ca.crt")
		if err != nil {
			return Credentials{}, err
		}
		c.CA = data["ca.crt"]
	}
	if ref.Verify != nil {
		data, err := readSecret("spec.chart.verify.keyringSecretRef", ref.Verify.KeyringSecretRef.Name, read, keyringKey)
		if err != nil {
			return Credentials{}, err
		}
		c.Keyring = data[keyringKey]
	}
	return c, nil
}

const (
	keyringKey = "pubring.gpg"
	// maxDockerConfig is room for a thousand registries.
	maxDockerConfig = 128 << 10
)

func readSecret(field, name string, read func(string) (map[string][]byte, error), keys ...string) (map[string][]byte, error) {
	data, err := read(name)
	if err != nil {
		return nil, fmt.Errorf("%w: Secret %s of %s: %w", ErrInvalidSecret, name, field, err)
	}
	for _, key := range keys {
		if len(data[key]) == 0 {
			return nil, fmt.Errorf("%w: Secret %s of %s has no %s", ErrInvalidSecret, name, field, key)
		}
	}
	return data, nil
}

func authentication(name string, data map[string][]byte) (Credentials, error) {
	c := Credentials{
		Username:     string(data["username"]),
		Password:     string(data["password"]),
		Token:        strings.TrimSpace(string(data["token"])),
		DockerConfig: data[".dockerconfigjson"],
	}
	given := 0
	for _, is := range []bool{c.Username != "" || c.Password != "", c.Token != "", len(c.DockerConfig) > 0} {
		if is {
			given++
		}
	}
	switch {
	case given != 1:
		return Credentials{}, fmt.Errorf("%w: Secret %s of spec.chart.secretRef must have one of username and password, token, and .dockerconfigjson", ErrInvalidSecret, name)
	case (c.Username == "") != (c.Password == ""):
		return Credentials{}, fmt.Errorf("%w: Secret %s of spec.chart.secretRef has one of username and password, and must have both", ErrInvalidSecret, name)
	case strings.ContainsFunc(c.Token, func(r rune) bool { return r <= ' ' || r > '~' }):
		return Credentials{}, fmt.Errorf("%w: Secret %s of spec.chart.secretRef has a token that no header can hold", ErrInvalidSecret, name)
	case len(c.DockerConfig) > maxDockerConfig:
		return Credentials{}, fmt.Errorf("%w: Secret %s of spec.chart.secretRef: its .dockerconfigjson has more than %s", ErrInvalidSecret, name, fetch.Size(maxDockerConfig))
	case len(c.DockerConfig) > 0:
		if _, err := c.registries(); err != nil {
			return Credentials{}, fmt.Errorf("%w: Secret %s of spec.chart.secretRef: its .dockerconfigjson is not valid", ErrInvalidSecret, name)
		}
	}
	return c, nil
}

// registries are the credentials of a DockerConfig by their hosts.
func (c Credentials) registries() (map[string]auth.Credential, error) {
	var config struct {
		Auths map[string]struct {
			Auth          string `json:"auth"`
			Username      string `json:"username"`
			Password      string `json:"password"`
			IdentityToken string `json:"identitytoken"`
			RegistryToken string `json:"registrytoken"`
		} `json:"auths"`
	}
	if err := json.Unmarshal(c.DockerConfig, &config); err != nil {
		return nil, err
	}
	byHost := map[string]auth.Credential{}
	for key, a := range config.Auths {
		cred := auth.Credential{Username: a.Username, Password: a.Password, RefreshToken: a.IdentityToken, AccessToken: a.RegistryToken}
		if a.Auth != "" {
			both, err := base64.StdEncoding.DecodeString(a.Auth)
			if err != nil {
				return nil, err
			}
			cred.Username, cred.Password, _ = strings.Cut(string(both), ":")
		}
		host := key
		if _, rest, ok := strings.Cut(host, "://"); ok {
			host = rest
		}
		host, _, _ = strings.Cut(host, "/")
		byHost[registryHost(host)] = cred
	}
	return byHost, nil
}

// registryHost is the host behind the names that Docker's own registry goes by.
func registryHost(host string) string {
	switch host = strings.ToLower(host); host {
	case "docker.io", "index.docker.io":
		return "registry-1.docker.io"
	default:
		return host
	}
}

// of gives the credentials for a host, where origin is the host that Username, Password and Token are for.
func (c Credentials) of(host, origin string) auth.Credential {
	if len(c.DockerConfig) > 0 {
		byHost, err := c.registries()
		if err != nil {
			return auth.EmptyCredential
		}
		return byHost[registryHost(host)]
	}
	if registryHost(host) != registryHost(origin) {
		return auth.EmptyCredential
	}
	return auth.Credential{Username: c.Username, Password: c.Password, AccessToken: c.Token}
}

// header is what a repository over https gets as Authorization.
func (c Credentials) header(u *url.URL) string {
	switch cred := c.of(u.Host, u.Host); {
	case cred.AccessToken != "":
		return "Bearer " + cred.AccessToken
	case cred.Username != "":
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(cred.Username+":"+cred.Password))
	default:
		return ""
	}
}

// fingerprint stands for what a server is reached with: requests of the same fingerprint get to see the same.
func (c Credentials) fingerprint() string {
	if c.Username+c.Password+c.Token == "" && len(c.DockerConfig)+len(c.CA) == 0 {
		return ""
	}
	digest := sha256.New()
	for _, part := range []string{c.Username, c.Password, c.Token, string(c.DockerConfig), string(c.CA)} {
		fmt.Fprintf(digest, "%d\n%s", len(part), part)
	}
	return hex.EncodeToString(digest.Sum(nil))
}
