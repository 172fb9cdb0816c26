package routingpolicy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
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
				s.mirrors = append(s.mirrors, iter8v1alpha1.Mirror{Route: "HTTPRoute/a", To: fmt.Sprintf("mirrored-service:%d", port+1), Percent: "100"})
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
	g.Expect(len(data)).To(And(BeNumerically(">", 100<<10), BeNumerically("<", 129<<10)))
	g.Expect(status.Mirrors).To(HaveEach(one), "as a whole")
}
