package crash

import (
	"context"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"iter8.tools/operator/test/env"
)

// gap is a network that lets no watch of routes through until it is over. Then the apiserver doesn't remember any more what has happened
// meanwhile.
type gap struct {
	over chan struct{}
	told atomic.Bool
}

func (g *gap) hook(ctx context.Context, r env.Request) env.Verdict {
	if r.Resource != "httproutes" || r.Verb != "watch" {
		return env.Verdict{}
	}
	select {
	case <-g.over:
		if g.told.CompareAndSwap(false, true) {
			return env.Verdict{Refuse: http.StatusGone}
		}
		return env.Verdict{}
	default:
	}
	if strings.Contains(r.URI, "sendInitialEvents=true") { // a list takes its place
		return env.Verdict{Refuse: http.StatusUnprocessableEntity}
	}
	select {
	case <-g.over:
		g.told.Store(true)
		return env.Verdict{Refuse: http.StatusGone}
	case <-ctx.Done():
		return env.Verdict{Drop: true}
	}
}

func TestARouteThatWasMadeAndDeletedInAGapOfTheWatchIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, goes := range map[string]func(*scene){
		"it is deleted": func(s *scene) {
			s.Expect(k8s.Delete(s.Context(), &gatewayv1.HTTPRoute{ObjectMeta: s.meta("web")})).To(Succeed())
		},
		"it is deleted after it was changed": func(s *scene) {
			route := &gatewayv1.HTTPRoute{ObjectMeta: s.meta("web")}
			patch(s, route, func(r *gatewayv1.HTTPRoute) { r.Spec.Hostnames = []gatewayv1.Hostname{"example.com"} })
			s.Expect(k8s.Delete(s.Context(), route)).To(Succeed())
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, g := mirrored(t), &gap{over: make(chan struct{})}
			end := sync.OnceFunc(func() { close(g.over) })
			defer end()
			operator := s.start(g.hook, alone)
			s.Eventually(s.arrived("app", mirrors)).Should(Succeed())
			made := len(operator.writes())
			goes(s)
			end()
			s.Eventually(s.arrived("app", mirrors), overWithin).Should(Succeed())
			s.Eventually(operator.writes).Should(HaveLen(made + 2))
			s.Expect(operator.writes()[made:]).To(Equal([]string{
				"patch httproutes " + s.namespace + "/web", "patch routingpolicies/status " + s.namespace + "/app"}))
		})
	}
}

// TestALookThatNothingTellsOfCostsNothing has an operator look at everything all the time.
func TestALookThatNothingTellsOfCostsNothing(t *testing.T) {
	t.Parallel()
	s := mirrored(t)
	operator := s.start(nil, alone, "--resync-interval=100ms")
	s.Eventually(s.arrived("app", mirrors)).Should(Succeed())
	s.Eventually(s.subjectSays).Should(Equal("True Observed"))
	count := func() int {
		return len(operator.proxy.Requests(func(r env.Request) bool { return r.Resource != "" && r.Verb != "watch" && r.Resource != "events" }))
	}
	settled := count()
	s.Eventually(func() bool { before := settled; settled = count(); return before == settled }, "20s", "2s").Should(BeTrue())
	s.Consistently(count, "5s").Should(Equal(settled), "of some fifty looks")

	s.Expect(k8s.Delete(s.Context(), &gatewayv1.HTTPRoute{ObjectMeta: s.meta("web")})).To(Succeed())
	s.Eventually(s.arrived("app", mirrors)).Should(Succeed(), "it is at work")
}
