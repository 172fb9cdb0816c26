package chart

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	helmchart "helm.sh/helm/v3/pkg/chart"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestAVersionThatAStatusCannotHoldIsRefused(t *testing.T) {
	for name, test := range map[string]struct {
		announced, written string
		message            string
	}{
		"it just fits":                            {"1.0.0", "1.0.0+" + strings.Repeat("x", 247), ""},
		"it is longer than announced":             {"1.0.0", "1.0.0+" + strings.Repeat("x", 248), "invalid chart: https://a.io: mirror has a version of 254 characters, and may have 253"},
		"it is longer, and nothing was announced": {"", "1.0.0-" + strings.Repeat("x", 5000), "invalid chart: https://a.io: mirror has a version of 5006 characters, and may have 253"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			f := found{
				helm:     &helmchart.Chart{Metadata: &helmchart.Metadata{Name: "mirror", Version: test.written}},
				resolved: iter8v1alpha1.ResolvedChart{Version: test.announced},
			}
			err := f.is(target{address: "https://a.io", name: "mirror"})
			if test.message != "" {
				g.Expect(err).To(MatchError(test.message))
				g.Expect(err).To(MatchError(ErrInvalidArchive))
				return
			}
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(f.resolved.Version).To(Equal(test.written))
		})
	}
}
