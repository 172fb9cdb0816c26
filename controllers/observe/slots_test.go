package observe

import (
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// thing is of a kind that no cluster serves, which is watched for all the same.
func thing(kind string) iter8v1alpha1.ResourceReference {
	return iter8v1alpha1.ResourceReference{APIVersion: "example.com/v1", Kind: kind, Name: "web"}
}

// watched returns the kinds that are watched, EndpointSlices among them.
func (w *world) watched() []string {
	var kinds []string
	for _, target := range w.Watched() {
		kind := target.Kind
		if target.Full {
			kind += " as a whole"
		}
		kinds = append(kinds, kind)
	}
	return kinds
}

func (w *world) withSlots(most int) *world {
	w.slots.most = most
	return w
}

const excess = "can't be watched: Subjects have 2 other kinds watched, as many as --max-watched-kinds allows; it is watched as soon as one of these isn't any more"

func TestWhichKindsAreWatchedWhereThereAreTooMany(t *testing.T) {
	a, b, c := subject("a", thing("A")), subject("b", thing("B")), subject("c", thing("C"))
	for name, test := range map[string]struct {
		follow  func(*world)
		watched []string
		waiting []*iter8v1alpha1.Subject
	}{
		"as many as there may be":                  {func(w *world) { w.follow(a); w.follow(b) }, []string{"A", "B"}, nil},
		"one more, which waits":                    {func(w *world) { w.follow(a); w.follow(b); w.follow(c) }, []string{"A", "B"}, []*iter8v1alpha1.Subject{c}},
		"two Subjects of a kind, which count once": {func(w *world) { w.follow(a); w.follow(subject("a2", thing("A"))); w.follow(b) }, []string{"A", "B"}, nil},
		"a kind that a Subject which came late shares with others": {
			func(w *world) { w.follow(a); w.follow(b); w.follow(subject("late", thing("A"))) }, []string{"A", "B"}, nil},
		"EndpointSlices, which come with Services":      {func(w *world) { w.follow(subject("s", service("web"))); w.follow(a) }, []string{"Service", "EndpointSlice", "A"}, nil},
		"a kind looked at as a whole, which is another": {func(w *world) { w.follow(a); w.follow(subject("whole", withCEL(thing("A"), "true"))); w.follow(c) }, []string{"A", "A as a whole"}, []*iter8v1alpha1.Subject{c}},
		"the first keep theirs, whatever becomes of others": {func(w *world) { w.follow(a); w.follow(b); w.follow(c); w.follow(b); w.follow(a) },
			[]string{"A", "B"}, []*iter8v1alpha1.Subject{c}},
		"a slot that becomes free is taken":               {func(w *world) { w.follow(a); w.follow(b); w.follow(c); w.forget(nameOf(a)) }, []string{"B", "C"}, nil},
		"a slot that becomes free with a change is taken": {func(w *world) { w.follow(a); w.follow(b); w.follow(c); w.follow(subject("a", thing("B"))) }, []string{"B", "C"}, nil},
		"by the one that has waited longest": {func(w *world) {
			w.follow(a)
			w.follow(b)
			w.follow(c)
			w.follow(subject("d", thing("D")))
			w.forget(nameOf(b))
		},
			[]string{"A", "C"}, []*iter8v1alpha1.Subject{subject("d", thing("D"))}},
		"but not by one that has gone": {func(w *world) { w.follow(a); w.follow(b); w.follow(c); w.forget(nameOf(c)); w.forget(nameOf(a)) }, []string{"B"}, nil},
		"one of several kinds": {func(w *world) { w.follow(a); w.follow(subject("two", thing("C"), thing("D"))) },
			[]string{"A", "C"}, []*iter8v1alpha1.Subject{subject("two", thing("D"))}},
		"a Subject that waits for several takes what there is": {
			func(w *world) {
				w.follow(a)
				w.follow(b)
				w.follow(subject("two", thing("C"), thing("D")))
				w.forget(nameOf(a))
				w.forget(nameOf(b))
			},
			[]string{"C", "D"}, nil},
		"two that wait for one kind": {func(w *world) {
			w.follow(a)
			w.follow(b)
			w.follow(c)
			w.follow(subject("c2", thing("C")))
			w.forget(nameOf(a))
		}, []string{"B", "C"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).withSlots(2)
			test.follow(w)
			w.Expect(w.watched()).To(ConsistOf(test.watched))
			w.Expect(w.slots.queue()).To(HaveLen(len(test.waiting)))
			for i, waiting := range test.waiting {
				w.Expect(nameOf(w.slots.queue()[i]).Name).To(Equal(waiting.Name))
				observed := w.Observe(waiting).Variants[0]
				w.Expect(observed.State).To(Equal(Excess))
				w.Expect(observed.Known()).To(BeFalse())
				ref := waiting.Spec.Variants[0].Resources[0]
				w.Expect(observed.Problems).To(Equal([]Problem{{Excess, fmt.Sprintf("%s web %s", ref.Kind, excess)}}))
			}
		})
	}
}

func TestASubjectIsNotifiedWhenItHasASlot(t *testing.T) {
	w := newWorld(t).withSlots(1)
	first, second, third := subject("first", deployment("web")), subject("second", model("web")), subject("third", model("web"))
	w.observed(first)
	w.follow(second)
	w.follow(third)
	w.Expect(w.Observe(second).Pending()).To(BeFalse(), "nothing is on its way")
	before := []int{w.times(second)(), w.times(third)()}
	w.forget(nameOf(first))
	w.Eventually(w.times(second)).Should(BeNumerically(">", before[0]))
	w.Eventually(w.times(third)).Should(BeNumerically(">", before[1]), "which shares the kind")
	w.Eventually(w.state(second)).Should(HaveField("State", Missing))
	w.Eventually(w.state(third)).Should(HaveField("State", Missing))
}

func TestAResourceWithoutASlotHoldsUpNoOther(t *testing.T) {
	w := newWorld(t).withSlots(1)
	w.create(deployments, aDeployment("web", "False"))
	w.observed(subject("first", deployment("web")))
	mixed := subject("mixed", thing("A"), deployment("web"))
	w.follow(mixed)
	w.Eventually(w.state(mixed)).Should(HaveField("State", NotReady), "which is certain")
	w.Expect(w.Observe(mixed).Variants[0].Problems).To(HaveLen(2))
}

// TestSubjectsKeepTheirSlotsOverARestart has Subjects listed in an order that says nothing of which came first.
func TestSubjectsKeepTheirSlotsOverARestart(t *testing.T) {
	created := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	made := func(name, kind string, day int, reason string) *iter8v1alpha1.Subject {
		s := subject(name, thing(kind))
		s.Generation, s.CreationTimestamp = 1, metav1.NewTime(created.AddDate(0, 0, day))
		if reason != "" {
			s.Status.Conditions = []metav1.Condition{{Type: "Ready", Reason: reason, ObservedGeneration: 1}}
		}
		return s
	}
	changed := made("changed", "Changed", 0, "Observed")
	changed.Generation = 2
	for name, test := range map[string]struct {
		listed  []*iter8v1alpha1.Subject
		watched []string
	}{
		"those that had one, before one that had none": {
			[]*iter8v1alpha1.Subject{made("had-none", "N", 0, "TooManyKinds"), made("had-one", "H", 2, "Observed"), made("had-another", "A", 1, "WatchFailed")}, []string{"H", "A"}},
		"those that had one, before a new one": {
			[]*iter8v1alpha1.Subject{made("new", "N", 3, ""), made("had-one", "H", 2, "Observed"), made("had-another", "A", 1, "Observed")}, []string{"H", "A"}},
		"those that had one, before one that asks for another now": {
			[]*iter8v1alpha1.Subject{changed, made("had-one", "H", 2, "Observed"), made("had-another", "A", 1, "Observed")}, []string{"H", "A"}},
		"among new ones, the oldest": {
			[]*iter8v1alpha1.Subject{made("third", "C", 3, ""), made("first", "A", 1, ""), made("second", "B", 2, "")}, []string{"A", "B"}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t).withSlots(2)
			handler := w.handler()
			for _, s := range test.listed {
				handler.OnAdd(s, true)
			}
			w.release()
			w.Expect(w.watched()).To(ConsistOf(test.watched))

			handler.OnAdd(made("later", "L", 9, ""), false)
			w.Expect(w.watched()).To(ConsistOf(test.watched))
			w.Expect(w.slots.queue()).To(HaveLen(2))
		})
	}
}

func TestASubjectThatChangesOrGoesBeforeTheOthersAreFollowed(t *testing.T) {
	w := newWorld(t).withSlots(2)
	handler := w.handler()
	goes, before, after := subject("goes", thing("G")), subject("changes", thing("B")), subject("changes", thing("A"))
	after.Generation = 2
	handler.OnAdd(goes, true)
	handler.OnAdd(before, true)
	handler.OnDelete(goes)
	handler.OnUpdate(before, after)
	w.release()
	w.Expect(w.watched()).To(ConsistOf("A"))
}
