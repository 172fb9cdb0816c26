package chart

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	clocktesting "k8s.io/utils/clock/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/reason"
)

func TestWhichRepositoriesAreAllowed(t *testing.T) {
	for name, test := range map[string]struct {
		patterns, addresses []string
		refused             []string
	}{
		"by default": {
			[]string{"https://**", "oci://**"},
			[]string{"https://charts.example.com", "https://a.io/b/c", "oci://ghcr.io/org/charts", "https://[2001:db8::1]:8443/a"},
			[]string{"http://charts.example.com"},
		},
		"one repository": {
			[]string{"https://charts.example.com/stable/"},
			[]string{"https://charts.example.com/stable", "https://charts.example.com/stable/", "https://charts.example.com/stable/team", "https://CHARTS.example.com:443/stable"},
			[]string{"https://charts.example.com", "https://charts.example.com/stable2", "https://charts.example.com:8443/stable", "oci://charts.example.com/stable", "https://charts.example.com.evil.io/stable"},
		},
		"the hosts of a domain": {
			[]string{"https://*.example.com"},
			[]string{"https://a.example.com", "https://a.b.example.com/c"},
			[]string{"https://example.com", "https://a.example.com.evil.io", "https://evil.io/a.example.com", "https://evil.io/.example.com"},
		},
		"the organizations of a host": {
			[]string{"oci://ghcr.io/*/charts"},
			[]string{"oci://ghcr.io/org/charts", "oci://ghcr.io/org/charts/more"},
			[]string{"oci://ghcr.io/charts", "oci://ghcr.io/a/b/charts", "oci://ghcr.io/org/chart"},
		},
		"none": {nil, nil, []string{"https://charts.example.com", "oci://ghcr.io/org"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			r, err := compile(test.patterns, true)
			g.Expect(err).NotTo(HaveOccurred())
			for _, address := range test.addresses {
				_, err := r.target(iter8v1alpha1.ChartReference{Repository: address, Name: "mirror"})
				g.Expect(err).NotTo(HaveOccurred(), address)
			}
			for _, address := range test.refused {
				_, err := r.target(iter8v1alpha1.ChartReference{Repository: address, Name: "mirror"})
				g.Expect(err).To(MatchError(And(
					MatchRegexp("^repository not allowed: (https|http|oci)://"),
					HaveSuffix("is not among the repositories that this operator may use (charts.allowedRepositories of its configuration)"))), address)
			}
		})
	}
}

func TestReferencesThatCannotWork(t *testing.T) {
	digest := "sha256:" + strings.Repeat("0", 64)
	for name, test := range map[string]struct {
		ref     iter8v1alpha1.ChartReference
		kind    error
		message string
	}{
		"another scheme":         {iter8v1alpha1.ChartReference{Repository: "file:///charts"}, ErrRepositoryNotAllowed, "is neither https:// nor oci://"},
		"a user":                 {iter8v1alpha1.ChartReference{Repository: "https://me:internal-secret@a.io"}, ErrRepositoryNotAllowed, "credentials belong in the Secret that spec.chart.secretRef names"},
		"a query":                {iter8v1alpha1.ChartReference{Repository: "https://a.io/?token=internal-secret"}, ErrRepositoryNotAllowed, "has a user, query or fragment"},
		"an empty query":         {iter8v1alpha1.ChartReference{Repository: "https://a.io/?"}, ErrRepositoryNotAllowed, "has a user, query or fragment"},
		"a fragment":             {iter8v1alpha1.ChartReference{Repository: "https://a.io/#"}, ErrRepositoryNotAllowed, "has a user, query or fragment"},
		"a path that leads out":  {iter8v1alpha1.ChartReference{Repository: "https://a.io/good/../bad"}, ErrRepositoryNotAllowed, `the path "/good/../bad" has escapes, or segments that lead elsewhere`},
		"a path that is escaped": {iter8v1alpha1.ChartReference{Repository: "https://a.io/good/%2e%2e/bad"}, ErrRepositoryNotAllowed, "has escapes"},
		"a slash that is":        {iter8v1alpha1.ChartReference{Repository: "https://a.io/good%2fbad"}, ErrRepositoryNotAllowed, "has escapes"},
		"two slashes":            {iter8v1alpha1.ChartReference{Repository: "https://a.io//b"}, ErrRepositoryNotAllowed, "has escapes, or segments"},
		"a backslash":            {iter8v1alpha1.ChartReference{Repository: `https://a.io/b\c`}, ErrRepositoryNotAllowed, "has escapes"},
		"no host":                {iter8v1alpha1.ChartReference{Repository: "https:///charts"}, ErrRepositoryNotAllowed, "is not a host"},
		"a host that is none":    {iter8v1alpha1.ChartReference{Repository: "https://a_b!.io"}, ErrRepositoryNotAllowed, "is not a host"},
		"a host with a dot":      {iter8v1alpha1.ChartReference{Repository: "https://a.io./"}, ErrRepositoryNotAllowed, "is not a host"},
		"an address of an interface": {iter8v1alpha1.ChartReference{Repository: "https://[fe80::1%25eth0]/"}, ErrRepositoryNotAllowed,
			"is not a host"},
		"no address":                      {iter8v1alpha1.ChartReference{Repository: "https://a b"}, ErrRepositoryNotAllowed, "can't be read as an address"},
		"a name with a path":              {iter8v1alpha1.ChartReference{Name: "../mirror"}, ErrChartNotFound, `spec.chart.name "../mirror" can't be the name of a chart`},
		"a name with a digest, elsewhere": {iter8v1alpha1.ChartReference{Name: "mirror@" + digest}, ErrInvalidVersion, "for a chart in an oci:// registry"},
		"a digest that is none":           {iter8v1alpha1.ChartReference{Repository: "oci://a.io/b", Name: "mirror@sha256:0"}, ErrInvalidVersion, "is name@sha256:…"},
		"a digest and a version":          {iter8v1alpha1.ChartReference{Repository: "oci://a.io/b", Name: "mirror@" + digest, Version: "1.x"}, ErrInvalidVersion, "takes no version beside it"},
		"capital letters in a registry":   {iter8v1alpha1.ChartReference{Repository: "oci://a.io/Org", Name: "mirror"}, ErrRepositoryNotAllowed, "those are in lower case"},
		"a version that is none":          {iter8v1alpha1.ChartReference{Version: ">>1"}, ErrInvalidVersion, `spec.chart.version ">>1"`},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			all, err := compile([]string{"https://**", "oci://**", "file://**"}, true)
			g.Expect(err).NotTo(HaveOccurred())
			if test.ref.Repository == "" {
				test.ref.Repository = "https://charts.example.com"
			}
			if test.ref.Name == "" {
				test.ref.Name = "mirror"
			}
			_, err = all.target(test.ref)
			g.Expect(err).To(MatchError(test.kind))
			g.Expect(err).To(MatchError(ContainSubstring(test.message)))
			g.Expect(err).To(MatchError(Not(ContainSubstring("internal-secret"))))
		})
	}
}

func TestTheOrderOfVersionsMakesNoDifference(t *testing.T) {
	g := NewWithT(t)
	for _, order := range [][]string{
		{"1.0.0+a", "1.0.0+b", "0.9.0", "none", "1.1.0-rc.1"},
		{"1.1.0-rc.1", "none", "1.0.0+b", "0.9.0", "1.0.0+a"},
	} {
		c, err := newChoice("")
		g.Expect(err).NotTo(HaveOccurred())
		for _, v := range order {
			c.offer(v)
		}
		g.Expect(c.text).To(Equal("1.0.0+b"))
	}
}

func TestEachErrorHasItsReason(t *testing.T) {
	g := NewWithT(t)
	for err, want := range map[error]string{
		ErrRepositoryNotAllowed:  "RepositoryNotAllowed",
		ErrChartNotFound:         "ChartNotFound",
		ErrInvalidVersion:        "InvalidVersion",
		ErrVersionNotFound:       "VersionNotFound",
		ErrRepositoryUnavailable: "RepositoryUnavailable",
		ErrForbiddenAddress:      "ForbiddenAddress",
		ErrUnauthorized:          "Unauthorized",
		ErrInvalidSecret:         "InvalidSecret",
		ErrTooLarge:              "TooLarge",
		ErrInvalidIndex:          "InvalidIndex",
		ErrInvalidArchive:        "InvalidChart",
		ErrUnverified:            "Unverified",
		ErrCacheUnavailable:      "CacheUnavailable",
	} {
		g.Expect(Reason(err)).To(Equal(want))
		g.Expect(Reason(fmt.Errorf("chart mirror: %w", err))).To(Equal(want), "wrapped")
		g.Expect(Reason(errors.Join(ErrRepositoryUnavailable, err))).To(Equal(want), "what says more")
	}
	g.Expect(Reason(errors.New("oh"))).To(Equal("RepositoryUnavailable"), "what has no reason of its own")
}

func TestWhatIsTriedAgainSoon(t *testing.T) {
	// soon are the reasons of what may pass by itself; everything else is looked at again with the interval.
	soon := map[string]bool{"Unauthorized": true, "InvalidSecret": true, "CacheUnavailable": true, "RepositoryUnavailable": true}
	for _, r := range iter8v1alpha1.Reasons {
		if r.Recovery == iter8v1alpha1.NoRecovery || !slices.Contains(r.Conditions, "RoutingPolicy ChartResolved") || r.Name == iter8v1alpha1.ReasonResolving {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(r.Recovery).To(BeElementOf(iter8v1alpha1.Retries, iter8v1alpha1.Stalls), "there is no event to wait for")
			clock := clocktesting.NewFakeClock(time.Unix(1_700_000_000, 0))
			s, err := NewSources(Options{Charts: tolerant(t).charts, Clock: clock, Random: func() float64 { return 0 }})
			g.Expect(err).NotTo(HaveOccurred())
			ask := Request{Policy: policy, Interval: 10 * time.Minute, Chart: iter8v1alpha1.ChartReference{Repository: "https://charts.example.com", Name: "mirror"}}
			g.Expect(s.Resolve(ask).Pending).To(BeTrue())
			src := s.policies[policy]
			slot, ok := s.slots.take(src)
			g.Expect(ok).To(BeTrue())

			s.finish(t.Context(), src, slot, job{}, found{}, fmt.Errorf("chart mirror: %w", reason.New(r.Name, "no")))
			g.Expect(Reason(s.Resolve(ask).Err)).To(Equal(r.Name))
			want, recovery := 10*time.Minute, Not(Equal(iter8v1alpha1.Retries))
			if soon[r.Name] {
				want, recovery = firstRetry, Equal(iter8v1alpha1.Retries)
			}
			g.Expect(src.due.Sub(clock.Now())).To(Equal(want))
			g.Expect(r.Recovery).To(recovery)
		})
	}
}
