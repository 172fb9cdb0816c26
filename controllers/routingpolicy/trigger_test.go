package routingpolicy

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/observe"
	"iter8.tools/operator/controllers/render"
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

func TestWhatTheChartIsToldOfEachVariant(t *testing.T) {
	v1, v2 := iter8v1alpha1.Variant{Name: "v1"}, iter8v1alpha1.Variant{Name: "v2"}
	available := func(names ...string) []iter8v1alpha1.RenderedVariant {
		var rendered []iter8v1alpha1.RenderedVariant
		for _, name := range names {
			rendered = append(rendered, iter8v1alpha1.RenderedVariant{Name: name, Available: true})
		}
		return rendered
	}
	missing := observed("v2", observe.Missing, "Service a does not exist")
	unknown := observed("v2", observe.Unknown, "Thing a can't be read")
	invalid := observed("v2", observe.Invalid, "Node a is cluster-scoped")
	for name, test := range map[string]struct {
		trigger  []string
		first    observe.Variant
		second   observe.Variant
		rendered []iter8v1alpha1.RenderedVariant
		want     [2]bool
		unknown  string
	}{
		"both are available":                {nil, observed("v1", observe.Ready, ""), observed("v2", observe.Ready, ""), nil, [2]bool{true, true}, ""},
		"one isn't":                         {nil, observed("v1", observe.Ready, ""), missing, nil, [2]bool{true, false}, ""},
		"one isn't any more":                {nil, observed("v1", observe.Ready, ""), missing, available("v1", "v2"), [2]bool{true, false}, ""},
		"one that isn't asked about is":     {[]string{"v2"}, observed("v1", observe.Missing, "x"), observed("v2", observe.Ready, ""), nil, [2]bool{true, true}, ""},
		"neither is asked about but one":    {[]string{"v2"}, observed("v1", observe.Missing, "x"), missing, nil, [2]bool{true, false}, ""},
		"both are asked about by name":      {[]string{"v2", "v1"}, observed("v1", observe.Missing, "x"), missing, available("v1", "v2"), [2]bool{false, false}, ""},
		"one is unknown, and was available": {nil, observed("v1", observe.Ready, ""), unknown, available("v2"), [2]bool{true, true}, "variant v2 counts as available, as it was last known: Thing a can't be read"},
		"one is unknown, and was not": {nil, observed("v1", observe.Ready, ""), unknown, []iter8v1alpha1.RenderedVariant{{Name: "v1", Available: true}, {Name: "v2"}}, [2]bool{true, false},
			"variant v2 counts as not available, as it was last known: Thing a can't be read"},
		"one is unknown, and was never rendered": {nil, observed("v1", observe.Ready, ""), unknown, nil, [2]bool{true, false}, "variant v2 counts as not available, as it was last known: Thing a can't be read"},
		"one can't work, and was available":      {nil, observed("v1", observe.Ready, ""), invalid, available("v2"), [2]bool{true, true}, "variant v2 counts as available, as it was last known: Node a is cluster-scoped"},
		"one that isn't asked about is unknown":  {[]string{"v1"}, observed("v1", observe.Ready, ""), unknown, nil, [2]bool{true, true}, ""},
		"both are unknown": {nil, observed("v1", observe.Unknown, "x"), unknown, available("v1"), [2]bool{true, false},
			"variant v1 counts as available, as it was last known: x; variant v2 counts as not available, as it was last known: Thing a can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScope(aPolicy(test.trigger...), now.Time)
			s.policy.Status.Variants = test.rendered
			s.subject = aSubject(v1, v2)
			s.observation = observe.Observation{Variants: []observe.Variant{test.first, test.second}}
			policy, subject := s.policy.DeepCopy(), s.subject.DeepCopy()
			g.Expect((&Reconciler{}).trigger(t.Context(), s)).To(Equal(advance))
			g.Expect([2]bool{s.variants[0].Available, s.variants[1].Available}).To(Equal(test.want))
			g.Expect(s.stateUnknown).To(Equal(test.unknown))
			g.Expect(s.policy).To(Equal(policy), "the policy is changed")
			g.Expect(s.subject).To(Equal(subject), "the Subject is changed")
		})
	}
}

func TestWhatCanNotBeReadOfOneVariantIsNotMadeUpForByAnother(t *testing.T) {
	never := func(name string, weightUnread bool) observe.Variant {
		v := observed(name, observe.Unknown, "Thing a can't be read")
		v.Unread, v.WeightUnread = true, weightUnread
		return v
	}
	failing := func(name string) observe.Variant {
		return observed(name, observe.Unknown, "Model b has a readyWhen.cel that failed: oh")
	}
	ready := func(name string) observe.Variant { return observed(name, observe.Ready, "") }
	for name, test := range map[string]struct {
		first, second observe.Variant
		// available are the variants that were rendered as such.
		available       []string
		unread, stopped bool
	}{
		"all is read":                                                   {ready("v1"), ready("v2"), []string{"v1", "v2"}, false, false},
		"a weight isn't, of the first variant":                          {never("v1", true), ready("v2"), []string{"v1", "v2"}, true, true},
		"a weight isn't, of the first, and the second fails":            {never("v1", true), failing("v2"), []string{"v1", "v2"}, true, true},
		"a weight isn't, of the second variant":                         {failing("v1"), never("v2", true), []string{"v1", "v2"}, true, true},
		"a weight isn't, of neither":                                    {never("v1", true), never("v2", true), []string{"v1", "v2"}, true, true},
		"a weight isn't, of one that isn't mirrored to":                 {never("v1", true), failing("v2"), []string{"v2"}, true, false},
		"a weight isn't, of the first, and the second isn't rendered":   {never("v1", true), never("v2", true), []string{"v1"}, true, true},
		"a resource isn't that has no weight, and another's fails":      {never("v1", false), failing("v2"), []string{"v1", "v2"}, true, false},
		"a resource isn't that has no weight, of the second, and fails": {failing("v1"), never("v2", false), []string{"v1", "v2"}, true, false},
		"both are read, and can't be judged":                            {failing("v1"), failing("v2"), []string{"v1", "v2"}, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScope(aPolicy(), now.Time)
			for _, variant := range test.available {
				s.policy.Status.Variants = append(s.policy.Status.Variants, iter8v1alpha1.RenderedVariant{Name: variant, Available: true})
			}
			s.subject = aSubject(iter8v1alpha1.Variant{Name: "v1"}, iter8v1alpha1.Variant{Name: "v2"})
			s.observation = observe.Observation{Variants: []observe.Variant{test.first, test.second}}
			got := (&Reconciler{}).trigger(t.Context(), s)
			g.Expect(s.neverRead).To(Equal(test.unread))
			if !test.stopped {
				g.Expect(got).To(Equal(advance))
				g.Expect(s.interruption).To(BeNil())
				return
			}
			g.Expect(got).To(Equal(conclude), "more would be mirrored than the weight says")
			g.Expect(s.interruption).To(Equal(&report{status: metav1.ConditionFalse, reason: iter8v1alpha1.ReasonVariantStateUnknown, message: s.stateUnknown}))
		})
	}
}

func TestVariantsAreNumberedAndWeighed(t *testing.T) {
	g := NewWithT(t)
	weight := func(n int32) *int32 { return &n }
	s := newScope(aPolicy(), now.Time)
	s.subject = aSubject(
		iter8v1alpha1.Variant{Name: "first"},
		iter8v1alpha1.Variant{Name: "second", Weight: weight(50), Resources: []iter8v1alpha1.ResourceReference{
			{APIVersion: "v1", Kind: "Service", Name: "a"}, {APIVersion: "apps/v1", Kind: "Deployment", Name: "b"}}},
		iter8v1alpha1.Variant{Name: "third", Weight: weight(50)},
		iter8v1alpha1.Variant{Name: "fourth", Weight: weight(0)},
	)
	annotated := observed("third", observe.Ready, "")
	annotated.Weight = weight(0)
	s.observation = observe.Observation{Variants: []observe.Variant{
		observed("first", observe.Ready, ""), observed("second", observe.Ready, ""), annotated, observed("fourth", observe.Ready, "")}}
	labels := map[string]string{"app": "web"}
	s.observation.Variants[1].PodLabels = []map[string]string{nil, labels}
	g.Expect((&Reconciler{}).trigger(t.Context(), s)).To(Equal(advance))
	g.Expect(s.variants).To(Equal([]render.Variant{
		{Name: "first", Number: 1, Available: true, Weight: 1},
		{Name: "second", Number: 2, Available: true, Weight: 50, Weighted: true, Resources: []render.Resource{{Kind: "Service", Name: "a"}, {Kind: "Deployment", Name: "b", PodLabels: labels}}},
		{Name: "third", Number: 3, Available: true, Weight: 0, Weighted: true},
		{Name: "fourth", Number: 4, Available: true, Weight: 0, Weighted: true},
	}))
}

func TestATriggerThatNamesAVariantThatThereIsNot(t *testing.T) {
	g := NewWithT(t)
	s := newScope(aPolicy("v1", "v9"), now.Time)
	s.subject = aSubject(iter8v1alpha1.Variant{Name: "v1"}, iter8v1alpha1.Variant{Name: "v2"})
	g.Expect((&Reconciler{}).trigger(t.Context(), s)).To(Equal(conclude))
	g.Expect(s.interruption).To(Equal(&report{status: metav1.ConditionFalse, reason: iter8v1alpha1.ReasonVariantNotFound,
		message: `spec.trigger names variant "v9", and Subject web has v1, v2`}))
}

func TestTheSubjectThatAPolicyRefersTo(t *testing.T) {
	g := NewWithT(t)
	policy := aPolicy()
	g.Expect(subjectName(policy)).To(Equal(types.NamespacedName{Namespace: "test", Name: "web"}))
	policy.Spec.SubjectRef.Namespace = "elsewhere"
	g.Expect(subjectName(policy)).To(Equal(types.NamespacedName{Namespace: "elsewhere", Name: "web"}))
}

func TestNothingIsMirroredToAVariantWhoseWeightIsNotValid(t *testing.T) {
	const why = `the annotation iter8.tools/weight of Service web-v2 is "1%"`
	for name, test := range map[string]struct {
		chart  *iter8v1alpha1.ChartReference
		state  observe.ResourceState
		want   bool
		said   string
		weight *int32
	}{
		"of more than a hundred percent": {&iter8v1alpha1.ChartReference{Name: "mirror"}, observe.Ready, false,
			"nothing is mirrored to variant v2: its weight is 150, and takes a whole number from 0 to 100", ptr.To[int32](150)},
		"of a hundred percent":                              {&iter8v1alpha1.ChartReference{Name: "mirror"}, observe.Ready, true, "", ptr.To[int32](100)},
		"of a built-in chart":                               {&iter8v1alpha1.ChartReference{Name: "mirror"}, observe.Ready, false, "nothing is mirrored to variant v2: " + why + ", and takes a whole number from 0 to 100", nil},
		"of a built-in chart, which isn't available":        {&iter8v1alpha1.ChartReference{Name: "mirror"}, observe.Missing, false, "", nil},
		"of a chart from elsewhere, which may not mind":     {&iter8v1alpha1.ChartReference{Name: "mirror", Repository: "https://example.com"}, observe.Ready, true, "", nil},
		"of templates, for which weights mean what they do": {nil, observe.Ready, true, "", nil},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			policy := aPolicy()
			policy.Spec.Chart = test.chart
			s := newScope(policy, now.Time)
			s.subject = aSubject(iter8v1alpha1.Variant{Name: "v2", Weight: test.weight})
			v2 := observe.Variant{Name: "v2", State: test.state}
			if test.weight == nil {
				v2.InvalidWeight = why
			}
			s.observation = observe.Observation{Variants: []observe.Variant{v2}}
			g.Expect((&Reconciler{}).trigger(t.Context(), s)).To(Equal(advance))
			g.Expect(s.variants[0].Available).To(Equal(test.want))
			g.Expect(s.invalidWeights).To(Equal(test.said))
			through(s, phaseConditions...)
			ready := meta.FindStatusCondition(s.conditions(), "Ready")
			if test.said == "" {
				g.Expect(ready).To(HaveField("Reason", "Succeeded"))
			} else {
				g.Expect(ready).To(And(HaveField("Reason", "InvalidWeight"), HaveField("Status", metav1.ConditionFalse), HaveField("Message", test.said)))
			}
		})
	}
}

// The reason is that of what keeps the variants from being judged that the policy is triggered by, and of no others.
func TestWhyAVariantCanNotBeJudged(t *testing.T) {
	invalid := observe.Problem{State: observe.Invalid, Message: "Node a is cluster-scoped"}
	unknown := observe.Problem{State: observe.Unknown, Message: "Thing b can't be read"}
	for name, test := range map[string]struct {
		first, second []observe.Problem
		reason, said  string
	}{
		"it can't be read":                             {nil, []observe.Problem{unknown}, "VariantStateUnknown", "variant v2 counts as not available, as it was last known: Thing b can't be read"},
		"it can't work":                                {nil, []observe.Problem{invalid}, "SubjectInvalid", "variant v2 counts as not available, as it was last known: Node a is cluster-scoped"},
		"it can't be read, and can't work":             {nil, []observe.Problem{unknown, invalid}, "SubjectInvalid", "variant v2 counts as not available, as it was last known: Node a is cluster-scoped"},
		"it can't be read, and another one can't work": {[]observe.Problem{invalid}, []observe.Problem{unknown}, "VariantStateUnknown", "variant v2 counts as not available, as it was last known: Thing b can't be read"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			s := newScope(aPolicy("v2"), now.Time)
			s.subject = aSubject(iter8v1alpha1.Variant{Name: "v1"}, iter8v1alpha1.Variant{Name: "v2"})
			s.observation = observe.Observation{Variants: []observe.Variant{
				{Name: "v1", State: observe.Invalid, Problems: test.first}, {Name: "v2", State: observe.Unknown, Problems: test.second}}}
			g.Expect((&Reconciler{}).trigger(t.Context(), s)).To(Equal(advance))
			g.Expect(s.unknownBecause).To(Equal(test.reason))
			g.Expect(s.stateUnknown).To(Equal(test.said))
		})
	}
}
