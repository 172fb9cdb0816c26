package routingpolicy

import (
	"errors"
	"fmt"
	"testing"

	. "github.com/onsi/gomega"
	helmchart "helm.sh/helm/v3/pkg/chart"
	"k8s.io/apimachinery/pkg/api/meta"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/chart"
	"iter8.tools/operator/controllers/render"
)

// answering is a worker with one answer to all it is asked.
type answering struct {
	err   error
	asked int
}

func (a *answering) Render(request render.Request) ([]byte, error) {
	a.asked++
	if a.err != nil {
		return nil, a.err
	}
	return render.NewRenderer().Render(request)
}

func rendering(worker render.Worker) *Reconciler {
	return &Reconciler{Renders: render.NewMemory(worker), Capabilities: NewCapabilities(served(gateway()), routeKinds, ignore)}
}

func TestWhatTheWorkerAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		err     error
		outcome outcome
		reason  string
		stalled bool
		retried bool
	}{
		"nothing yet":                  {err: render.ErrPending, outcome: hold},
		"nothing now":                  {err: render.ErrUnavailable, outcome: conclude, reason: iter8v1alpha1.ReasonRenderUnavailable, retried: true},
		"that a limit is hit":          {err: render.ErrLimit, outcome: conclude, reason: iter8v1alpha1.ReasonRenderLimit, stalled: true},
		"that it isn't the same":       {err: render.ErrNonDeterministic, outcome: conclude, reason: iter8v1alpha1.ReasonNonDeterministic, stalled: true},
		"that values are wrong":        {err: render.ErrInvalidValues, outcome: conclude, reason: iter8v1alpha1.ReasonInvalidValues, stalled: true},
		"that something else is":       {err: errors.New("oh"), outcome: conclude, reason: iter8v1alpha1.ReasonRenderFailed, stalled: true},
		"with manifests, and all good": {outcome: advance},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			if test.err != nil {
				test.err = fmt.Errorf("wrapped: %w", test.err)
			}
			s := scopeOf(templated("web"))
			g.Expect(rendering(&answering{err: test.err}).render(t.Context(), s)).To(Equal(test.outcome))
			g.Expect(s.reports[iter8v1alpha1.ConditionRendered].reason).To(Equal(test.reason))
			g.Expect(meta.IsStatusConditionTrue(s.conditions(), iter8v1alpha1.ConditionStalled)).To(Equal(test.stalled))
			g.Expect(s.err != nil).To(Equal(test.retried))
		})
	}
}

func TestOnlyWhatIsBuiltInIsRenderedByTheOperator(t *testing.T) {
	resolved := &chart.Chart{Helm: &helmchart.Chart{Metadata: &helmchart.Metadata{Name: "web"}}}
	for name, test := range map[string]struct {
		spec  func(*iter8v1alpha1.RoutingPolicySpec)
		asked int
	}{
		"a policy's own templates": {func(*iter8v1alpha1.RoutingPolicySpec) {}, 1},
		"a chart from a repository": {func(spec *iter8v1alpha1.RoutingPolicySpec) {
			spec.Templates, spec.Chart = nil, &iter8v1alpha1.ChartReference{Repository: "https://example.com", Name: "web"}
		}, 1},
		"a chart that is built in": {func(spec *iter8v1alpha1.RoutingPolicySpec) {
			spec.Templates, spec.Chart = nil, &iter8v1alpha1.ChartReference{Name: "web"}
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			policy := templated("web")
			test.spec(&policy.Spec)
			s := scopeOf(policy)
			if policy.Spec.Chart != nil {
				s.state.Chart = resolved
			}
			worker := &answering{}
			r := rendering(worker)
			g.Expect(s.run(t.Context(), r.request, r.render)).To(Equal(advance))
			g.Expect(worker.asked).To(Equal(test.asked))
		})
	}
}
