package watch

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
)

const noAnswer = "the apiserver does not answer"

func TestACallThatIsNotAnsweredIsToldSinceItBegan(t *testing.T) {
	for name, test := range map[string]struct {
		client *answers
		synced bool
	}{
		"a list":                                 {&answers{list: hangs}, false},
		"a watch":                                {&answers{watch: hangsToWatch}, true},
		"a list as a stream":                     {&answers{watch: hangsToWatch, streams: true}, false},
		"such a stream that begins, and goes on": {&answers{watch: begins, streams: true}, false},
		"the second page of a list, and the third": {&answers{list: lists(0, never)}, false},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t, answering(test.client))
			began, told := time.Now(), 0
			if test.synced {
				told = 1
			}
			w.set.Follow(someone, []Target{apple}, nil)
			until(began.Add(9900 * time.Millisecond))
			w.Expect(w.state(apple)()).To(Equal(State{Synced: test.synced}))
			w.Expect(w.notified(someone)()).To(Equal(told))

			until(began.Add(10 * time.Second))
			w.Expect(w.state(apple)()).To(says(test.synced, noAnswer, began))
			until(began.Add(time.Minute))
			w.Expect(w.state(apple)()).To(says(test.synced, noAnswer, began))
			w.Expect(w.notified(someone)()).To(Equal(told+1), "nothing is told twice")
			w.set.Follow(someone, nil, nil)
		})
	}
}

func TestADiscoveryThatIsNotAnsweredIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		answered := make(chan struct{})
		w := newWorld(t, func(o *Options[*kept]) { o.Mapper = hangingMapper{o.Mapper, answered} })
		w.create("test", "boskoop", "red")
		began := time.Now()
		w.set.Follow(someone, []Target{apple}, nil)
		until(began.Add(10 * time.Second))
		w.Expect(w.state(apple)()).To(says(false, noAnswer, began))
		until(began.Add(time.Minute))
		w.Expect(w.notified(someone)()).To(Equal(1))
		close(answered)
		until(time.Now().Add(noticed))
		w.Expect(w.state(apple)()).To(works())
		w.Expect(w.notified(someone)()).To(Equal(3), "that the kind is there, and that it is listed")
	})
}

// hangingMapper answers once a channel is closed.
type hangingMapper struct {
	meta.RESTMapper
	answered chan struct{}
}

func (m hangingMapper) RESTMapping(kind schema.GroupKind, versions ...string) (*meta.RESTMapping, error) {
	<-m.answered
	return m.RESTMapper.RESTMapping(kind, versions...)
}

func TestAListThatTakesLongIsToldAndRecovers(t *testing.T) {
	for name, test := range map[string]struct {
		list func(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error)
		// whole is after how many seconds all of it is there.
		whole int
	}{
		"the first":      {lists(15 * time.Second), 15},
		"its first page": {lists(12*time.Second, 2*time.Second), 14},
		"two of its pages, which changes no words": {lists(12*time.Second, 12*time.Second), 24},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t, answering(&answers{list: test.list}))
			began := time.Now()
			w.set.Follow(someone, []Target{apple}, nil)
			for second := 10; second < test.whole; second++ {
				until(began.Add(time.Duration(second) * time.Second))
				w.Expect(w.state(apple)()).To(says(false, noAnswer, began))
				w.Expect(w.notified(someone)()).To(Equal(1))
			}
			until(began.Add(time.Duration(test.whole)*time.Second + noticed))
			w.Expect(w.state(apple)()).To(works())
			until(began.Add(time.Minute))
			w.Expect(w.state(apple)()).To(works())
			w.Expect(w.notified(someone)()).To(Equal(3), "that it can be listed, and that it is")
		})
	}
}

func TestAPageIsNotCalledUnansweredForWhatOthersTook(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, answering(&answers{list: lists(9*time.Second, 9*time.Second, 9*time.Second)}))
		began := time.Now()
		w.set.Follow(someone, []Target{apple}, nil)
		for second := range 27 {
			until(began.Add(time.Duration(second) * time.Second))
			w.Expect(w.state(apple)()).To(Equal(State{}))
		}
		until(began.Add(27*time.Second + noticed))
		w.Expect(w.state(apple)()).To(works())
		w.Expect(w.notified(someone)()).To(Equal(1))
	})
}

// TestACallThatIsAnsweredAtTheLastMomentIsNotCalledFailed has the answer come at the very moment when the call counts as one
// without: whichever is first, the answer counts.
func TestAStreamedListThatGoesOnIsNotCalledUnanswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		stream := apiwatch.NewRaceFreeFake()
		w := newWorld(t, answering(&answers{streams: true, watch: func(context.Context, metav1.ListOptions) (apiwatch.Interface, error) { return stream, nil }}))
		began := time.Now()
		w.set.Follow(someone, []Target{apple}, nil)
		for second := range 40 {
			until(began.Add(time.Duration(second) * time.Second))
			w.Expect(w.state(apple)()).To(Equal(State{}))
			if second%9 == 0 {
				stream.Add(fruit(apples, "Apple", "test", "boskoop", "red"))
			}
		}
		until(began.Add(50 * time.Second))
		w.Expect(w.state(apple)()).To(says(false, noAnswer, began.Add(36*time.Second)), "then it stands still")
		w.set.Follow(someone, nil, nil)
	})
}

func TestACallThatIsAnsweredAtTheLastMomentIsNotCalledFailed(t *testing.T) {
	atTheMoment := func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
		if err := pass(ctx, answerTime); err != nil {
			return nil, err
		}
		return opens(ctx, o)
	}
	for name, client := range map[string]func() *answers{
		"a list":             func() *answers { return &answers{list: lists(answerTime)} },
		"a watch":            func() *answers { return &answers{watch: atTheMoment} },
		"a list as a stream": func() *answers { return &answers{watch: atTheMoment, streams: true} },
	} {
		inBubble(t, name, func(t *testing.T) {
			for range 20 {
				w := newWorld(t, answering(client()))
				began := time.Now()
				w.set.Follow(someone, []Target{apple}, nil)
				until(began.Add(answerTime + noticed))
				w.Expect(w.state(apple)()).To(works())
				until(began.Add(time.Minute))
				w.Expect(w.state(apple)()).To(works())
				w.set.Follow(someone, nil, nil)
			}
		})
	}
}

func TestAnAnswerOutlivesTheTimeOfItsCall(t *testing.T) {
	g := NewWithT(t)
	began := time.Unix(1, 0)
	answered, left, other := &call{began}, &call{began}, &call{began}
	r := reading{open: answered}
	r.note(nil, began.Add(answerTime))
	g.Expect(r.tellUnanswered(answered, began.Add(10*time.Second))).To(BeFalse())
	g.Expect(r.state()).To(Equal(State{Synced: true}))
	r.open = other
	g.Expect(r.tellUnanswered(left, began.Add(10*time.Second))).To(BeFalse())
	g.Expect(r.tellUnanswered(other, began.Add(10*time.Second))).To(BeTrue())
	g.Expect(r.state()).To(says(true, noAnswer, began))
}

func TestWhatIsToldOfACallWithoutAnAnswerAfterAnotherFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var calls atomic.Int32
		client := &answers{list: func(ctx context.Context, o metav1.ListOptions) (*unstructured.UnstructuredList, error) {
			if calls.Add(1) == 1 {
				return nil, errBroken
			}
			return hangs(ctx, o)
		}}
		const broken = "the apiserver answers with status 500: Internal error occurred: etcd"
		w := newWorld(t, answering(client))
		began := time.Now()
		w.set.Follow(someone, []Target{apple}, nil)
		until(began.Add(3 * time.Second))
		w.Expect(w.state(apple)()).To(says(false, broken, began))
		until(began.Add(14 * time.Second))
		w.Expect(calls.Load()).To(Equal(int32(2)))
		w.Expect(w.state(apple)()).To(says(false, broken, began), "once may be a chance")
		until(began.Add(time.Minute))
		w.Expect(w.state(apple)()).To(says(false, noAnswer, began))
		w.Expect(w.notified(someone)()).To(Equal(2))
		w.set.Follow(someone, nil, nil)
	})
}

func TestTwoInformersThatSayTheSameSayItOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, answering(&answers{list: lists(15 * time.Second)}), func(o *Options[*kept]) { o.LabelSelectors = []string{"watched=true", "seen=true"} })
		began := time.Now()
		w.set.Follow(someone, []Target{apple}, nil)
		until(began.Add(14 * time.Second))
		w.Expect(w.state(apple)()).To(says(false, noAnswer, began))
		w.Expect(w.notified(someone)()).To(Equal(1))
		until(began.Add(15*time.Second + noticed))
		w.Expect(w.state(apple)()).To(works())
		w.Expect(w.notified(someone)()).To(Equal(3), "that it can be listed, and that it is")
	})
}

func TestOfAWatchThatHasEndedNothingIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, answering(&answers{list: hangs}))
		began := time.Now()
		w.set.Follow(someone, []Target{apple}, nil)
		until(began.Add(9 * time.Second))
		w.set.Follow(someone, nil, nil)
		w.set.Follow(another, []Target{apple}, nil)
		until(began.Add(15 * time.Second))
		w.Expect(w.notified(someone)() + w.notified(another)()).To(BeZero())
		w.Expect(w.state(apple)()).To(Equal(State{}), "it is asked for anew")
		w.set.Follow(another, nil, nil)
	})
}

// notYetThere is the answer of an apiserver that hasn't seen the version that it is asked for.
func notYetThere() error {
	err := apierrors.NewTimeoutError("Too large resource version", 1)
	err.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}
	return err
}

func TestAnswersThatGoOnBeingOutdatedAreAFault(t *testing.T) {
	expired := apierrors.NewResourceExpired("too old")
	lists := func(err error) *answers {
		return &answers{list: func(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error) { return nil, err }}
	}
	watches := func(err error) *answers {
		return &answers{watch: func(context.Context, metav1.ListOptions) (apiwatch.Interface, error) { return nil, err }}
	}
	streams := func(ctx context.Context, _ metav1.ListOptions) (apiwatch.Interface, error) {
		if err := pass(ctx, 100*time.Millisecond); err != nil { // the informer asks again without any delay
			return nil, err
		}
		events := apiwatch.NewRaceFreeFake()
		events.Error(&expired.ErrStatus)
		return events, nil
	}
	const tooOld = "the apiserver answers with status 410: too old"
	for name, test := range map[string]struct {
		client *answers
		synced bool
		words  string
		first  time.Duration
	}{
		"lists that have expired":                       {lists(expired), false, tooOld, 0},
		"lists of a version that isn't there yet":       {lists(notYetThere()), false, "the apiserver answers with status 504: Timeout: Too large resource version", 0},
		"watches that have expired":                     {watches(expired), true, tooOld, 0},
		"watches that aren't valid":                     {watches(apierrors.NewInvalid(schema.GroupKind{}, "options", nil)), true, `the apiserver answers with status 422:  "options" is invalid`, 0},
		"streams of the list that expire as they begin": {&answers{watch: streams, streams: true}, false, tooOld, 100 * time.Millisecond},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t, answering(test.client))
			began := time.Now()
			w.set.Follow(someone, []Target{apple}, nil)
			until(began.Add(9900 * time.Millisecond))
			told := w.notified(someone)()
			w.Expect(w.state(apple)()).To(Equal(State{Synced: test.synced}))
			until(began.Add(test.first + 10*time.Second))
			since := began.Add(test.first)
			w.Expect(w.state(apple)()).To(says(test.synced, test.words, since))
			until(began.Add(5 * time.Minute))
			w.Expect(w.state(apple)()).To(says(test.synced, test.words, since))
			w.Expect(w.notified(someone)()).To(Equal(told+1), "nothing is told twice")
			test.client.mend()
			until(began.Add(10 * time.Minute))
			w.Expect(w.state(apple)()).To(works())
			w.set.Follow(someone, nil, nil)
		})
	}
}

func TestAnOutdatedAnswerIsNoFailureWhereTheNextIsNot(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var tries atomic.Int32
		client := &answers{watch: func(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
			if tries.Add(1) <= 3 {
				return nil, apierrors.NewResourceExpired("too old")
			}
			return opens(ctx, o)
		}}
		w := newWorld(t, answering(client))
		began := time.Now()
		w.set.Follow(someone, []Target{apple}, nil)
		for second := range 60 {
			until(began.Add(time.Duration(second)*time.Second + noticed))
			w.Expect(w.state(apple)()).To(works())
		}
		w.Expect(tries.Load()).To(Equal(int32(4)))
		w.Expect(w.notified(someone)()).To(Equal(1), "that it is listed")
		w.set.Follow(someone, nil, nil)
	})
}

func TestAStreamedListThatIsBrokenOffEachTimeIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client := &answers{streams: true, watch: func(context.Context, metav1.ListOptions) (apiwatch.Interface, error) {
			events := apiwatch.NewRaceFreeFake()
			time.AfterFunc(2*time.Second, events.Stop)
			return events, nil
		}}
		w := newWorld(t, answering(client))
		began := time.Now()
		w.set.Follow(someone, []Target{apple}, nil)
		until(began.Add(5 * time.Second))
		w.Expect(w.state(apple)()).To(says(false, "the apiserver ends the list before it is complete", began.Add(2*time.Second)))
		client.mend()
		until(began.Add(time.Minute))
		w.Expect(w.state(apple)()).To(works())
		w.set.Follow(someone, nil, nil)
	})
}
