package chart

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"

	"github.com/Masterminds/semver/v3"
	"oras.land/oras-go/v2/registry"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// target is a reference to a chart in a repository, looked at as far as that goes without asking anybody.
type target struct {
	// address of the repository, in one form however it is written.
	address string
	url     *url.URL
	// name of the chart, and its digest where the reference has one in place of a version.
	name, digest string
	// version is the range as the policy has it.
	version  string
	insecure bool
}

// rules are what the operator's configuration says of repositories.
type rules struct {
	allowed       []*regexp.Regexp
	allowInsecure bool
}

// compile makes rules of patterns, in which * stands for what has no slash and ** for anything. What is below a
// repository that matches is allowed too.
func compile(patterns []string, allowInsecure bool) (rules, error) {
	r := rules{allowInsecure: allowInsecure}
	for _, p := range patterns {
		scheme, rest, _ := strings.Cut(strings.TrimRight(p, "/"), "://")
		host, path, _ := strings.Cut(rest, "/")
		if path != "" {
			path = "/" + path
		}
		text := regexp.QuoteMeta(scheme + "://" + strings.ToLower(host) + path)
		text = strings.ReplaceAll(text, `\*\*`, `.*`)
		text = strings.ReplaceAll(text, `\*`, `[^/]*`)
		pattern, err := regexp.Compile("^" + text + "(/.*)?$")
		if err != nil {
			return rules{}, fmt.Errorf("charts.allowedRepositories: %q: %w", p, err)
		}
		r.allowed = append(r.allowed, pattern)
	}
	return r, nil
}

var (
	chartName  = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._-]*$`)
	digestForm = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)
	hostForm   = regexp.MustCompile(`^([a-z0-9_]([a-z0-9_.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(:[0-9]{1,5})?$`)
)

func (r rules) target(ref iter8v1alpha1.ChartReference) (target, error) {
	u, err := repositoryURL(ref.Repository)
	if err != nil {
		return target{}, err
	}
	t := target{address: u.String(), url: u, name: ref.Name, version: ref.Version, insecure: ref.Insecure}
	if !r.allows(t.address) {
		return target{}, fmt.Errorf("%w: %s is not among the repositories that this operator may use (charts.allowedRepositories of its configuration)", ErrRepositoryNotAllowed, t.address)
	}
	if (t.insecure || u.Scheme == "http") && !r.allowInsecure {
		return target{}, fmt.Errorf("%w: %s: this operator uses no repository without TLS, or with a certificate that isn't valid (charts.allowInsecure of its configuration)", ErrRepositoryNotAllowed, t.address)
	}
	if name, digest, ok := strings.Cut(ref.Name, "@"); ok {
		t.name, t.digest = name, digest
		if u.Scheme != "oci" || ref.Version != "" || !digestForm.MatchString(digest) {
			return target{}, fmt.Errorf("%w: spec.chart.name %q: a name with a digest is name@sha256:…, for a chart in an oci:// registry, and takes no version beside it", ErrInvalidVersion, ref.Name)
		}
	}
	if !chartName.MatchString(t.name) {
		return target{}, fmt.Errorf("%w: spec.chart.name %q can't be the name of a chart: letters, digits, '-', '_' and '.'", ErrChartNotFound, t.name)
	}
	if u.Scheme == "oci" {
		if _, err := registry.ParseReference(t.reference()); err != nil {
			return target{}, fmt.Errorf("%w: %s/%s can't be a name in a registry: those are in lower case", ErrRepositoryNotAllowed, t.address, t.name)
		}
	}
	if _, err := newChoice(t.version); err != nil {
		return target{}, err
	}
	return t, nil
}

// reference is the chart's name in a registry.
func (t target) reference() string { return strings.TrimPrefix(t.address, "oci://") + "/" + t.name }

func (r rules) allows(address string) bool {
	for _, pattern := range r.allowed {
		if pattern.MatchString(address) {
			return true
		}
	}
	return false
}

// repositoryURL reads the address of a repository, in a form in which two that differ are two: nothing in it could be
// read in another way by a server than by the rules.
func repositoryURL(address string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.chart.repository can't be read as an address", ErrRepositoryNotAllowed)
	}
	if u.User != nil || u.RawQuery != "" || u.ForceQuery || u.Fragment != "" || strings.ContainsAny(address, "@?#") {
		return nil, fmt.Errorf("%w: spec.chart.repository has a user, query or fragment; credentials belong in the Secret that spec.chart.secretRef names", ErrRepositoryNotAllowed)
	}
	switch u.Scheme {
	case "https":
		u.Host = strings.TrimSuffix(u.Host, ":443")
	case "http":
		u.Host = strings.TrimSuffix(u.Host, ":80")
	case "oci":
	default:
		return nil, fmt.Errorf("%w: spec.chart.repository is neither https:// nor oci://", ErrRepositoryNotAllowed)
	}
	u.Host = strings.ToLower(u.Host)
	u.Path = strings.TrimRight(u.Path, "/")
	if !hostForm.MatchString(u.Host) {
		return nil, fmt.Errorf("%w: spec.chart.repository: %q is not a host", ErrRepositoryNotAllowed, u.Host)
	}
	for i, segment := range strings.Split(u.Path, "/") {
		if i > 0 && (segment == "" || segment == "." || segment == "..") || strings.ContainsAny(segment, `\%`) || u.RawPath != "" {
			return nil, fmt.Errorf("%w: spec.chart.repository: the path %q has escapes, or segments that lead elsewhere", ErrRepositoryNotAllowed, u.EscapedPath())
		}
	}
	return u, nil
}

// choice finds the newest version in a range.
type choice struct {
	wanted     string
	constraint *semver.Constraints
	best       *semver.Version
	text       string
	exact      bool
	// newest is the newest of all, in the range or not, for the message when there is none in it.
	newest *semver.Version
}

func newChoice(version string) (*choice, error) {
	text := version
	if text == "" {
		text = "*" // which holds no pre-release
	}
	constraint, err := semver.NewConstraint(text)
	if err != nil {
		return nil, fmt.Errorf("%w: spec.chart.version %q: %w", ErrInvalidVersion, version, err)
	}
	return &choice{wanted: version, constraint: constraint}, nil
}

// offer tells whether a version is the best so far. Between two of the same precedence, which differ in their build
// metadata, the one that sorts last is taken, so that their order makes no difference.
func (c *choice) offer(version string) bool {
	v, err := semver.NewVersion(version)
	if err != nil {
		return false
	}
	if c.newest == nil || v.GreaterThan(c.newest) {
		c.newest = v
	}
	exact := version == c.wanted
	switch {
	case c.exact, !exact && !c.constraint.Check(v):
		return false
	case !exact && c.best != nil && (v.LessThan(c.best) || v.Equal(c.best) && version <= c.text):
		return false
	}
	c.best, c.text, c.exact = v, version, exact
	return true
}

// none says that there is no version in the range.
func (c *choice) none(where, name string) error {
	what := "no version of " + name + " is in " + c.wanted
	if c.wanted == "" {
		what = name + " has no stable version, and spec.chart.version is absent"
	}
	if c.newest == nil {
		return fmt.Errorf("%w: %s: there is no version of %s that is a semantic version", ErrVersionNotFound, where, name)
	}
	return fmt.Errorf("%w: %s: %s; the newest is %s", ErrVersionNotFound, where, what, c.newest.Original())
}
