package watch

import (
	"errors"
	"net/http"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// patience is for how long reading may fail, for a cause that may pass by itself, before that is told: longer than it takes
// to try again once, as an apiserver that starts or is replaced makes necessary, and short beside anything that goes by it.
const patience = 3 * time.Second

// reading is how the last tries to read something went.
type reading struct {
	// err is what is told of them, nil where nothing is.
	err error
	// last is why the last try failed, and failedSince when the first of those failed that no success has followed.
	last        error
	failedSince time.Time
	contact     time.Time
}

// note takes in how a try went. What the cluster refuses is told at once; a fault once it has lasted, which tell does. What is
// told already gives way to another fault only when that has come twice in a row, so that nothing flaps.
func (r *reading) note(err error, now time.Time) {
	if isAnswer(err) {
		r.contact = now
	}
	switch {
	case err == nil:
		*r = reading{contact: now}
		return
	case isOutdated(err):
		return
	case !errors.Is(err, ErrUnavailable), r.err != nil && r.last.Error() == err.Error():
		r.err = err
	}
	r.last = err
	if r.failedSince.IsZero() {
		r.failedSince = now
	}
}

// tell has what failed since a time told, and reports whether it still does and wasn't told yet.
func (r *reading) tell(since time.Time) bool {
	if r.err != nil || !r.failedSince.Equal(since) {
		return false
	}
	r.err = r.last
	return true
}

// state returns what the reading says of its target.
func (r *reading) state() State {
	state := State{Synced: true, Err: r.err, LastContact: r.contact}
	if r.err != nil {
		state.UnreadableSince = r.failedSince
	}
	return state
}

// record notes how a try to read went, with an error that failure returned, and notifies the followers where that changes
// what they are told.
func (s *Set[T]) record(target Target, w *kindWatch, r *reading, err error) {
	w.mu.Lock()
	before := *r
	r.note(err, time.Now())
	after := *r
	w.mu.Unlock()
	if words(before.err) != words(after.err) {
		s.notifyState(target)
	}
	if before.failedSince.IsZero() && !after.failedSince.IsZero() && after.err == nil {
		time.AfterFunc(patience, func() {
			w.mu.Lock()
			told := r.tell(after.failedSince)
			w.mu.Unlock()
			if told {
				s.notifyState(target)
			}
		})
	}
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// isAnswer reports whether a try's end is what the cluster says of the request, and not that it has no answer now.
func isAnswer(err error) bool {
	if !errors.Is(err, ErrUnavailable) {
		return true
	}
	var status apierrors.APIStatus
	return errors.As(err, &status) && status.Status().Code < http.StatusInternalServerError && status.Status().Code != http.StatusTooManyRequests
}

// isOutdated reports whether a try failed only since the apiserver doesn't know the version any more that it was asked for, or
// doesn't yet, or streams no lists: the informer asks otherwise at once.
func isOutdated(err error) bool {
	return apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err) ||
		apierrors.HasStatusCause(err, metav1.CauseTypeResourceVersionTooLarge)
}

// afterInitialEvents calls a function once a stream has brought all objects that there were at its start. That the stream has
// begun says nothing of it: where a conversion webhook fails, it does so in the middle.
func afterInitialEvents(stream watch.Interface, call func()) watch.Interface {
	events := make(chan watch.Event)
	proxy := watch.NewProxyWatcher(events)
	go func() {
		defer close(events)
		defer stream.Stop()
		for {
			select {
			case event, open := <-stream.ResultChan():
				if !open {
					return
				}
				if endsInitialEvents(event) {
					call()
				}
				select {
				case events <- event:
				case <-proxy.StopChan():
					return
				}
			case <-proxy.StopChan():
				return
			}
		}
	}()
	return proxy
}

func endsInitialEvents(event watch.Event) bool {
	if event.Type != watch.Bookmark {
		return false
	}
	object, err := meta.Accessor(event.Object)
	return err == nil && object.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true"
}
