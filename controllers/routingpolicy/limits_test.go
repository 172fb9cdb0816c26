package routingpolicy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
)

// statusOfMirrors is the status after a route with some mirrors was applied.
func statusOfMirrors(t *testing.T, route string) *iter8v1alpha1.RoutingPolicyStatus {
	t.Helper()
	only := step(t, apply.Keep, "a", "")
	only.Manifest = manifest(t, route)
	s := newScope(aPolicy(), now.Time)
	steps := []apply.Step{only}
	s.result = &apply.Result{Steps: steps, Inventory: []iter8v1alpha1.AppliedObject{only.Entry}, Applied: map[apply.Key]bool{only.Key: true}}
	return s.status()
}

func TestMirrorsAreKeptToWhatTheAPIAllows(t *testing.T) {
	for name, test := range map[string]struct{ mirrors, listed int }{
		"as many as it allows": {1024, 1024},
		"one more":             {1025, 1024},
		"one less":             {1023, 1023},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var filters []string
			for port := range test.mirrors {
				filters = append(filters, mirrorTo(fmt.Sprintf("name: mirrored-service, port: %d", port+1), ""))
			}
			status := statusOfMirrors(t, aRoute("a", "{filters: ["+strings.Join(filters, ", ")+"]}"))
			g.Expect(status.Mirrors).To(HaveLen(test.listed))
			g.Expect(status.MirrorTargets).To(And(HaveLen(4096), HaveSuffix("...")))
		})
	}
}

// TestASmallRouteDoesNotMakeALargeStatus has what the mirrors of a rule have in common repeated for each of them.
func TestASmallRouteDoesNotMakeALargeStatus(t *testing.T) {
	g := NewWithT(t)
	var filters []string
	for port := range 1000 {
		filters = append(filters, mirrorTo(fmt.Sprintf("name: v2, port: %d", port+1), ""))
	}
	long := strings.Repeat("<", 2000)
	status := statusOfMirrors(t, aRoute("a", "{matches: [{path: {value: '/"+long+"'}}], filters: ["+strings.Join(filters, ", ")+"]}"))
	data, err := json.Marshal(status.Mirrors)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(len(data)).To(And(BeNumerically(">", 100<<10), BeNumerically("<", 129<<10)))
	g.Expect(status.Mirrors[0]).To(Equal(iter8v1alpha1.Mirror{Route: "HTTPRoute/a", Match: "PathPrefix /" + long, To: "v2:1", Percent: "100"}), "as a whole")
	g.Expect(status.Mirrors[len(status.Mirrors)-1].Match).To(Equal("PathPrefix /" + long))
}
