package routingpolicy

import (
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/utils/ptr"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/desired"
	"iter8.tools/operator/controllers/mirrors"
)

// mirrorAt is a mirror of the route a.
func mirrorAt(match, to, percent string) iter8v1alpha1.Mirror {
	return iter8v1alpha1.Mirror{Route: "HTTPRoute/a", Match: match, To: to, Variant: "v2", Percent: percent}
}

// in returns a mirror in a state.
func in(state iter8v1alpha1.MirrorState, m iter8v1alpha1.Mirror) iter8v1alpha1.Mirror {
	m.State = state
	return m
}

func TestWhatIsReportedOfMirrors(t *testing.T) {
	asked := func(m iter8v1alpha1.Mirror) mirrors.Mirror { return mirrors.Mirror{Mirror: m} }
	because := func(m iter8v1alpha1.Mirror, reason, message string) iter8v1alpha1.Mirror {
		m.Reason, m.Message = reason, message
		return m
	}
	const notApplied = "no mirror to v2: HTTPRoute/a is not applied as it is rendered"
	const changed = "no mirror to v2: an admission policy or webhook changed it"
	v2 := mirrorAt("", "v2", "100")
	gone := because(mirrorAt("", "v2", "0"), "VariantNotAvailable", "no mirror to v2: gone")
	for name, test := range map[string]struct {
		report mirrorReport
		// applied reports whether the route stands as it was rendered.
		applied bool
		want    []string
	}{
		"nothing is asked for": {mirrorReport{asked: []mirrors.Mirror{}}, true, []string{}},
		"it stands":            {mirrorReport{asked: []mirrors.Mirror{asked(v2)}, standing: []iter8v1alpha1.Mirror{in("Active", v2)}}, true, []string{"v2 100% Active v2"}},
		"it stands for less, and why": {mirrorReport{asked: []mirrors.Mirror{asked(because(mirrorAt("", "v2", "5"), "LimitedByWeight", "only 5%"))},
			standing: []iter8v1alpha1.Mirror{in("Unconfirmed", mirrorAt("", "v2", "5"))}}, true, []string{"v2 5% Unconfirmed v2 LimitedByWeight: only 5%"}},
		"it is withheld":                     {mirrorReport{asked: []mirrors.Mirror{asked(gone)}}, true, []string{"v2 0% Withheld v2 VariantNotAvailable: no mirror to v2: gone"}},
		"it should stand, and isn't applied": {mirrorReport{asked: []mirrors.Mirror{asked(v2)}}, false, []string{"v2 0% Withheld v2 NotApplied: " + notApplied}},
		"it was applied, and doesn't stand":  {mirrorReport{asked: []mirrors.Mirror{asked(v2)}}, true, []string{"v2 0% Withheld v2 Altered: " + changed}},
		"it was applied, and taken out for what others made of it": {mirrorReport{asked: []mirrors.Mirror{asked(v2)},
			withdrawn: []mirrors.Mirror{asked(because(mirrorAt("", "v2", "0"), "Altered", changed))}}, true, []string{"v2 0% Withheld v2 Altered: " + changed}},
		"it should go, and stands": {mirrorReport{asked: []mirrors.Mirror{asked(gone)}, standing: []iter8v1alpha1.Mirror{in("Active", v2)}}, false,
			[]string{"v2 100% Active v2 VariantNotAvailable: no mirror to v2: gone"}},
		"two rules with the same match and target": {mirrorReport{asked: []mirrors.Mirror{asked(v2), asked(v2)},
			standing: []iter8v1alpha1.Mirror{in("Active", v2), in("Active", v2)}}, true, []string{"v2 100% Active v2", "v2 100% Active v2"}},
		"two such rules, of which one has lost it": {mirrorReport{asked: []mirrors.Mirror{asked(v2), asked(v2)},
			standing: []iter8v1alpha1.Mirror{in("Active", v2)}}, true, []string{"v2 100% Active v2", "v2 0% Withheld v2 Altered: " + changed}},
		"two such rules, of which the first is withheld": {mirrorReport{asked: []mirrors.Mirror{asked(gone), asked(v2)},
			standing: []iter8v1alpha1.Mirror{in("Active", v2)}}, true, []string{"v2 0% Withheld v2 VariantNotAvailable: no mirror to v2: gone", "v2 100% Active v2"}},
		"two such rules, and the first should go": {mirrorReport{asked: []mirrors.Mirror{asked(gone), asked(v2)},
			standing: []iter8v1alpha1.Mirror{in("Active", v2), in("Active", v2)}}, true, []string{"v2 100% Active v2 VariantNotAvailable: no mirror to v2: gone", "v2 100% Active v2"}},
		"two such rules of a route that can't be read": {mirrorReport{asked: []mirrors.Mirror{asked(gone), asked(v2)}, unread: map[string]bool{"HTTPRoute/a": true},
			previous: []iter8v1alpha1.Mirror{in("Withheld", gone), in("Active", v2)}}, false,
			[]string{"v2 0% Withheld v2 VariantNotAvailable: no mirror to v2: gone", "v2 100% Unconfirmed v2"}},
		"another match is another mirror": {mirrorReport{asked: []mirrors.Mirror{asked(mirrorAt("PathPrefix /api", "v2", "100"))},
			standing: []iter8v1alpha1.Mirror{in("Active", v2)}}, true, []string{"v2 0% Withheld v2 Altered: " + changed, "v2 100% Active v2"}},
		"it is in the order of the routes, and then what nothing asks for": {mirrorReport{
			asked:    []mirrors.Mirror{asked(mirrorAt("", "v4", "100")), asked(gone), asked(mirrorAt("", "v3", "100"))},
			standing: []iter8v1alpha1.Mirror{in("Active", mirrorAt("", "v9", "100")), in("Active", mirrorAt("", "v3", "100")), in("Active", mirrorAt("", "v4", "100"))}}, true,
			[]string{"v4 100% Active v2", "v2 0% Withheld v2 VariantNotAvailable: no mirror to v2: gone", "v3 100% Active v2", "v9 100% Active v2"}},
		"it isn't known what is asked for, and it stood": {mirrorReport{previous: []iter8v1alpha1.Mirror{in("Active", v2)}}, false, []string{"v2 0% Withheld v2 Explained: because"}},
		"it isn't known what is asked for, and it stands": {mirrorReport{previous: []iter8v1alpha1.Mirror{in("Unconfirmed", v2)},
			standing: []iter8v1alpha1.Mirror{in("Active", v2)}}, false, []string{"v2 100% Active v2"}},
		"it isn't known what is asked for, and it was withdrawn": {mirrorReport{previous: []iter8v1alpha1.Mirror{in("Active", v2)},
			withdrawn: []mirrors.Mirror{asked(gone)}}, false, []string{"v2 0% Withheld v2 VariantNotAvailable: no mirror to v2: gone"}},
		"it isn't asked for any more": {mirrorReport{asked: []mirrors.Mirror{}, previous: []iter8v1alpha1.Mirror{in("Active", v2)}}, true, []string{}},
		"it isn't asked for any more, and its route can't be read": {mirrorReport{asked: []mirrors.Mirror{}, unread: map[string]bool{"HTTPRoute/a": true},
			previous: []iter8v1alpha1.Mirror{in("Active", v2), in("Withheld", mirrorAt("", "v3", "0"))}}, true, []string{"v2 100% Unconfirmed v2"}},
		"its route can't be read": {mirrorReport{asked: []mirrors.Mirror{asked(v2)}, unread: map[string]bool{"HTTPRoute/a": true},
			previous: []iter8v1alpha1.Mirror{in("Active", v2)}}, false, []string{"v2 100% Unconfirmed v2"}},
		"its route can't be read, and nothing was known of it": {mirrorReport{asked: []mirrors.Mirror{asked(v2)}, unread: map[string]bool{"HTTPRoute/a": true}}, false,
			[]string{"v2 0% Withheld v2 NotApplied: " + notApplied}},
		"its route can't be read, nor is known what is asked for": {mirrorReport{unread: map[string]bool{"HTTPRoute/a": true},
			previous: []iter8v1alpha1.Mirror{in("Active", v2)}}, false, []string{"v2 100% Unconfirmed v2"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.report.applied = func(string) bool { return test.applied }
			test.report.explain = func(iter8v1alpha1.Mirror) (string, string) { return "Explained", "because" }
			test.report.now = now.Time
			NewWithT(t).Expect(mirrorsAsText(test.report.mirrors())).To(Equal(test.want))
		})
	}
}

func TestSinceWhenAMirrorIsWhatItIs(t *testing.T) {
	out := func(reason string) iter8v1alpha1.Mirror {
		m := in("Withheld", mirrorAt("", "v2", "0"))
		m.Reason = reason
		return m
	}
	stands := in("Active", mirrorAt("", "v2", "100"))
	part := in("Active", mirrorAt("", "v2", "5"))
	asks := mirrors.Mirror{Mirror: mirrorAt("", "v2", "100")}
	for name, test := range map[string]struct {
		was      *iter8v1alpha1.Mirror
		asked    iter8v1alpha1.Mirror
		standing []iter8v1alpha1.Mirror
		renewed  bool
	}{
		"it stands as before":                  {&stands, asks.Mirror, []iter8v1alpha1.Mirror{stands}, false},
		"it stands for another share":          {&part, asks.Mirror, []iter8v1alpha1.Mirror{stands}, false},
		"it is new":                            {nil, asks.Mirror, []iter8v1alpha1.Mirror{stands}, true},
		"it is withheld as before":             {ptr.To(out("VariantNotAvailable")), out("VariantNotAvailable"), nil, false},
		"it is withheld for other reasons":     {ptr.To(out("InvalidWeight")), out("VariantNotAvailable"), nil, true},
		"it stands now":                        {ptr.To(out("VariantNotAvailable")), asks.Mirror, []iter8v1alpha1.Mirror{stands}, true},
		"it is confirmed now":                  {ptr.To(in("Unconfirmed", mirrorAt("", "v2", "100"))), asks.Mirror, []iter8v1alpha1.Mirror{stands}, true},
		"it is withheld, since it was altered": {ptr.To(out("Altered")), out("Altered"), nil, false},
		"it was tried again, and altered":      {ptr.To(out("Altered")), asks.Mirror, nil, true},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			report := mirrorReport{asked: []mirrors.Mirror{{Mirror: test.asked}}, standing: test.standing, applied: func(string) bool { return true }, now: now.Time}
			if test.was != nil {
				test.was.Since = &then
				report.previous = []iter8v1alpha1.Mirror{*test.was}
			}
			want := then
			if test.renewed {
				want = now
			}
			g.Expect(report.mirrors()).To(HaveExactElements(HaveField("Since", HaveValue(BeComparableTo(want)))))
		})
	}
}

// Nothing is rendered any more, so that nothing decides anew about what was withheld.
func TestWhyAMirrorIsWithheldIsNotForgotten(t *testing.T) {
	const because, notApplied = "no mirror to v1:80: of something", "no mirror to v1:80: HTTPRoute/a is not applied as it is rendered"
	for name, test := range map[string]struct {
		reason  string
		state   mirrors.State
		reasons []string
	}{
		"its gateway doesn't support it":               {"UnsupportedByGateway", mirrors.Available, []string{"UnsupportedByGateway", because}},
		"the weight is not valid":                      {"InvalidWeight", mirrors.Available, []string{"InvalidWeight", because}},
		"the weight is 0":                              {"LimitedByWeight", mirrors.Available, []string{"LimitedByWeight", because}},
		"others altered it":                            {"Altered", mirrors.Available, []string{"Altered", because}},
		"its variant's state wasn't known, nor is now": {"VariantStateUnknown", mirrors.Unknown, []string{"VariantStateUnknown", because}},
		"its variant's state is known now":             {"VariantStateUnknown", mirrors.Available, []string{"NotApplied", notApplied}},
		"its variant is available now":                 {"VariantNotAvailable", mirrors.Available, []string{"NotApplied", notApplied}},
		"its variant's state isn't known any more":     {"VariantNotAvailable", mirrors.Unknown, []string{"VariantNotAvailable", because}},
		"it was withdrawn by hand, and isn't any more": {"Withdrawn", mirrors.Available, []string{"NotApplied", notApplied}},
		"its Subject was missing":                      {"SubjectNotFound", mirrors.Available, []string{"NotApplied", notApplied}},
		"its route isn't applied":                      {"NotApplied", mirrors.Available, []string{"NotApplied", notApplied}},
	} {
		t.Run(name, func(t *testing.T) {
			s := scopeOf(templated("a"), desired.Variant{State: test.state})
			reason, message := s.explainWithheld(iter8v1alpha1.Mirror{Route: "HTTPRoute/a", To: "v1:80", Variant: "v1", Percent: "0", State: iter8v1alpha1.MirrorWithheld,
				Reason: test.reason, Message: because})
			NewWithT(t).Expect([]string{reason, message}).To(Equal(test.reasons))
		})
	}
}
