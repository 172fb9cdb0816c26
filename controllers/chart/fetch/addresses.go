package fetch

import (
	"net/netip"
)

// Addresses says which addresses are connected to.
type Addresses struct {
	// Allowed are connected to although they are among the ones that are refused by default.
	Allowed []netip.Prefix
	// Denied are refused beside these, and even where Allowed has them.
	Denied []netip.Prefix
}

// refused are the addresses behind which there is no repository, but the operator's own host, its network or its
// cloud. Private ranges are not among them: registries of the cluster's own are there.
var refused = []struct {
	prefix netip.Prefix
	what   string
}{
	{netip.MustParsePrefix("127.0.0.0/8"), "loopback"},
	{netip.MustParsePrefix("::1/128"), "loopback"},
	{netip.MustParsePrefix("169.254.0.0/16"), "link-local, where clouds serve their metadata"},
	{netip.MustParsePrefix("fe80::/10"), "link-local"},
	{netip.MustParsePrefix("fec0::/10"), "site-local"},
	{netip.MustParsePrefix("fd00:ec2::/32"), "a cloud's metadata"},
	{netip.MustParsePrefix("fd20:ce::/64"), "a cloud's metadata"},
	{netip.MustParsePrefix("100.100.100.200/32"), "a cloud's metadata"},
	{netip.MustParsePrefix("168.63.129.16/32"), "a cloud's metadata"},
	{netip.MustParsePrefix("192.0.0.0/24"), "reserved"},
	{netip.MustParsePrefix("0.0.0.0/8"), "unspecified"},
	{netip.MustParsePrefix("::/128"), "unspecified"},
	{netip.MustParsePrefix("224.0.0.0/4"), "multicast"},
	{netip.MustParsePrefix("ff00::/8"), "multicast"},
	{netip.MustParsePrefix("240.0.0.0/4"), "reserved"},
	{netip.MustParsePrefix("2001::/32"), "a tunnel"},
	{netip.MustParsePrefix("64:ff9b:1::/48"), "a translation that only the network knows"},
}

// embedding are the IPv6 ranges that carry an IPv4 address, from the byte on that is given.
var embedding = []struct {
	prefix netip.Prefix
	from   int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12}, // NAT64: RFC 6052
	{netip.MustParsePrefix("2002::/16"), 2},     // 6to4: RFC 3056
	{netip.MustParsePrefix("::/96"), 12},        // IPv4-compatible: RFC 4291, 2.5.5.1
}

// Refuses gives what is against an address, or nothing.
func (a Addresses) Refuses(addr netip.Addr) string {
	addr = addr.Unmap().WithZone("")
	if contains(a.Denied, addr) {
		return "in charts.deniedAddresses"
	}
	if contains(a.Allowed, addr) {
		return ""
	}
	for _, r := range refused {
		if r.prefix.Contains(addr) {
			return r.what
		}
	}
	for _, e := range embedding {
		if e.prefix.Contains(addr) {
			bytes := addr.As16()
			return a.Refuses(netip.AddrFrom4([4]byte(bytes[e.from : e.from+4])))
		}
	}
	return ""
}

func contains(prefixes []netip.Prefix, addr netip.Addr) bool {
	for _, p := range prefixes {
		if p.Contains(addr) {
			return true
		}
	}
	return false
}
