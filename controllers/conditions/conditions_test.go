package conditions

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

var (
	then = metav1.NewTime(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC))
	now  = metav1.NewTime(time.Date(2026, 1, 2, 0, 0, 0, 0, time.UTC))
)

func before() []metav1.Condition {
	return []metav1.Condition{
		{Type: "Ready", Status: metav1.ConditionTrue, ObservedGeneration: 1, LastTransitionTime: then, Reason: "Fine", Message: "all is well"},
		{Type: "Reconciling", Status: metav1.ConditionTrue, ObservedGeneration: 1, LastTransitionTime: then, Reason: "Busy"},
	}
}

func TestUpdateKeepsTheTimeOfTheLastTransition(t *testing.T) {
	for name, test := range map[string]struct {
		wanted metav1.Condition
		since  metav1.Time
	}{
		"nothing has changed":                  {metav1.Condition{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Fine", Message: "all is well"}, then},
		"reason and message have changed":      {metav1.Condition{Type: "Ready", Status: metav1.ConditionTrue, Reason: "Better", Message: "still"}, then},
		"the status has changed":               {metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse, Reason: "Fine", Message: "all is well"}, now},
		"the status isn't known any more":      {metav1.Condition{Type: "Ready", Status: metav1.ConditionUnknown, Reason: "Fine"}, now},
		"the condition is new":                 {metav1.Condition{Type: "Stalled", Status: metav1.ConditionTrue, Reason: "Fine"}, now},
		"the caller's own time does not count": {metav1.Condition{Type: "Ready", Status: metav1.ConditionTrue, LastTransitionTime: now}, then},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			given := before()
			updated := Update(given, 2, now, test.wanted)
			want := test.wanted
			want.ObservedGeneration, want.LastTransitionTime = 2, test.since
			g.Expect(updated).To(Equal([]metav1.Condition{want}))
			g.Expect(given).To(Equal(before()), "the list that is given is changed")
		})
	}
}

func TestUpdateGivesWhatIsWantedInItsOrderAndNothingElse(t *testing.T) {
	g := NewWithT(t)
	updated := Update(before(), 2, now,
		metav1.Condition{Type: "Stalled", Status: metav1.ConditionTrue},
		metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse},
	)
	g.Expect(updated).To(HaveExactElements(HaveField("Type", "Stalled"), HaveField("Type", "Ready")))
	g.Expect(Update(before(), 2, now)).To(BeEmpty())
}

func TestAConditionMayBeOfAnEarlierGeneration(t *testing.T) {
	updated := Update(before(), 3, now, metav1.Condition{Type: "Ready", Status: metav1.ConditionTrue, ObservedGeneration: 2}, metav1.Condition{Type: "Stalled"})
	NewWithT(t).Expect(updated).To(HaveExactElements(HaveField("ObservedGeneration", BeEquivalentTo(2)), HaveField("ObservedGeneration", BeEquivalentTo(3))))
}

func TestUpdateTwiceGivesTheSame(t *testing.T) {
	g := NewWithT(t)
	wanted := metav1.Condition{Type: "Ready", Status: metav1.ConditionFalse, Reason: "Broken", Message: strings.Repeat("x", maxMessage+1)}
	once := Update(before(), 2, now, wanted)
	g.Expect(Update(once, 2, metav1.NewTime(now.Add(time.Hour)), wanted)).To(Equal(once))
}

func TestMessagesAreKeptToWhatTheAPIAllows(t *testing.T) {
	g := NewWithT(t)
	updated := Update(nil, 1, now, metav1.Condition{Type: "Ready", Message: strings.Repeat("x", maxMessage+1)})
	g.Expect(updated[0].Message).To(HaveLen(maxMessage))
	g.Expect(updated[0].Message).To(HaveSuffix("x..."))
}

func TestTruncate(t *testing.T) {
	for name, test := range map[string]struct {
		message string
		limit   int
		want    string
	}{
		"a message that fits exactly is left alone":          {"12345678", 8, "12345678"},
		"a message that is a byte too long":                  {"123456789", 8, "12345..."},
		"an empty message":                                   {"", 8, ""},
		"the limit is in bytes, and letters may be several":  {"ääää", 8, "ääää"},
		"a letter that would be cut in two goes as a whole":  {"äääää", 8, "ää..."},
		"a sign of four bytes is not left in part":           {"a😀bcdefgh", 7, "a..."},
		"what was cut once is the same when it is cut again": {"12345...", 8, "12345..."},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			got := Truncate(test.message, test.limit)
			g.Expect(got).To(Equal(test.want))
			g.Expect(utf8.ValidString(got)).To(BeTrue())
		})
	}
}
