package apply

import (
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

func TestWhatIsTakenQuicklyIsTakenInOrder(t *testing.T) {
	g := NewWithT(t)
	var taken []int // without a mutex: one at a time
	inTurn(100, time.Hour, func(step int) { taken = append(taken, step) })
	g.Expect(taken).To(HaveLen(100))
	for i, step := range taken {
		g.Expect(step).To(Equal(i))
	}
}

func TestAStepThatTakesLongKeepsNoOtherWaiting(t *testing.T) {
	g := NewWithT(t)
	var mu sync.Mutex
	var taken []int
	last := make(chan struct{})
	inTurn(3, time.Millisecond, func(step int) {
		switch step {
		case 0, 1:
			<-last // they hang until the last one is through
		case 2:
			close(last)
		}
		mu.Lock()
		defer mu.Unlock()
		taken = append(taken, step)
	})
	g.Expect(taken).To(ConsistOf(0, 1, 2), "all are waited for")
}

func TestStepsThatDependOnNoneOfThemselves(t *testing.T) {
	step := func(action Action, kind string, more ...func(*Step)) Step {
		s := Step{Action: action, Key: Key{GroupKind: schema.GroupKind{Group: "networking.istio.io", Kind: kind}}}
		for _, change := range more {
			change(&s)
		}
		return s
	}
	const service, rule = "VirtualService", "DestinationRule"
	spare := func(s *Step) { s.Spare = true }
	final := func(s *Step) { s.Stage = Final }
	for name, test := range map[string]struct {
		steps []Step
		want  int
	}{
		"one":                               {[]Step{step(Update, service)}, 1},
		"writes":                            {[]Step{step(Update, service), step(Create, service), step(Keep, service)}, 3},
		"a rule, and what may name it":      {[]Step{step(Update, rule), step(Update, service), step(Update, service)}, 1},
		"routes, and the rest of a rule":    {[]Step{step(Update, service), step(Update, service), step(Update, rule, final)}, 2},
		"what is rendered, and what leaves": {[]Step{step(Update, service), step(Delete, service)}, 1},
		"deletions":                         {[]Step{step(Delete, service), step(Orphan, service), step(Delete, rule)}, 2},
		"deletions in the place of others":  {[]Step{step(Delete, service), step(Delete, service, spare)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(independent(test.steps)).To(Equal(test.want))
		})
	}
}
