package apply

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestTheReasonOfSeveralFailures(t *testing.T) {
	for name, test := range map[string]struct {
		reasons []string
		want    string
		retry   bool
	}{
		"one":                                      {[]string{"Rejected"}, "Rejected", false},
		"several that stall, of which the first":   {[]string{"Rejected", "OwnershipConflict"}, "Rejected", false},
		"what stalls, before what is waited for":   {[]string{"Rejected", "Terminating", "KindNotServed"}, "Rejected", false},
		"what is waited for, before what stalls":   {[]string{"Terminating", "Rejected"}, "Terminating", false},
		"what is tried again, before all of these": {[]string{"Rejected", "Terminating", "PruneFailed", "ApplyFailed"}, "PruneFailed", true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var result Result
			for _, r := range test.reasons {
				result.Failures = append(result.Failures, Failure{Reason: r})
			}
			g.Expect(result.Reason()).To(Equal(test.want))
			g.Expect(result.Retry()).To(Equal(test.retry))
		})
	}
}
