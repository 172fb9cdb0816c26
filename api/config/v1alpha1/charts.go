package v1alpha1

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Charts says where charts may come from that are not built into the operator, and what they may take.
type Charts struct {
	// AllowedRepositories are the repositories that a policy may name, with everything below them. A * stands for
	// any characters but a slash, ** for any at all: https://charts.example.com, oci://ghcr.io/*/charts, https://**.
	// The default is any https:// and oci:// repository; a list in a file goes in its place, and an empty one leaves
	// the built-in charts only. Where a repository's index, or a redirect, has a chart come from is the repository's
	// business; AllowedAddresses and DeniedAddresses hold there too.
	AllowedRepositories []string `json:"allowedRepositories,omitempty"`

	// AllowInsecure lets policies set insecure, which takes any certificate, and name http:// repositories that are
	// among AllowedRepositories.
	AllowInsecure bool `json:"allowInsecure,omitempty"`

	// AllowedAddresses are IP addresses, or ranges of them as in 10.0.0.0/8, that the operator connects to although
	// it doesn't by default: loopback, link-local (where clouds serve their metadata), multicast and the like.
	AllowedAddresses []string `json:"allowedAddresses,omitempty"`

	// DeniedAddresses are IP addresses or ranges that the operator doesn't connect to either, such as the cluster's
	// own. They are refused even where AllowedAddresses has them.
	DeniedAddresses []string `json:"deniedAddresses,omitempty"`

	// CacheDir is the folder where charts and indexes are kept, for when their repository is down.
	CacheDir string `json:"cacheDir,omitempty"`

	// CacheSize is what that folder may hold. The policies of one namespace may fill a quarter of it.
	CacheSize resource.Quantity `json:"cacheSize,omitzero"`

	// Memory is what the files of all charts may take that policies use at a time. The charts of one namespace may
	// take a quarter of it.
	Memory resource.Quantity `json:"memory,omitzero"`

	// Limits of what is fetched.
	Limits ChartLimits `json:"limits,omitzero"`
}

// ChartLimits bound what one repository can have the operator do.
type ChartLimits struct {
	// IndexSize is the size of a repository's index.
	IndexSize resource.Quantity `json:"indexSize,omitzero"`
	// ChartSize is the size of a chart's archive.
	ChartSize resource.Quantity `json:"chartSize,omitzero"`
	// ExpandedSize is what an archive may expand to.
	ExpandedSize resource.Quantity `json:"expandedSize,omitzero"`
	// Entries are the files and folders that an archive may have.
	Entries int `json:"entries,omitempty"`
	// Redirects that are followed for one document.
	Redirects int `json:"redirects,omitempty"`
	// Timeout of fetching one document: an index, an archive, a list of tags.
	Timeout metav1.Duration `json:"timeout,omitzero"`
}

// DefaultCharts is what holds of charts where a file says nothing.
func DefaultCharts() Charts {
	return Charts{
		AllowedRepositories: []string{"https://**", "oci://**"},
		CacheDir:            "/var/cache/iter8-operator",
		CacheSize:           resource.MustParse("256Mi"),
		Memory:              resource.MustParse("32Mi"),
		Limits: ChartLimits{
			IndexSize:    resource.MustParse("50Mi"),
			ChartSize:    resource.MustParse("10Mi"),
			ExpandedSize: resource.MustParse("100Mi"),
			Entries:      10_000,
			Redirects:    5,
			Timeout:      metav1.Duration{Duration: 30 * time.Second},
		},
	}
}

// share is the part of the cache, and of the memory, that one namespace may take.
const share = 4

var repositoryPattern = regexp.MustCompile(`^(https|http|oci)://[^\s@?#]+$`)

// Validate tells the first thing that is wrong, by its path in the configuration.
func (c Charts) Validate() error {
	for i, p := range c.AllowedRepositories {
		if !repositoryPattern.MatchString(p) {
			return fmt.Errorf("charts.allowedRepositories[%d] of the operator's configuration is %q, and takes the address of a repository, https://… or oci://…, in which * and ** may stand", i, p)
		}
		if strings.HasPrefix(p, "http://") && !c.AllowInsecure {
			return fmt.Errorf("charts.allowedRepositories[%d] of the operator's configuration is %s, which takes charts.allowInsecure to be set as well: without TLS, nothing proves where a chart comes from", i, p)
		}
	}
	if _, err := Prefixes(c.AllowedAddresses); err != nil {
		return fmt.Errorf("charts.allowedAddresses%w", err)
	}
	if _, err := Prefixes(c.DeniedAddresses); err != nil {
		return fmt.Errorf("charts.deniedAddresses%w", err)
	}
	if !filepath.IsAbs(c.CacheDir) {
		return fmt.Errorf("charts.cacheDir of the operator's configuration is %q, and takes the absolute path of a folder", c.CacheDir)
	}
	for _, q := range []struct {
		name  string
		value resource.Quantity
		least string
		why   string
	}{
		{"limits.indexSize", c.Limits.IndexSize, "1Ki", "an index has to fit"},
		{"limits.chartSize", c.Limits.ChartSize, "1Ki", "a chart has to fit"},
		{"limits.expandedSize", c.Limits.ExpandedSize, "1Ki", "a chart has to fit"},
		{"memory", c.Memory, "1Mi", "a chart has to fit a quarter of it, which is what a namespace may take"},
	} {
		if q.value.Cmp(resource.MustParse(q.least)) < 0 {
			return fmt.Errorf("charts.%s of the operator's configuration is %s, and takes %s at least: %s", q.name, q.value.String(), q.least, q.why)
		}
	}
	if largest := max(c.Limits.IndexSize.Value(), c.Limits.ChartSize.Value()); c.CacheSize.Value()/share < largest {
		return fmt.Errorf("charts.cacheSize of the operator's configuration is %s, and takes four times limits.indexSize and limits.chartSize at least (%s): a quarter of it is what a namespace may take",
			c.CacheSize.String(), resource.NewQuantity(share*largest, resource.BinarySI))
	}
	switch {
	case c.Limits.Entries < 1:
		return fmt.Errorf("charts.limits.entries of the operator's configuration is %d, and takes 1 at least", c.Limits.Entries)
	case c.Limits.Redirects < 0:
		return fmt.Errorf("charts.limits.redirects of the operator's configuration is %d, and can't be negative", c.Limits.Redirects)
	case c.Limits.Timeout.Duration < time.Second:
		return fmt.Errorf("charts.limits.timeout of the operator's configuration is %s, and takes 1s at least", c.Limits.Timeout.Duration)
	}
	return nil
}

// Prefixes reads addresses and ranges of them.
func Prefixes(ranges []string) ([]netip.Prefix, error) {
	prefixes := make([]netip.Prefix, 0, len(ranges))
	for i, r := range ranges {
		prefix, err := netip.ParsePrefix(r)
		if err != nil {
			var addr netip.Addr
			if addr, err = netip.ParseAddr(r); err == nil {
				prefix = netip.PrefixFrom(addr.WithZone(""), addr.BitLen())
			}
		}
		if err != nil {
			return nil, fmt.Errorf("[%d] of the operator's configuration is %q, and takes an IP address or a range of them, such as 10.0.0.0/8", i, r)
		}
		if prefix.Addr().Is4In6() {
			return nil, fmt.Errorf("[%d] of the operator's configuration is %q, and takes an IPv4 address in its own form, such as 10.0.0.0/8", i, r)
		}
		prefixes = append(prefixes, prefix.Masked())
	}
	return prefixes, nil
}
