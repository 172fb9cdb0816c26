package subject

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/observe"
)

var (
	then  = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	now   = metav1.NewTime(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
	later = metav1.NewTime(time.Date(2026, 1, 3, 0, 0, 0, 0, time.UTC))
)

// variant in the state of the worst of its problems, as the observer gives it.
func variant(name string, state observe.ResourceState, problems ...observe.Problem) observe.Variant {
	return observe.Variant{Name: name, State: state, Problems: problems}
}

func problem(state observe.ResourceState, message string) observe.Problem {
	return observe.Problem{State: state, Message: message}
}

func observation(variants ...observe.Variant) observe.Observation {
	return observe.Observation{Variants: variants}
}

func subject() *iter8v1alpha1.Subject {
	return &iter8v1alpha1.Subject{ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "web", Generation: 3}}
}

func TestWhatIsReportedOfAVariant(t *testing.T) {
	for name, test := range map[string]struct {
		variant observe.Variant
		want    iter8v1alpha1.VariantStatus
	}{
		"it is available":       {variant("v1", observe.Ready), iter8v1alpha1.VariantStatus{Available: metav1.ConditionTrue, Reason: "Available"}},
		"a resource is missing": {variant("v1", observe.Missing, problem(observe.Missing, "Service a does not exist")), iter8v1alpha1.VariantStatus{Available: metav1.ConditionFalse, Reason: "NotFound", Message: "Service a does not exist"}},
		"a resource lacks the label": {variant("v1", observe.Unlabelled, problem(observe.Unlabelled, "Service a has no label")),
			iter8v1alpha1.VariantStatus{Available: metav1.ConditionFalse, Reason: "LabelMissing", Message: "Service a has no label"}},
		"a resource is being deleted": {variant("v1", observe.Terminating, problem(observe.Terminating, "Service a is being deleted")),
			iter8v1alpha1.VariantStatus{Available: metav1.ConditionFalse, Reason: "Terminating", Message: "Service a is being deleted"}},
		"a resource isn't ready": {variant("v1", observe.NotReady, problem(observe.NotReady, "Service a has no ready endpoint")),
			iter8v1alpha1.VariantStatus{Available: metav1.ConditionFalse, Reason: "NotReady", Message: "Service a has no ready endpoint"}},
		"a resource can't be read": {variant("v1", observe.Unknown, problem(observe.Unknown, "Thing a can't be read")),
			iter8v1alpha1.VariantStatus{Available: metav1.ConditionUnknown, Reason: "Unknown", Message: "Thing a can't be read"}},
		"a resource can't work": {variant("v1", observe.Invalid, problem(observe.Invalid, "Node a is cluster-scoped")),
			iter8v1alpha1.VariantStatus{Available: metav1.ConditionUnknown, Reason: "InvalidResource", Message: "Node a is cluster-scoped"}},
		"a resource is of one kind too many": {variant("v1", observe.Excess, problem(observe.Excess, "Thing a can't be watched")),
			iter8v1alpha1.VariantStatus{Available: metav1.ConditionUnknown, Reason: "TooManyKinds", Message: "Thing a can't be watched"}},
		"several resources aren't ready": {variant("v1", observe.Missing, problem(observe.NotReady, "Service a isn't"), problem(observe.Missing, "Service b isn't there")),
			iter8v1alpha1.VariantStatus{Available: metav1.ConditionFalse, Reason: "NotFound", Message: "Service a isn't; Service b isn't there"}},
		"a kind can't be watched any more": {
			observe.Variant{Name: "v1", State: observe.NotReady, Stale: []string{"Service a is judged as last seen: no"}, Problems: []observe.Problem{problem(observe.NotReady, "Service a isn't ready")}},
			iter8v1alpha1.VariantStatus{Available: metav1.ConditionFalse, Reason: "NotReady", Message: "Service a is judged as last seen: no; Service a isn't ready"}},
		"it is available, and a kind can't be watched any more": {
			observe.Variant{Name: "v1", State: observe.Ready, Stale: []string{"Service a is judged as last seen: no"}},
			iter8v1alpha1.VariantStatus{Available: metav1.ConditionTrue, Reason: "Available", Message: "Service a is judged as last seen: no"}},
	} {
		t.Run(name, func(t *testing.T) {
			status := statusOf(subject(), observation(test.variant), now)
			test.want.Name, test.want.LastTransitionTime = "v1", now
			NewWithT(t).Expect(status.Variants).To(Equal([]iter8v1alpha1.VariantStatus{test.want}))
		})
	}
}

func TestAvailableVariantsAreCountedAndNamed(t *testing.T) {
	missing := func(name string) observe.Variant {
		return variant(name, observe.Missing, problem(observe.Missing, "a does not exist"))
	}
	for name, test := range map[string]struct {
		observation  observe.Observation
		count, names string
	}{
		"none of none":           {observation(), "0/0", ""},
		"none of two":            {observation(missing("v1"), missing("v2")), "0/2", ""},
		"one of two":             {observation(missing("v1"), variant("v2", observe.Ready)), "1/2", "v2"},
		"all, in their order":    {observation(variant("v2", observe.Ready), variant("v1", observe.Ready)), "2/2", "v2,v1"},
		"what is unknown is not": {observation(variant("v1", observe.Ready), variant("v2", observe.Unknown, problem(observe.Unknown, "x"))), "1/2", "v1"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			status := statusOf(subject(), test.observation, now)
			g.Expect(status.Available).To(Equal(test.count))
			g.Expect(status.AvailableVariants).To(Equal(test.names))
			g.Expect(status.ObservedGeneration).To(BeEquivalentTo(3))
			g.Expect(status.Variants).To(HaveLen(len(test.observation.Variants)))
		})
	}
}

func TestTheConditionsOfASubject(t *testing.T) {
	var (
		ready       = variant("v1", observe.Ready)
		missing     = variant("v2", observe.Missing, problem(observe.Missing, "Service a does not exist"))
		notReady    = variant("v3", observe.NotReady, problem(observe.NotReady, "Service c has no ready endpoint"))
		terminating = variant("v4", observe.Terminating, problem(observe.Terminating, "Service d is being deleted"))
		invalid     = variant("v5", observe.Invalid, problem(observe.Invalid, "Node n is cluster-scoped"))
		unknown     = variant("v6", observe.Unknown, problem(observe.Unknown, "Thing t can't be read"))
		unlabelled  = variant("v7", observe.Unlabelled, problem(observe.Unlabelled, "Service u has no label"))
		excess      = variant("v10", observe.Excess, problem(observe.Excess, "Thing x can't be watched"))
		stale       = observe.Variant{Name: "v8", State: observe.Ready, Stale: []string{"Service s is judged as last seen: no", "Service t is judged as last seen: no"}}
		mixed       = variant("v9", observe.Missing, problem(observe.Invalid, "Node m is cluster-scoped"), problem(observe.Unknown, "Thing m can't be read"), problem(observe.Missing, "Service m does not exist"))
	)
	for name, test := range map[string]struct {
		observation observe.Observation
		ready       metav1.ConditionStatus
		reason      string
		message     string
		other       string
	}{
		"all variants are available": {observation(ready), metav1.ConditionTrue, "Observed", "all variants are available", ""},
		"there are no variants":      {observation(), metav1.ConditionTrue, "Observed", "all variants are available", ""},
		"a variant isn't available, and is observed all the same": {
			observation(ready, missing), metav1.ConditionTrue, "Observed", "variant v2 is not available: Service a does not exist", ""},
		"several aren't, of which the first is named": {
			observation(notReady, terminating, missing), metav1.ConditionTrue, "Observed", "variant v3 is not available: Service c has no ready endpoint", ""},
		"a label is missing": {
			observation(missing, unlabelled), metav1.ConditionFalse, "LabelMissing", "variant v7: Service u has no label", "Reconciling"},
		"a resource is unknown, which goes before a label that is missing": {
			observation(unlabelled, unknown), metav1.ConditionFalse, "WatchFailed", "variant v6: Thing t can't be read", "Reconciling"},
		"a kind is one too many, which goes before what is unknown": {
			observation(unknown, excess), metav1.ConditionFalse, "TooManyKinds", "variant v10: Thing x can't be watched", "Reconciling"},
		"a reference can't work, which goes before all": {
			observation(unlabelled, unknown, excess, invalid, missing), metav1.ConditionFalse, "InvalidResource", "variant v5: Node n is cluster-scoped", "Stalled"},
		"a reference of a variant that isn't available for another reason can't work": {
			observation(mixed), metav1.ConditionFalse, "InvalidResource", "variant v9: Node m is cluster-scoped", "Stalled"},
		"several references can't work": {
			observation(invalid, mixed), metav1.ConditionFalse, "InvalidResource", "variant v5: Node n is cluster-scoped; variant v9: Node m is cluster-scoped", "Stalled"},
		"a kind can't be watched any more": {
			observation(missing, stale), metav1.ConditionFalse, "WatchFailed", "variant v8: Service s is judged as last seen: no; Service t is judged as last seen: no", "Reconciling"},
		"a label is missing, which goes before what is stale": {
			observation(stale, unlabelled), metav1.ConditionFalse, "LabelMissing", "variant v7: Service u has no label", "Reconciling"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			condition := func(kind string, status metav1.ConditionStatus) metav1.Condition {
				return metav1.Condition{Type: kind, Status: status, Reason: test.reason, Message: test.message, ObservedGeneration: 3, LastTransitionTime: now}
			}
			want := []metav1.Condition{condition("Ready", test.ready)}
			if test.other != "" {
				want = append(want, condition(test.other, metav1.ConditionTrue))
			}
			g.Expect(statusOf(subject(), test.observation, now).Conditions).To(Equal(want))
		})
	}
}

func TestTimesAreThoseOfTheLastTransitions(t *testing.T) {
	g := NewWithT(t)
	unready := variant("v2", observe.NotReady, problem(observe.NotReady, "Service a has no ready endpoint"))
	gone := variant("v2", observe.Missing, problem(observe.Missing, "Service a does not exist"))
	s := subject()
	s.Status = *statusOf(s, observation(variant("v1", observe.Ready), unready), then)

	s.Status = *statusOf(s, observation(variant("v1", observe.Ready), gone), now)
	g.Expect(s.Status.Variants[1].Reason).To(Equal("NotFound"))
	g.Expect(s.Status.Variants).To(HaveEach(HaveField("LastTransitionTime", then)), "neither has become available or ceased to be")

	s.Status = *statusOf(s, observation(variant("v2", observe.Ready), variant("v1", observe.Ready), variant("v3", observe.Ready)), later)
	g.Expect(s.Status.Variants).To(HaveExactElements(
		And(HaveField("Name", "v2"), HaveField("LastTransitionTime", later)),
		And(HaveField("Name", "v1"), HaveField("LastTransitionTime", then)),
		And(HaveField("Name", "v3"), HaveField("LastTransitionTime", later)),
	), "a variant is known by its name, whatever its place")
	g.Expect(s.Status.Conditions).To(HaveEach(HaveField("LastTransitionTime", then)), "Ready was True all the time")

	s.Status = *statusOf(s, observation(variant("v1", observe.Ready)), later)
	g.Expect(s.Status.Variants).To(HaveLen(1))
	s.Status = *statusOf(s, observation(variant("v1", observe.Ready), variant("v2", observe.Ready)), now)
	g.Expect(s.Status.Variants[1].LastTransitionTime).To(Equal(now), "what was forgotten is new")
}

func TestAStatusIsTheSameOnTheNextRun(t *testing.T) {
	for name, observed := range map[string]observe.Observation{
		"all is well":      observation(variant("v1", observe.Ready)),
		"something is not": observation(variant("v1", observe.Missing, problem(observe.Missing, "a")), variant("v2", observe.Unknown, problem(observe.Unknown, "b"))),
		"messages that are too long": observation(
			variant("v1", observe.Invalid, problem(observe.Invalid, strings.Repeat("ä", 40000))), variant("v2", observe.Ready)),
		"nothing": observation(),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := subject()
			s.Status = *statusOf(s, observed, then)
			before := s.DeepCopy()
			g.Expect(equality.Semantic.DeepEqual(statusOf(s, observed, now), &s.Status)).To(BeTrue(), "so that nothing is written at rest")
			g.Expect(s).To(Equal(before), "the Subject is changed")
		})
	}
}

func TestMessagesAreKeptToWhatTheAPIAllows(t *testing.T) {
	g := NewWithT(t)
	var problems []observe.Problem
	for range 16 {
		problems = append(problems, problem(observe.Invalid, strings.Repeat("x", 4000)))
	}
	status := statusOf(subject(), observation(variant("v1", observe.Invalid, problems...)), now)
	g.Expect(status.Variants[0].Message).To(HaveLen(4096))
	g.Expect(status.Variants[0].Message).To(HaveSuffix("x..."))
	g.Expect(status.Conditions).To(HaveEach(HaveField("Message", And(HaveLen(4096), HaveSuffix("...")))))
}

func TestAStatusIsBoundedInBytes(t *testing.T) {
	const bound = 65536
	for name, test := range map[string]struct {
		letter string
		want   int
	}{
		"the longest messages":                    {"m", 2048},
		"the longest messages of what is escaped": {"<", 512},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var variants []observe.Variant
			for i := range 16 {
				variants = append(variants, variant(fmt.Sprintf("%063d", i), observe.Invalid, problem(observe.Invalid, strings.Repeat(test.letter, 5000))))
			}
			status := statusOf(subject(), observation(variants...), now)
			data, err := json.Marshal(status)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(len(data)).To(BeNumerically("<=", bound))
			g.Expect(status.Variants).To(HaveLen(16))
			g.Expect(status.Variants).To(HaveEach(HaveField("Message", And(HaveLen(test.want), HaveSuffix("...")))))
			g.Expect(status.Conditions).To(HaveEach(HaveField("Message", And(HaveLen(test.want), HaveSuffix("...")))))
		})
	}
}

func TestASubjectIsTreatedAsTheTableOfReasonsSays(t *testing.T) {
	others := map[iter8v1alpha1.Recovery][]string{
		iter8v1alpha1.NoRecovery: {"Ready True"},
		iter8v1alpha1.Waits:      {"Ready False", "Reconciling True"},
		iter8v1alpha1.Stalls:     {"Ready False", "Stalled True"},
	}
	for _, r := range iter8v1alpha1.Reasons {
		if !slices.Contains(r.Conditions, "Subject Ready") {
			continue
		}
		t.Run(r.Name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(others).To(HaveKey(r.Recovery), "the reconciler only ever waits; the observer tries again")
			var got []string
			for _, c := range conditionsOf(summary{r.Name, "message"}) {
				g.Expect(c.Reason).To(Equal(r.Name))
				got = append(got, c.Type+" "+string(c.Status))
			}
			g.Expect(got).To(Equal(others[r.Recovery]))
		})
	}
}

func TestTheReasonsOfVariantsAreThoseOfTheTable(t *testing.T) {
	var used, listed []string
	for state := observe.Ready; state <= observe.Excess; state++ {
		used = append(used, reasonOf(state))
	}
	for _, r := range iter8v1alpha1.Reasons {
		if slices.Contains(r.Conditions, "variant") {
			listed = append(listed, r.Name)
		}
	}
	NewWithT(t).Expect(used).To(ConsistOf(listed))
}

func TestAStatusThatAnEarlierOperatorWroteGoesOn(t *testing.T) {
	for name, test := range map[string]struct {
		stored      string
		observation observe.Observation
	}{
		"all is well": {`{
  "observedGeneration": 3, "available": "2/2", "availableVariants": "v1,v2",
  "variants": [
    {"name": "v1", "available": "True", "reason": "Available", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    {"name": "v2", "available": "True", "reason": "Available", "lastTransitionTime": "2026-01-01T00:00:01Z"}
  ],
  "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:02Z", "reason": "Observed", "message": "all variants are available"}]
}`, observation(variant("v1", observe.Ready), variant("v2", observe.Ready))},
		"a variant is not there": {`{
  "observedGeneration": 3, "available": "1/2", "availableVariants": "v1",
  "variants": [
    {"name": "v1", "available": "True", "reason": "Available", "lastTransitionTime": "2026-01-01T00:00:00Z"},
    {"name": "v2", "available": "False", "reason": "NotFound", "message": "Service web-v2 does not exist", "lastTransitionTime": null}
  ],
  "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:02Z", "reason": "Observed", "message": "variant v2 is not available: Service web-v2 does not exist"}]
}`, observation(variant("v1", observe.Ready), variant("v2", observe.Missing, problem(observe.Missing, "Service web-v2 does not exist")))},
		"a reference can't work": {`{
  "observedGeneration": 3, "available": "0/1",
  "variants": [{"name": "v1", "available": "Unknown", "reason": "InvalidResource", "message": "Node a is cluster-scoped", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
  "conditions": [
    {"type": "Ready", "status": "False", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:01Z", "reason": "InvalidResource", "message": "variant v1: Node a is cluster-scoped"},
    {"type": "Stalled", "status": "True", "observedGeneration": 3, "lastTransitionTime": "2026-01-01T00:00:02Z", "reason": "InvalidResource", "message": "variant v1: Node a is cluster-scoped"}
  ]
}`, observation(variant("v1", observe.Invalid, problem(observe.Invalid, "Node a is cluster-scoped")))},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := subject()
			decoder := json.NewDecoder(strings.NewReader(test.stored))
			decoder.DisallowUnknownFields()
			g.Expect(decoder.Decode(&s.Status)).To(Succeed())
			status := statusOf(s, test.observation, now)
			g.Expect(equality.Semantic.DeepEqual(status, &s.Status)).To(BeTrue(), "so that nothing is written")
			written, err := json.Marshal(status)
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(written).To(MatchJSON(test.stored))
		})
	}
}
