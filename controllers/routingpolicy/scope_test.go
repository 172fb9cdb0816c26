package routingpolicy

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	ctrl "sigs.k8s.io/controller-runtime"
)

func TestWhenAReconcileIsDueAgain(t *testing.T) {
	fault := errors.New("no answer")
	for name, test := range map[string]struct {
		after []time.Duration
		err   error
		want  ctrl.Result
	}{
		"never, where an event will tell":   {nil, nil, ctrl.Result{}},
		"after a while":                     {[]time.Duration{time.Minute}, nil, ctrl.Result{RequeueAfter: time.Minute}},
		"at the earliest of several times":  {[]time.Duration{time.Minute, time.Second}, nil, ctrl.Result{RequeueAfter: time.Second}},
		"at the earliest, which came first": {[]time.Duration{time.Second, time.Minute}, nil, ctrl.Result{RequeueAfter: time.Second}},
		"with growing delays":               {nil, fault, ctrl.Result{}},
		"then, and with growing delays":     {[]time.Duration{time.Minute}, fault, ctrl.Result{RequeueAfter: time.Minute}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScope(aPolicy(), now.Time)
			for _, d := range test.after {
				s.retryAfter(d)
			}
			s.err = test.err
			result, err := s.end()
			g.Expect(result).To(Equal(test.want))
			if test.err == nil {
				g.Expect(err).NotTo(HaveOccurred())
			} else {
				g.Expect(err).To(MatchError(test.err))
			}
		})
	}
}
