package fetch

import (
	"net/netip"
	"testing"

	. "github.com/onsi/gomega"
)

func TestAddressesThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct{ addr, what string }{
		"loopback":                          {"127.0.0.1", "loopback"},
		"loopback's other end":              {"127.255.255.254", "loopback"},
		"loopback of IPv6":                  {"::1", "loopback"},
		"loopback of IPv4 in IPv6":          {"::ffff:127.0.0.1", "loopback"},
		"loopback, compatible with IPv4":    {"::127.0.0.1", "loopback"},
		"loopback behind NAT64":             {"64:ff9b::7f00:1", "loopback"},
		"loopback behind 6to4":              {"2002:7f00:1::", "loopback"},
		"metadata":                          {"169.254.169.254", "link-local, where clouds serve their metadata"},
		"metadata of IPv4 in IPv6":          {"::ffff:169.254.169.254", "link-local, where clouds serve their metadata"},
		"metadata behind NAT64":             {"64:ff9b::a9fe:a9fe", "link-local, where clouds serve their metadata"},
		"metadata of Amazon in IPv6":        {"fd00:ec2::254", "a cloud's metadata"},
		"metadata of Google in IPv6":        {"fd20:ce::254", "a cloud's metadata"},
		"metadata of Alibaba":               {"100.100.100.200", "a cloud's metadata"},
		"metadata of Azure":                 {"168.63.129.16", "a cloud's metadata"},
		"metadata of Oracle":                {"192.0.0.192", "reserved"},
		"credentials of containers":         {"169.254.170.2", "link-local, where clouds serve their metadata"},
		"link-local":                        {"fe80::1", "link-local"},
		"link-local, of an interface":       {"fe80::1%eth0", "link-local"},
		"site-local":                        {"fec0::1", "site-local"},
		"this host":                         {"0.0.0.0", "unspecified"},
		"this network":                      {"0.1.2.3", "unspecified"},
		"this host in IPv6":                 {"::", "unspecified"},
		"multicast":                         {"224.0.0.1", "multicast"},
		"multicast in IPv6":                 {"ff02::1", "multicast"},
		"broadcast":                         {"255.255.255.255", "reserved"},
		"Teredo":                            {"2001::1", "a tunnel"},
		"a NAT64 of the network's own":      {"64:ff9b:1::7f00:1", "a translation that only the network knows"},
		"a public address":                  {"93.184.215.14", ""},
		"a public address in IPv6":          {"2606:2800::1", ""},
		"a public address behind NAT64":     {"64:ff9b::5db8:d70e", ""},
		"a private address":                 {"10.96.0.1", ""},
		"a private address in IPv6":         {"fd12:3456::1", ""},
		"a carrier's address":               {"100.64.0.1", ""},
		"a private address that is denied":  {"10.1.0.1", "in charts.deniedAddresses"},
		"the same, written as IPv6":         {"::ffff:10.1.0.1", "in charts.deniedAddresses"},
		"the same, behind NAT64":            {"64:ff9b::a01:1", "in charts.deniedAddresses"},
		"loopback that is allowed":          {"127.0.0.9", ""},
		"loopback that is allowed, as IPv6": {"::ffff:127.0.0.9", ""},
		"what is both allowed and denied":   {"10.1.0.9", "in charts.deniedAddresses"},
	} {
		t.Run(name, func(t *testing.T) {
			a := Addresses{
				Allowed: []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32"), netip.MustParsePrefix("10.1.0.9/32")},
				Denied:  []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")},
			}
			NewWithT(t).Expect(a.Refuses(netip.MustParseAddr(test.addr))).To(Equal(test.what))
		})
	}
}

func TestHostsOfOneOwner(t *testing.T) {
	for name, test := range map[string]struct {
		a, b string
		same bool
	}{
		"one host":                               {"ghcr.io", "GHCR.io", true},
		"Docker's registry and its tokens":       {"registry-1.docker.io", "auth.docker.io", true},
		"GitLab's registry and its tokens":       {"registry.gitlab.com", "gitlab.com", true},
		"two of one company":                     {"registry.example.co.uk", "login.example.co.uk", true},
		"two companies":                          {"registry.example.com", "registry.example.org", false},
		"two companies of one country":           {"a.co.uk", "b.co.uk", false},
		"two tenants of a hoster":                {"a.github.io", "b.github.io", false},
		"two Services of a cluster":              {"registry.a.svc.cluster.local", "web.b.svc.cluster.local", false},
		"two hosts without a domain":             {"registry", "auth", false},
		"one address":                            {"127.0.0.1", "127.0.0.1", true},
		"two addresses":                          {"10.0.0.1", "10.1.0.1", false},
		"an address, and a domain of its digits": {"10.0.0.1", "0.0.1", false},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(SameSite(test.a, test.b)).To(Equal(test.same))
		})
	}
}
