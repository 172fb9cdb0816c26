package watch

import (
	"errors"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestWhatIsToldOfSeveralTries(t *testing.T) {
	notYetThere := apierrors.NewTimeoutError("Too large resource version", 1)
	notYetThere.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: metav1.CauseTypeResourceVersionTooLarge}}
	var (
		fine      error
		down      = failure("list apples", errors.New("down"))
		broken    = failure("list apples", errors.New("broken"))
		forbidden = failure("list apples", apierrors.NewForbidden(apples.GroupResource(), "", errors.New("no")))
		unserved  = failure("list apples", apierrors.NewNotFound(apples.GroupResource(), ""))
		expired   = failure("list apples", apierrors.NewResourceExpired("too old"))
		ahead     = failure("list apples", notYetThere)
	)
	began := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	never := -1
	for name, test := range map[string]struct {
		tries []error
		// after is how many of the tries are made when a fault is told that has lasted.
		after int
		told  error
		since int
	}{
		"nothing fails":                                       {[]error{fine, fine}, 2, nil, never},
		"one try fails":                                       {[]error{fine, down, fine}, never, nil, never},
		"faults that haven't lasted":                          {[]error{fine, down, broken}, never, nil, never},
		"a fault that has lasted":                             {[]error{fine, down}, 2, down, 1},
		"the latest of several faults counts":                 {[]error{down, broken}, 2, broken, 0},
		"one try that ends otherwise changes no words":        {[]error{down, broken, down, broken}, 1, down, 0},
		"two that end so do":                                  {[]error{down, broken, broken}, 1, broken, 0},
		"a refusal is told at once":                           {[]error{fine, forbidden}, never, forbidden, 1},
		"a refusal that follows faults is, since the first":   {[]error{down, forbidden}, never, forbidden, 0},
		"a refusal outlasts a fault":                          {[]error{forbidden, down}, 2, forbidden, 0},
		"a refusal outlasts faults that differ":               {[]error{forbidden, down, broken}, 2, forbidden, 0},
		"a refusal ends with a fault that comes twice":        {[]error{forbidden, down, down}, never, down, 0},
		"a refusal ends with another":                         {[]error{forbidden, unserved}, never, unserved, 0},
		"success ends a refusal":                              {[]error{forbidden, fine}, 2, nil, never},
		"success ends a fault, and the next is counted anew":  {[]error{down, fine, fine, down}, 4, down, 3},
		"a version that has expired is no failure":            {[]error{expired, expired}, 2, nil, never},
		"a version that isn't there yet is no failure":        {[]error{ahead, ahead}, 2, nil, never},
		"an expired version ends no failure":                  {[]error{down, expired}, 2, down, 0},
		"an expired version between two faults makes no news": {[]error{down, broken, expired, broken}, 1, broken, 0},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			at := func(try int) time.Time { return began.Add(time.Duration(try) * time.Second) }
			var r reading
			for i, try := range test.tries {
				r.note(try, at(i))
				if i+1 == test.after {
					r.tell(r.failedSince)
				}
			}
			want := State{Synced: true, Err: test.told}
			if test.since != never {
				want.UnreadableSince = at(test.since)
			}
			g.Expect(r.state()).To(Equal(want))
		})
	}
}

func TestAFaultThatHasEndedIsNotToldLater(t *testing.T) {
	g := NewWithT(t)
	first, second := time.Unix(1, 0), time.Unix(2, 0)
	down := failure("list apples", errors.New("down"))
	var r reading
	r.note(down, first)
	r.note(nil, second)
	r.tell(first)
	g.Expect(r.err).NotTo(HaveOccurred())
	r.note(down, second)
	r.tell(first)
	g.Expect(r.err).NotTo(HaveOccurred(), "another one has begun since")
	r.tell(second)
	g.Expect(r.err).To(Equal(down))
}

func TestTwoTargetsAreReliedOnTogether(t *testing.T) {
	early, late := time.Unix(1, 0), time.Unix(2, 0)
	for name, test := range map[string]struct{ one, other, want State }{
		"both are read": {State{Synced: true}, State{Synced: true}, State{Synced: true}},
		"one isn't yet": {State{Synced: true}, State{}, State{}},
		"one can't be": {State{Synced: true}, State{Synced: true, Err: ErrNotServed, UnreadableSince: late},
			State{Synced: true, Err: ErrNotServed, UnreadableSince: late}},
		"neither can be": {State{Synced: true, Err: ErrUnavailable, UnreadableSince: late}, State{Err: ErrNotServed, UnreadableSince: early},
			State{Err: ErrUnavailable, UnreadableSince: early}},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(test.one.And(test.other)).To(Equal(test.want))
		})
	}
}

func TestOutdatedAnswersThatGoOnForLongAreAFault(t *testing.T) {
	var (
		down    = failure("list apples", errors.New("down"))
		expired = failure("list apples", apierrors.NewResourceExpired("too old"))
	)
	began := time.Unix(1, 0)
	type try struct {
		second int
		err    error
	}
	for name, test := range map[string]struct {
		tries []try
		told  error
		since int
	}{
		"not yet":                           {[]try{{0, expired}, {9, expired}}, nil, 0},
		"since the first":                   {[]try{{0, expired}, {9, expired}, {10, expired}}, expired, 0},
		"since the first after a success":   {[]try{{0, expired}, {5, nil}, {6, expired}, {15, expired}}, nil, 0},
		"once after a fault that is told":   {[]try{{0, down}, {2, expired}, {12, expired}}, down, 0},
		"twice after a fault that is told":  {[]try{{0, down}, {2, expired}, {12, expired}, {13, expired}}, expired, 0},
		"in turn with a fault that is told": {[]try{{0, down}, {2, expired}, {12, expired}, {13, down}, {14, expired}, {15, down}}, down, 0},
		"a success ends it":                 {[]try{{0, expired}, {10, expired}, {11, nil}}, nil, 0},
	} {
		t.Run(name, func(t *testing.T) {
			at := func(second int) time.Time { return began.Add(time.Duration(second) * time.Second) }
			var r reading
			for _, try := range test.tries {
				r.note(try.err, at(try.second))
				if errors.Is(try.err, down) {
					r.tell(r.failedSince)
				}
			}
			want := State{Synced: true, Err: test.told}
			if test.told != nil {
				want.UnreadableSince = at(test.since)
			}
			NewWithT(t).Expect(r.state()).To(Equal(want))
		})
	}
}
