package routingpolicy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// What only the status knows of a mirror is left out last.
func TestWhatIsRememberedOfAMirrorOutlastsTheBoundOfAStatus(t *testing.T) {
	refusal := &iter8v1alpha1.Refusal{Time: now, Times: 3, Inputs: "sha256:i", Message: strings.Repeat("n", 512), Confirmed: true}
	for name, test := range map[string]struct {
		match, message int
		special        func(*iter8v1alpha1.Mirror)
		mirrors        int
		want           int
	}{
		"messages go before mirrors":   {10, 1024, func(*iter8v1alpha1.Mirror) {}, 100, 100},
		"a refusal stays":              {2000, 10, func(m *iter8v1alpha1.Mirror) { m.Refusal = refusal }, 100, 30},
		"a trial stays":                {2000, 10, func(m *iter8v1alpha1.Mirror) { m.OnTrial = true }, 100, 30},
		"an unobserved variant's time": {2000, 10, func(m *iter8v1alpha1.Mirror) { m.UnknownSince = &now }, 100, 30},
		"what others altered":          {2000, 10, func(m *iter8v1alpha1.Mirror) { m.Reason = iter8v1alpha1.ReasonAltered }, 100, 30},
		"what stands":                  {2000, 10, func(m *iter8v1alpha1.Mirror) { m.State = iter8v1alpha1.MirrorUnconfirmed }, 100, 30},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScope(aPolicy(), now.Time)
			s.inputs = "of all that is applied"
			for i := range test.mirrors {
				s.mirrors = append(s.mirrors, iter8v1alpha1.Mirror{Route: "HTTPRoute/a", Match: strings.Repeat("m", test.match), To: fmt.Sprintf("v2:%d", i+1), Percent: "0",
					State: iter8v1alpha1.MirrorWithheld, Reason: iter8v1alpha1.ReasonVariantNotAvailable, Message: strings.Repeat("n", test.message)})
			}
			last := &s.mirrors[test.mirrors-1]
			test.special(last)
			status := s.status()
			data, err := json.Marshal(status)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(len(data)).To(BeNumerically("<", 65536))
			g.Expect(len(status.Mirrors)).To(BeNumerically("~", test.want, 1))
			g.Expect(status.Inputs).To(BeEmpty(), "what is left out is made anew")
			listed := status.Mirrors[len(status.Mirrors)-1]
			g.Expect(listed.To).To(Equal("v2:100"))
			g.Expect(status.Mirrors[0].To).To(Equal("v2:1"))
			g.Expect(listed).To(And(HaveField("OnTrial", last.OnTrial), HaveField("UnknownSince", last.UnknownSince), HaveField("Reason", last.Reason), HaveField("State", last.State)))
			if last.Refusal != nil {
				g.Expect(listed.Refusal).To(HaveValue(And(HaveField("Times", int32(3)), HaveField("Confirmed", true), HaveField("Inputs", "sha256:i"), HaveField("Time", now))))
			}
			g.Expect(s.mirrors[0].Message).To(HaveLen(test.message), "what is given isn't changed")
		})
	}
}
