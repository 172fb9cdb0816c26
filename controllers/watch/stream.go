package watch

import (
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// initialEvents calls progress for the objects that a stream brings, though not for each, and end once a stream has brought all objects that there were at its start, or with what has ended it before;
// or left, where its reader waits no longer. That the stream has begun says nothing of it: where a conversion webhook fails, it
// does so in the middle.
func initialEvents(stream watch.Interface, progress func(), end func(error), left func()) watch.Interface {
	events := make(chan watch.Event)
	proxy := watch.NewProxyWatcher(events)
	go func() {
		defer close(events)
		defer stream.Stop()
		defer left()
		ended, noted := false, time.Time{}
		for {
			select {
			case event, open := <-stream.ResultChan():
				if !ended {
					var err error
					if ended, err = endOfInitialEvents(event, open); ended {
						end(err)
					} else if now := time.Now(); now.Sub(noted) >= time.Second {
						noted = now
						progress()
					}
				}
				if !open {
					return
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

// endOfInitialEvents reports whether an event, or the end of the stream, ends the initial events, and the error that does so early.
func endOfInitialEvents(event watch.Event, open bool) (bool, error) {
	switch {
	case !open:
		return true, errIncomplete
	case event.Type == watch.Error:
		return true, apierrors.FromObject(event.Object)
	case event.Type != watch.Bookmark:
		return false, nil
	}
	object, err := meta.Accessor(event.Object)
	return err == nil && object.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true", nil
}
