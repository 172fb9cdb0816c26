package v1alpha1

import (
	"net/netip"
	"testing"
	"time"

	"github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestParseReadsWhereChartsMayComeFrom(t *testing.T) {
	for name, test := range map[string]struct {
		file string
		want func(*Charts)
	}{
		"nothing of it": {"charts: {}\n", func(*Charts) {}},
		"repositories, which go in place of the default ones": {"charts: {allowedRepositories: [https://charts.example.com]}\n", func(c *Charts) {
			c.AllowedRepositories = []string{"https://charts.example.com"}
		}},
		"no repository at all": {"charts: {allowedRepositories: []}\n", func(c *Charts) {
			c.AllowedRepositories = []string{}
		}},
		"repositories without TLS": {"charts: {allowInsecure: true, allowedRepositories: ['http://charts.test:8080/*', 'oci://**']}\n", func(c *Charts) {
			c.AllowInsecure, c.AllowedRepositories = true, []string{"http://charts.test:8080/*", "oci://**"}
		}},
		"addresses": {"charts: {allowedAddresses: [127.0.0.1, '::1'], deniedAddresses: [10.0.0.0/8, 'fd00::/8']}\n", func(c *Charts) {
			c.AllowedAddresses, c.DeniedAddresses = []string{"127.0.0.1", "::1"}, []string{"10.0.0.0/8", "fd00::/8"}
		}},
		"a folder, and one limit, which leaves the others as they are": {"charts: {cacheDir: /data, cacheSize: 1Gi, memory: 64Mi, limits: {timeout: 1m}}\n", func(c *Charts) {
			c.CacheDir, c.CacheSize, c.Memory = "/data", resource.MustParse("1Gi"), resource.MustParse("64Mi")
			c.Limits.Timeout = metav1.Duration{Duration: time.Minute}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			want := Default()
			test.want(&want.Charts)
			got, err := Parse([]byte(header + test.file))
			g.Expect(err).NotTo(gomega.HaveOccurred())
			g.Expect(got).To(gomega.BeComparableTo(want))
		})
	}
}

func TestParseTellsWhatIsWrongWithCharts(t *testing.T) {
	for name, test := range map[string]struct{ file, message string }{
		"a field that nobody knows":           {"charts: {allowed: []}\n", `unknown field "allowed"`},
		"a repository without a scheme":       {"charts: {allowedRepositories: [https://a.io, charts.example.com]}\n", `charts.allowedRepositories[1] of the operator's configuration is "charts.example.com", and takes the address of a repository`},
		"a repository of another scheme":      {"charts: {allowedRepositories: [file:///charts]}\n", "charts.allowedRepositories[0] of the operator's configuration is"},
		"a repository with a user":            {"charts: {allowedRepositories: ['https://me@a.io']}\n", "charts.allowedRepositories[0] of the operator's configuration is"},
		"a repository without TLS":            {"charts: {allowedRepositories: ['http://a.io']}\n", "charts.allowedRepositories[0] of the operator's configuration is http://a.io, which takes charts.allowInsecure to be set as well"},
		"an address that is none":             {"charts: {allowedAddresses: [localhost]}\n", `charts.allowedAddresses[0] of the operator's configuration is "localhost", and takes an IP address`},
		"an IPv4 address in IPv6":             {"charts: {deniedAddresses: ['::ffff:10.0.0.1']}\n", "charts.deniedAddresses[0] of the operator's configuration is \"::ffff:10.0.0.1\", and takes an IPv4 address in its own form"},
		"a folder from somewhere":             {"charts: {cacheDir: cache}\n", `charts.cacheDir of the operator's configuration is "cache", and takes the absolute path`},
		"a size that is none":                 {"charts: {memory: much}\n", "quantities must match"},
		"a limit that nothing fits":           {"charts: {limits: {chartSize: 0}}\n", "charts.limits.chartSize of the operator's configuration is 0, and takes 1Ki at least"},
		"little memory":                       {"charts: {memory: 1Ki}\n", "charts.memory of the operator's configuration is 1Ki, and takes 1Mi at least"},
		"a cache that an index doesn't fit":   {"charts: {cacheSize: 100Mi}\n", "charts.cacheSize of the operator's configuration is 100Mi, and takes four times limits.indexSize and limits.chartSize at least (200Mi)"},
		"charts without files":                {"charts: {limits: {entries: 0}}\n", "charts.limits.entries of the operator's configuration is 0, and takes 1 at least"},
		"less than no redirects":              {"charts: {limits: {redirects: -1}}\n", "charts.limits.redirects of the operator's configuration is -1, and can't be negative"},
		"a timeout that nobody keeps":         {"charts: {limits: {timeout: 1ms}}\n", "charts.limits.timeout of the operator's configuration is 1ms, and takes 1s at least"},
		"a timeout in a unit that nobody has": {"charts: {limits: {timeout: 1 hour}}\n", "unknown unit"},
	} {
		t.Run(name, func(t *testing.T) {
			g := gomega.NewWithT(t)
			_, err := Parse([]byte(header + test.file))
			g.Expect(err).To(gomega.MatchError(gomega.ContainSubstring(test.message)))
		})
	}
}

func TestRangesOfAddresses(t *testing.T) {
	g := gomega.NewWithT(t)
	g.Expect(Prefixes([]string{"127.0.0.1", "::1", "10.1.2.3/8", "fe80::1%eth0"})).To(gomega.Equal([]netip.Prefix{
		netip.MustParsePrefix("127.0.0.1/32"), netip.MustParsePrefix("::1/128"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fe80::1/128"),
	}))
}
