package routingpolicy

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/observe"
)

// aPolicy on the Subject web, triggered by some variants, or by all where none is named.
func aPolicy(trigger ...string) *iter8v1alpha1.RoutingPolicy {
	policy := &iter8v1alpha1.RoutingPolicy{
		ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "policy", UID: "policy-uid", Generation: 3},
		Spec:       iter8v1alpha1.RoutingPolicySpec{SubjectRef: iter8v1alpha1.SubjectReference{Name: "web"}},
	}
	if trigger != nil {
		policy.Spec.Trigger = &iter8v1alpha1.Trigger{Variants: trigger}
	}
	return policy
}

// aSubject named web with variants.
func aSubject(variants ...iter8v1alpha1.Variant) *iter8v1alpha1.Subject {
	return &iter8v1alpha1.Subject{
		ObjectMeta: metav1.ObjectMeta{Namespace: "test", Name: "web", UID: "subject-uid"},
		Spec:       iter8v1alpha1.SubjectSpec{Variants: variants},
	}
}

func observed(name string, state observe.ResourceState, problem string) observe.Variant {
	v := observe.Variant{Name: name, State: state}
	if problem != "" {
		v.Problems = []observe.Problem{{State: state, Message: problem}}
	}
	return v
}

func TestTheStateOfEachVariant(t *testing.T) {
	const (
		available, not     = mirrors.Available, mirrors.NotAvailable
		grace, unknown     = mirrors.UnknownAvailable, mirrors.Unknown
		counts, lastKnown  = "variant v2 counts as available, as it was last known: ", "variant v2 counts as not available, as it was last known: "
		cantBeRead, cannot = "Thing a can't be read", "Node a is cluster-scoped"
	)
	since := func(ago time.Duration) *metav1.Time { at := metav1.NewTime(now.Add(-ago)); return &at }
	known := func(available bool, unknownSince *metav1.Time) *iter8v1alpha1.KnownVariant {
		return &iter8v1alpha1.KnownVariant{Name: "v2", Available: available, UnknownSince: unknownSince}
	}
	unread := observed("v2", observe.Unknown, cantBeRead)
	stale := observe.Variant{Name: "v2", State: observe.Ready, UnreadableSince: now.Add(-time.Second), Stale: []string{"Thing a is judged as last seen: oh"}}
	longStale := stale
	longStale.UnreadableSince = now.Add(-time.Hour)
	staleAndMissing := observed("v2", observe.Missing, "Service a does not exist")
	staleAndMissing.UnreadableSince = now.Add(-time.Second)
	for name, test := range map[string]struct {
		observed observe.Variant
		was      *iter8v1alpha1.KnownVariant
		subject  types.UID
		state    mirrors.State
		keeps    iter8v1alpha1.KnownVariant
		unknown  string
	}{
		"it is available":                                   {observed("v2", observe.Ready, ""), nil, "", available, *known(true, nil), ""},
		"it isn't":                                          {observed("v2", observe.Missing, "x"), nil, "", not, *known(false, nil), ""},
		"it isn't any more":                                 {observed("v2", observe.NotReady, "x"), known(true, nil), "subject-uid", not, *known(false, nil), ""},
		"it is available again":                             {observed("v2", observe.Ready, ""), known(true, since(time.Hour)), "subject-uid", available, *known(true, nil), ""},
		"it can't be read, and was":                         {unread, known(true, nil), "subject-uid", grace, *known(true, since(0)), counts + cantBeRead},
		"it can't be read for a while, and was":             {unread, known(true, since(30*time.Second)), "subject-uid", grace, *known(true, since(30*time.Second)), counts + cantBeRead},
		"it can't be read for too long, and was":            {unread, known(true, since(time.Minute)), "subject-uid", unknown, *known(true, since(time.Minute)), counts + cantBeRead},
		"it can't be read, and wasn't":                      {unread, known(false, nil), "subject-uid", unknown, *known(false, since(0)), lastKnown + cantBeRead},
		"it can't be read, and never was":                   {unread, nil, "subject-uid", unknown, *known(false, since(0)), lastKnown + cantBeRead},
		"it can't be read, and was of another Subject":      {unread, known(true, nil), "another-uid", unknown, *known(false, since(0)), lastKnown + cantBeRead},
		"it can't be read, and was of an unknown Subject":   {unread, known(true, nil), "", unknown, *known(false, since(0)), lastKnown + cantBeRead},
		"it can't work, and was":                            {observed("v2", observe.Invalid, cannot), known(true, nil), "subject-uid", grace, *known(true, since(0)), counts + cannot},
		"it was seen available, and can't be read any more": {stale, nil, "", grace, *known(true, since(time.Second)), counts + "Thing a is judged as last seen: oh"},
		"it was seen available, and can't be read for long": {longStale, nil, "", unknown, *known(true, since(time.Hour)), counts + "Thing a is judged as last seen: oh"},
		"it was unknown before it was seen":                 {stale, known(true, since(2*time.Minute)), "subject-uid", unknown, *known(true, since(2*time.Minute)), counts + "Thing a is judged as last seen: oh"},
		"it certainly isn't, and something can't be read":   {staleAndMissing, known(true, nil), "subject-uid", not, *known(false, nil), ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScope(aPolicy(), now.Time)
			if test.was != nil {
				s.policy.Status.Variants = []iter8v1alpha1.KnownVariant{*test.was}
			}
			if test.subject != "" {
				s.policy.Status.Subject = &iter8v1alpha1.ObservedSubject{Name: "web", Namespace: "test", UID: test.subject}
			}
			s.subject = aSubject(iter8v1alpha1.Variant{Name: "v2"})
			s.observation = observe.Observation{Variants: []observe.Variant{test.observed}}
			policy, subject := s.policy.DeepCopy(), s.subject.DeepCopy()
			g.Expect((&Reconciler{UnknownGrace: time.Minute}).trigger(t.Context(), s)).To(Equal(advance))
			g.Expect(s.state.Variants).To(HaveExactElements(And(HaveField("State", test.state), HaveField("LastAvailable", test.keeps.Available))))
			g.Expect(equality.Semantic.DeepEqual(s.known, []iter8v1alpha1.KnownVariant{test.keeps})).To(BeTrue(), "%v", s.known)
			g.Expect(s.stateUnknown).To(Equal(test.unknown))
			if test.state == grace {
				g.Expect(s.due).To(BeTemporally(">", now.Time), "the end of the grace is no event")
			} else {
				g.Expect(s.due).To(BeZero())
			}
			g.Expect(s.policy).To(Equal(policy), "the policy is changed")
			g.Expect(s.subject).To(Equal(subject), "the Subject is changed")
		})
	}
}

// Just after a start, and for a Subject that is new, the first lists aren't through.
func TestAVariantThatIsBeingReadCountsAsLastKnown(t *testing.T) {
	ago := func(d time.Duration) *metav1.Time { at := metav1.NewTime(now.Add(-d)); return &at }
	for name, test := range map[string]struct {
		was     iter8v1alpha1.KnownVariant
		subject types.UID
		want    mirrors.State
	}{
		"it was available":                   {iter8v1alpha1.KnownVariant{Name: "v2", Available: true}, "subject-uid", mirrors.UnknownAvailable},
		"it wasn't":                          {iter8v1alpha1.KnownVariant{Name: "v2"}, "subject-uid", mirrors.Unknown},
		"it was, and is unknown for a while": {iter8v1alpha1.KnownVariant{Name: "v2", Available: true, UnknownSince: ago(30 * time.Second)}, "subject-uid", mirrors.UnknownAvailable},
		"it was, and is unknown for longer":  {iter8v1alpha1.KnownVariant{Name: "v2", Available: true, UnknownSince: ago(time.Minute)}, "subject-uid", mirrors.Unknown},
		"that of another Subject was":        {iter8v1alpha1.KnownVariant{Name: "v2", Available: true}, "another-uid", mirrors.Unknown},
		"nothing is known of it":             {iter8v1alpha1.KnownVariant{Name: "v1", Available: true}, "subject-uid", mirrors.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScope(aPolicy(), now.Time)
			s.policy.Status.Variants = []iter8v1alpha1.KnownVariant{test.was}
			s.policy.Status.Subject = &iter8v1alpha1.ObservedSubject{Name: "web", Namespace: "test", UID: test.subject}
			s.subject = aSubject(iter8v1alpha1.Variant{Name: "v2"})
			s.observation = observe.Observation{Variants: []observe.Variant{observed("v2", observe.Pending, "")}}
			g.Expect((&Reconciler{UnknownGrace: time.Minute}).trigger(t.Context(), s)).To(Equal(hold))
			g.Expect(s.state.Variants).To(HaveExactElements(HaveField("State", test.want)))
		})
	}
}

// The last quarter of the grace is spread over the policies.
func TestMirrorsOfManyPoliciesDoNotGoAtOnce(t *testing.T) {
	g := NewWithT(t)
	r := &Reconciler{UnknownGrace: time.Minute}
	ends := map[int64]int{}
	for i := range 1000 {
		grace := r.grace(types.UID(fmt.Sprint("policy-", i)))
		g.Expect(grace).To(And(BeNumerically(">", 45*time.Second), BeNumerically("<=", time.Minute)))
		ends[int64(grace/time.Second)]++
	}
	g.Expect(ends).To(HaveEach(BeNumerically("<", 200)))
	g.Expect(r.grace("a")).To(Equal(r.grace("a")), "a restart changes nothing")
}

// Templates and charts from elsewhere make of weights what they like; what is rendered with another one isn't known.
func TestNothingIsRenderedWithAWeightThatCanNotBeRead(t *testing.T) {
	unread := observed("v1", observe.Unknown, "Thing a can't be read")
	unread.WeightUnread = true
	elsewhere := &iter8v1alpha1.ChartReference{Repository: "https://example.com", Name: "a"}
	for name, test := range map[string]struct {
		chart   *iter8v1alpha1.ChartReference
		first   observe.Variant
		was     bool
		stopped bool
	}{
		"templates":              {nil, unread, true, true},
		"a chart from elsewhere": {elsewhere, unread, true, true},
		"a built-in chart, whose mirrors aren't widened": {&iter8v1alpha1.ChartReference{Name: "mirror"}, unread, true, false},
		"templates, and it isn't available":              {nil, unread, false, false},
		"templates, and its weight is read":              {nil, observed("v1", observe.Unknown, "x"), true, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScope(aPolicy(), now.Time)
			s.policy.Spec.Chart = test.chart
			s.policy.Status.Subject = &iter8v1alpha1.ObservedSubject{Name: "web", Namespace: "test", UID: "subject-uid"}
			s.policy.Status.Variants = []iter8v1alpha1.KnownVariant{{Name: "v1", Available: test.was}}
			s.subject = aSubject(iter8v1alpha1.Variant{Name: "v1"})
			s.observation = observe.Observation{Variants: []observe.Variant{test.first}}
			got := (&Reconciler{UnknownGrace: time.Minute}).trigger(t.Context(), s)
			if !test.stopped {
				g.Expect(got).To(Equal(advance))
				g.Expect(s.interruption).To(BeNil())
				return
			}
			g.Expect(got).To(Equal(conclude))
			g.Expect(s.interruption).To(Equal(&report{status: metav1.ConditionFalse, reason: iter8v1alpha1.ReasonVariantStateUnknown,
				message: "variant v1 counts as available, as it was last known: Thing a can't be read"}))
		})
	}
}

func TestATriggerThatNamesAVariantThatThereIsNot(t *testing.T) {
	g := NewWithT(t)
	s := newScope(aPolicy("v1", "v9"), now.Time)
	s.subject = aSubject(iter8v1alpha1.Variant{Name: "v1"}, iter8v1alpha1.Variant{Name: "v2"})
	s.observation = observe.Observation{Variants: []observe.Variant{observed("v1", observe.Ready, ""), observed("v2", observe.Missing, "x")}}
	g.Expect((&Reconciler{}).trigger(t.Context(), s)).To(Equal(conclude))
	g.Expect(s.state.Variants).To(HaveExactElements(HaveField("State", mirrors.Available), HaveField("State", mirrors.NotAvailable)), "mirrors that stand go by it")
	g.Expect(s.interruption).To(Equal(&report{status: metav1.ConditionFalse, reason: iter8v1alpha1.ReasonVariantNotFound,
		message: `spec.trigger names variant "v9", and Subject web has v1, v2`}))
}

// The reason is that of what keeps the variants from being judged that the policy is triggered by, and of no others.
func TestWhyAVariantCanNotBeJudged(t *testing.T) {
	invalid := observe.Problem{State: observe.Invalid, Message: "Node a is cluster-scoped"}
	unknown := observe.Problem{State: observe.Unknown, Message: "Thing b can't be read"}
	ready := observed("v1", observe.Ready, "")
	unread := observe.Variant{Name: "v2", State: observe.Unknown, Problems: []observe.Problem{unknown}}
	impossible := observe.Variant{Name: "v2", State: observe.Invalid, Problems: []observe.Problem{invalid}}
	both := observe.Variant{Name: "v2", State: observe.Invalid, Problems: []observe.Problem{unknown, invalid}}
	for name, test := range map[string]struct {
		first, second observe.Variant
		reason, said  string
	}{
		"it can't be read": {ready, unread, "VariantStateUnknown", "variant v2 counts as not available, as it was last known: Thing b can't be read"},
		"its kind is one too many": {ready, observe.Variant{Name: "v2", State: observe.Excess, Problems: []observe.Problem{{State: observe.Excess, Message: "Thing b can't be watched"}}},
			"VariantStateUnknown", "variant v2 counts as not available, as it was last known: Thing b can't be watched"},
		"it can't work":                                {ready, impossible, "SubjectInvalid", "variant v2 counts as not available, as it was last known: Node a is cluster-scoped"},
		"it can't be read, and can't work":             {ready, both, "SubjectInvalid", "variant v2 counts as not available, as it was last known: Node a is cluster-scoped"},
		"it can't be read, and another one can't work": {observe.Variant{Name: "v1", State: observe.Invalid, Problems: []observe.Problem{invalid}}, unread, "VariantStateUnknown", "variant v2 counts as not available, as it was last known: Thing b can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScope(aPolicy("v2"), now.Time)
			s.subject = aSubject(iter8v1alpha1.Variant{Name: "v1"}, iter8v1alpha1.Variant{Name: "v2"})
			s.observation = observe.Observation{Variants: []observe.Variant{test.first, test.second}}
			g.Expect((&Reconciler{}).trigger(t.Context(), s)).To(Equal(advance))
			g.Expect(s.unknownBecause).To(Equal(test.reason))
			g.Expect(s.stateUnknown).To(Equal(test.said))
		})
	}
}
