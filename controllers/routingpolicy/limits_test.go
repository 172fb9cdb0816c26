package routingpolicy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/chart"
)

func TestMirrorsAreKeptToWhatTheAPIAllows(t *testing.T) {
	for name, test := range map[string]struct{ mirrors, listed int }{
		"as many as it allows": {1024, 1024},
		"one more":             {1025, 1024},
		"one less":             {1023, 1023},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScope(aPolicy(), now.Time)
			for port := range test.mirrors {
				s.mirrors = append(s.mirrors, iter8v1alpha1.Mirror{Route: "R/a", To: fmt.Sprintf("a:%d", port+1), Percent: "1"})
			}
			status := s.status()
			g.Expect(status.Mirrors).To(HaveLen(test.listed))
			g.Expect(status.MirrorTargets).To(And(HaveLen(4096), HaveSuffix("...")))
		})
	}
}

// TestASmallRouteDoesNotMakeALargeStatus has what the mirrors of a rule have in common repeated for each of them.
func TestASmallRouteDoesNotMakeALargeStatus(t *testing.T) {
	g := NewWithT(t)
	s := newScope(aPolicy(), now.Time)
	one := iter8v1alpha1.Mirror{Route: "HTTPRoute/a", Rule: "0", Match: "PathPrefix /" + strings.Repeat("<", 2000), To: "v2:1", Percent: "100"}
	for range 1000 {
		s.mirrors = append(s.mirrors, one)
	}
	status := s.status()
	data, err := json.Marshal(status.Mirrors)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(data)).To(And(BeNumerically(">", 50<<10), BeNumerically("<", 64<<10)))
	g.Expect(status.Mirrors).To(HaveEach(one), "as a whole")
}

// The largest policies that the API takes, with the longest names and messages, and characters that JSON escapes.
func TestAStatusIsBoundedInBytes(t *testing.T) {
	const bound = 65536
	mirrors := func(n int) func(*scope) {
		return func(s *scope) {
			for range n {
				s.mirrors = append(s.mirrors, iter8v1alpha1.Mirror{
					Route: "HTTPRoute/" + strings.Repeat("r", 253), Rule: strings.Repeat("u", 253), Match: strings.Repeat("<", 4096), From: strings.Repeat("f", 4096),
					To: strings.Repeat("t", 512), Variant: strings.Repeat("v", 1086), Percent: "0.000001", State: iter8v1alpha1.MirrorWithheld,
					Reason: "VariantNotAvailable", Message: strings.Repeat("m", 1024), Since: &now,
				})
			}
		}
	}
	objects := func(n, name int) func(*scope) {
		return func(s *scope) {
			s.result = &apply.Result{}
			for range n {
				s.result.Inventory = append(s.result.Inventory, iter8v1alpha1.AppliedObject{
					APIVersion: "gateway.networking.k8s.io/v1", Kind: "HTTPRoute", Name: strings.Repeat("n", name), UID: types.UID(strings.Repeat("u", 36)),
					Generation: 1 << 40, Digest: strings.Repeat("d", 71), Metadata: strings.Repeat("e", 71),
				})
			}
		}
	}
	messages := func(letter string) func(*scope) {
		return func(s *scope) {
			for _, c := range phaseConditions {
				s.reports[c] = report{status: metav1.ConditionFalse, reason: strings.Repeat("R", 1024), message: strings.Repeat(letter, 32768)}
			}
			s.state.Chart = &chart.Chart{Resolved: iter8v1alpha1.ResolvedChart{
				Repository: strings.Repeat("r", 2048), Name: strings.Repeat("n", 253), Version: strings.Repeat("v", 253), Digest: strings.Repeat("d", 71)}}
			for i := range 16 {
				s.known = append(s.known, iter8v1alpha1.KnownVariant{Name: fmt.Sprintf("%063d", i), UnknownSince: &now})
			}
		}
	}
	for name, test := range map[string]struct {
		found []func(*scope)
		// listed mirrors, how many bytes the messages of conditions have, and how Ready's ends.
		listed, message int
		ready           string
	}{
		"a few mirrors":                           {[]func(*scope){mirrors(1)}, 1, 21, "mmm"},
		"the most mirrors":                        {[]func(*scope){mirrors(1024)}, 2, 21, "; status.mirrors lists only 2 of 1024 mirrors"},
		"the longest messages":                    {[]func(*scope){messages("m")}, 0, 4096, "mmm..."},
		"the longest messages of what is escaped": {[]func(*scope){messages("<")}, 0, 1024, "<<<..."},
		"the longest messages, and mirrors":       {[]func(*scope){messages("m"), mirrors(3)}, 1, 1024, "; status.mirrors lists only 1 of 3 mirrors"},
		"as many objects as there can be":         {[]func(*scope){objects(128, 63), mirrors(1024)}, 0, 21, "; status.mirrors lists only 0 of 1024 mirrors"},
		"all of it":                               {[]func(*scope){objects(85, 253), messages("<"), mirrors(1024)}, 0, 128, "; status.mirrors lists only 0 of 1024 mirrors"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScope(aPolicy(), now.Time)
			s.subject = aSubject()
			through(s, phaseConditions...)
			for _, found := range test.found {
				found(s)
			}
			s.inputs, s.checked = strings.Repeat("i", 129), strings.Repeat("c", 71)
			status := s.status()
			data, err := json.Marshal(status)
			g.Expect(err).NotTo(HaveOccurred())
			t.Logf("%d bytes", len(data))
			g.Expect(len(data)).To(BeNumerically("<=", bound))
			g.Expect(status.Mirrors).To(HaveLen(test.listed))
			longest := 0
			for _, c := range status.Conditions {
				if c.Type != "Ready" {
					longest = max(longest, len(c.Message))
				}
			}
			g.Expect(longest).To(Equal(test.message))
			g.Expect(meta.FindStatusCondition(status.Conditions, "Ready").Message).To(HaveSuffix(test.ready))
		})
	}
}
