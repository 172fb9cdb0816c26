package watch

import (
	"context"
	"errors"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// patience is for how long reading may fail, for a cause that may pass by itself, before that is told: longer than it takes
// to try again once, as an apiserver that starts or is replaced makes necessary, and short beside anything that goes by it.
const patience = 3 * time.Second

// answerTime is for how long a call may have no answer, and answers may be outdated, before that is told as a fault: longer than
// lists take where all is well, and short beside the time that a mirror stands for a variant whose state isn't known. client-go
// sets calls no limit, and waits within one as often as the apiserver asks it to try later.
const answerTime = 10 * time.Second

var (
	errUnanswered = &fault{words: "the apiserver does not answer", cause: context.DeadlineExceeded}
	errIncomplete = errors.New("the apiserver ends the list before it is complete")
)

// call is one try to read something, of which it is known when it, or the wait for the rest of its answer, began.
type call struct{ began time.Time }

// reading is how the last tries to read something went.
type reading struct {
	// err is what is told of them, nil where nothing is.
	err error
	// last is why the last try failed, and failedSince when the first of those failed that no success has followed.
	last        error
	failedSince time.Time
	// open is the call that has no answer yet, nil where there is none.
	open *call
	// outdated is the last answer of which isOutdated says so, and outdatedSince when the first came that no success has followed.
	outdated      error
	outdatedSince time.Time
}

// note takes in how a try ended. What the cluster refuses is told at once; a fault once it has lasted, which tell does. What is
// told already gives way to another fault only when that has come twice in a row, so that nothing flaps.
func (r *reading) note(err error, now time.Time) {
	r.open = nil
	switch {
	case err == nil:
		*r = reading{}
	case !isOutdated(err):
		r.fail(err, now)
	case r.outdatedSince.IsZero():
		r.outdated, r.outdatedSince = err, now
	default:
		if r.outdated = err; now.Sub(r.outdatedSince) >= answerTime {
			r.failLong(err, r.outdatedSince)
		}
	}
}

// fail takes in a failure, and since when it is one where it is the first.
func (r *reading) fail(err error, since time.Time) {
	if !errors.Is(err, ErrUnavailable) || r.err != nil && r.last.Error() == err.Error() {
		r.err = err
	}
	r.last = err
	if r.failedSince.IsZero() {
		r.failedSince = since
	}
}

// failLong takes in a fault that has lasted already.
func (r *reading) failLong(err error, since time.Time) {
	r.fail(err, since)
	if r.err == nil {
		r.err = err
	}
}

// tell has what failed since a time told, where it still does and wasn't told yet.
func (r *reading) tell(since time.Time) {
	if r.err == nil && r.failedSince.Equal(since) {
		r.err = r.last
	}
}

// tellOutdated has it told that all answers since a time were outdated, where they still are.
func (r *reading) tellOutdated(since time.Time) {
	if r.outdatedSince.Equal(since) {
		r.failLong(r.outdated, since)
	}
}

// tellUnanswered has it told that a call has no answer, and reports whether it still has none.
func (r *reading) tellUnanswered(c *call, now time.Time) bool {
	if r.open != c {
		return false
	}
	if now.Sub(c.began) >= answerTime {
		r.failLong(errUnanswered, c.began)
	}
	return true
}

// state returns what the reading says of its target.
func (r *reading) state() State {
	state := State{Synced: true, Err: r.err}
	if r.err != nil {
		state.UnreadableSince = r.failedSince
	}
	return state
}

// isOutdated reports whether a try failed only since the apiserver doesn't know the version any more that it was asked for, or
// doesn't yet, or streams no lists: the informer asks otherwise at once. Only where that doesn't help is it a fault.
func isOutdated(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err) ||
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}
