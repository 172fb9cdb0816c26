package routingpolicy

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clienttesting "k8s.io/client-go/testing"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/chart"
	"iter8.tools/operator/controllers/render"
)

// use puts a reason through what makes the conditions of a policy, as the phase of a condition does.
func use(s *scope, condition string, r iter8v1alpha1.Reason) {
	switch {
	case r.Name == "Skipped", r.Name == "Suspended":
		s.suspended = "suspended"
	case condition == "Ready" && r.Name == "Succeeded":
		through(s, phaseConditions...)
	case condition == "Contended":
		s.contended = "message"
	case condition == "Ready":
		s.interrupt(r.Name, "message")
	case condition == "Accepted" && r.Name == "NotAccepted":
		s.reports[condition] = report{status: metav1.ConditionFalse, byGateway: true, reason: r.Name, message: "message"}
	case r.Name == "Resolving", r.Name == "AwaitingReport", r.Name == "NotReported":
		s.reports[condition] = report{status: metav1.ConditionUnknown, reason: r.Name, message: "message"}
	case r.Recovery == iter8v1alpha1.NoRecovery:
		s.succeed(condition, r.Name, "message")
	default:
		s.fail(condition, r.Name, errors.New("message"))
	}
}

func TestAPolicyIsTreatedAsTheTableOfReasonsSays(t *testing.T) {
	type treatment struct{ stalled, reconciling, retried bool }
	treatments := map[iter8v1alpha1.Recovery]treatment{
		iter8v1alpha1.NoRecovery: {},
		iter8v1alpha1.Waits:      {reconciling: true},
		iter8v1alpha1.Retries:    {reconciling: true, retried: true},
		iter8v1alpha1.Stalls:     {stalled: true},
	}
	for _, r := range iter8v1alpha1.Reasons {
		for _, used := range r.Conditions {
			kind, condition, _ := strings.Cut(used, " ")
			if kind != "RoutingPolicy" {
				continue
			}
			t.Run(condition+" "+r.Name, func(t *testing.T) {
				g := NewWithT(t)
				want := treatments[r.Recovery]
				switch {
				case condition == "ChartResolved":
					want.retried = false // chart.Sources does, and enqueues the policy
				case r.Name == "AwaitingReport":
					want.reconciling = false // the gateway's silence is no failure
				}
				s := newScope(aPolicy(), now.Time)
				use(s, condition, r)
				conditions := s.conditions()
				c := meta.FindStatusCondition(conditions, condition)
				g.Expect(c).To(HaveField("Reason", r.Name))
				got := treatment{
					stalled:     meta.IsStatusConditionTrue(conditions, "Stalled"),
					reconciling: meta.IsStatusConditionTrue(conditions, "Reconciling"),
					retried:     s.err != nil,
				}
				g.Expect(got).To(Equal(want))
				ready := meta.FindStatusCondition(conditions, "Ready")
				if !got.stalled && !got.reconciling {
					g.Expect(ready.Status).To(Equal(metav1.ConditionTrue))
				} else {
					g.Expect(ready.Status).NotTo(Equal(metav1.ConditionTrue))
				}
			})
		}
	}
}

// What could not be applied is tried again with growing delays where it may pass by itself, and looked at again with each interval
// otherwise: what refused may be an admission policy.
func TestWhatCanNotBeAppliedIsTreatedAsTheTableOfReasonsSays(t *testing.T) {
	for name, test := range map[string]struct {
		recovery    iter8v1alpha1.Recovery
		retried     bool
		beside      string
		lookedAgain time.Duration
	}{
		"OwnershipConflict":    {iter8v1alpha1.Stalls, false, "Stalled", 10 * time.Minute},
		"Rejected":             {iter8v1alpha1.Stalls, false, "Stalled", 10 * time.Minute},
		"UnsupportedByCluster": {iter8v1alpha1.Stalls, false, "Stalled", 10 * time.Minute},
		"KindNotServed":        {iter8v1alpha1.Waits, false, "Reconciling", 10 * time.Minute},
		"Terminating":          {iter8v1alpha1.Waits, false, "Reconciling", 10 * time.Minute},
		"Forbidden":            {iter8v1alpha1.Retries, true, "Reconciling", 0},
		"ApplyFailed":          {iter8v1alpha1.Retries, true, "Reconciling", 0},
		"PruneFailed":          {iter8v1alpha1.Retries, true, "Reconciling", 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			row, _ := iter8v1alpha1.LookupReason(name)
			g.Expect(row.Recovery).To(Equal(test.recovery))
			s := newScope(aPolicy(), now.Time)
			through(s, "ChartResolved", "Rendered")
			s.recordResult(apply.Result{Failures: []apply.Failure{{Reason: name, Message: "HTTPRoute web: no"}}})
			result, err := s.end()
			if test.retried {
				g.Expect(err).To(MatchError("HTTPRoute web: no"))
			} else {
				g.Expect(err).NotTo(HaveOccurred())
			}
			g.Expect(result.RequeueAfter).To(Equal(test.lookedAgain))
			conditions := s.conditions()
			g.Expect(meta.FindStatusCondition(conditions, "Applied")).To(And(HaveField("Reason", name), HaveField("Message", "HTTPRoute web: no")))
			g.Expect(meta.FindStatusCondition(conditions, test.beside)).To(HaveField("Reason", name))
		})
	}
}

func TestWhatPassesIsTriedAgain(t *testing.T) {
	unwell := served(gateway())
	unwell.PrependReactor("get", "group", func(clienttesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewServiceUnavailable("starting")
	})
	for name, test := range map[string]struct {
		reconciler *Reconciler
		reason     string
	}{
		"the apiserver doesn't say what it serves": {&Reconciler{Renders: render.NewMemory(render.NewRenderer()), Capabilities: NewCapabilities(unwell, routeKinds, ignore)}, "DiscoveryFailed"},
		"no process can be started to render":      {rendering(&answering{err: render.ErrUnavailable}), "RenderUnavailable"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := scopeOf(templated("web"))
			g.Expect(s.run(t.Context(), test.reconciler.request, test.reconciler.render)).To(Equal(conclude))
			g.Expect(s.reports["Rendered"].reason).To(Equal(test.reason))
			g.Expect(s.err).To(MatchError(s.reports["Rendered"].message))
			conditions := s.conditions()
			g.Expect(meta.FindStatusCondition(conditions, "Reconciling")).To(HaveField("Reason", test.reason))
			g.Expect(meta.FindStatusCondition(conditions, "Stalled")).To(BeNil())
		})
	}
}

// Statuses as an earlier operator wrote them, which knew of no mirrors but those that stand, and other names for some reasons.
const (
	healthy = `{
  "observedGeneration": 3,
  "chart": {"name": "mirror", "version": "0.1.0", "digest": "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"},
  "variants": [{"name": "v1", "available": true}, {"name": "v2", "available": true}],
  "mirrors": [{"route": "HTTPRoute/web", "to": "web-v2", "percent": "100"}],
  "mirrorTargets": "web-v2",
  "applied": [{"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "name": "web", "uid": "5c9fd9bc-b3a5-4cd5-a9b6-3d4d7a6c1c53", "generation": 2, "digest": "sha256:0f"}],
  "conditions": [
    {"type": "ChartResolved", "status": "True", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Succeeded", "message": "chart mirror, version 0.1.0"},
    {"type": "Rendered", "status": "True", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:01Z", "reason": "Succeeded", "message": "1 object rendered"},
    {"type": "Applied", "status": "True", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:02Z", "reason": "Succeeded", "message": "1 object applied"},
    {"type": "Accepted", "status": "Unknown", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:03Z", "reason": "NotReported", "message": "HTTPRoute web names no parentRefs, so no gateway reports on it"},
    {"type": "Ready", "status": "True", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:04Z", "reason": "Succeeded", "message": "1 object applied for v1 available, v2 available"}
  ]
}`
	mistaken = `{
  "observedGeneration": 3,
  "conditions": [
    {"type": "ChartResolved", "status": "Unknown", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:00Z", "reason": "Skipped", "message": "not tried, because of UnknownVariant"},
    {"type": "Rendered", "status": "Unknown", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:01Z", "reason": "Skipped", "message": "not tried, because of UnknownVariant"},
    {"type": "Applied", "status": "Unknown", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:02Z", "reason": "Skipped", "message": "not tried, because of UnknownVariant"},
    {"type": "Accepted", "status": "Unknown", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:03Z", "reason": "Skipped", "message": "not tried, because of UnknownVariant"},
    {"type": "Ready", "status": "False", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:04Z", "reason": "UnknownVariant", "message": "no v9"},
    {"type": "Stalled", "status": "True", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:05Z", "reason": "UnknownVariant", "message": "no v9"}
  ]
}`
)

func TestAStatusThatAnEarlierOperatorWroteGoesOn(t *testing.T) {
	stored := func(t *testing.T, text string) *scope {
		t.Helper()
		policy := aPolicy()
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.DisallowUnknownFields()
		NewWithT(t).Expect(decoder.Decode(&policy.Status)).To(Succeed())
		return newScope(policy, now.Time)
	}
	t.Run("of a healthy policy, to the letter but for what it says in addition", func(t *testing.T) {
		g := NewWithT(t)
		s := stored(t, healthy)
		s.subject, s.known = aSubject(), []iter8v1alpha1.KnownVariant{{Name: "v1", Available: true}, {Name: "v2", Available: true}}
		s.state.Chart = &chart.Chart{Resolved: *s.policy.Status.Chart.DeepCopy()}
		s.manifests = append(s.manifests, manifest(t, aRoute("web", "")))
		s.mirrors = s.policy.Status.DeepCopy().Mirrors
		s.result = &apply.Result{Inventory: s.policy.Status.DeepCopy().Applied}
		s.succeed("ChartResolved", "Succeeded", "chart mirror, version 0.1.0")
		s.succeed("Rendered", "Succeeded", "1 object rendered")
		s.succeed("Applied", "Succeeded", "1 object applied")
		s.reports["Accepted"] = report{status: metav1.ConditionUnknown, reason: "NotReported", message: "HTTPRoute web names no parentRefs, so no gateway reports on it"}
		want := s.policy.Status.DeepCopy()
		want.Subject = &iter8v1alpha1.ObservedSubject{Name: "web", Namespace: "test", UID: "subject-uid"}
		status := s.status()
		g.Expect(status.AppliedSpec).To(HaveField("Generation", BeEquivalentTo(3)))
		status.AppliedSpec = nil
		g.Expect(status).To(Equal(want))
		written, err := json.Marshal(status)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(written).To(MatchJSON(strings.Replace(healthy, `"variants"`, `"subject": {"name": "web", "namespace": "test", "uid": "subject-uid"}, "variants"`, 1)))
	})
	t.Run("of one whose reason has another name by now, with its times", func(t *testing.T) {
		g := NewWithT(t)
		s := stored(t, mistaken)
		s.interrupt("VariantNotFound", "no v9")
		want := s.policy.Status.DeepCopy()
		for i := range want.Conditions {
			c := &want.Conditions[i]
			c.Reason = strings.ReplaceAll(c.Reason, "UnknownVariant", "VariantNotFound")
			c.Message = strings.ReplaceAll(c.Message, "UnknownVariant", "VariantNotFound")
		}
		g.Expect(s.status()).To(Equal(want))
	})
}
