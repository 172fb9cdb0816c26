package watch

import (
	"context"
	"errors"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

const (
	// slowestPersistence is how soon a call that fails is made again at the latest, so that a fault which is over is seen to be within
	// seconds, however long it has lasted. A Reflector's own delays grow to a minute.
	slowestPersistence = 5 * time.Second
	// persistence is for how long: longer than a Reflector may call for nothing before its delays begin anew, so that they never grow.
	persistence = 150 * time.Second
)

// persist tries what fails again, and returns how the last try ended. What the cluster refuses, and what an informer has to ask for
// otherwise, isn't tried again, nor anything once the context has ended.
func persist(ctx context.Context, try func() error) error {
	backoff := wait.Backoff{Duration: firstRetry, Factor: 2, Jitter: 0.1, Steps: 16, Cap: slowestPersistence}
	began := time.Now()
	for {
		err := try()
		if err == nil || isOutdated(err) || !errors.Is(failure("", err), ErrUnavailable) || time.Since(began) > persistence {
			return err
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(backoff.Step()):
		}
	}
}

// Persistent returns calls of an informer that are made again where they fail.
func Persistent(calls cache.ListerWatcher) cache.ListerWatcher {
	once := cache.ToListerWatcherWithContext(calls)
	return &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (list runtime.Object, err error) {
			err = persist(ctx, func() error { list, err = once.ListWithContext(ctx, o); return err })
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (events watch.Interface, err error) {
			if ptr.Deref(o.SendInitialEvents, false) { // else an informer lists
				return once.WatchWithContext(ctx, o)
			}
			err = persist(ctx, func() error { events, err = once.WatchWithContext(ctx, o); return err })
			return events, err
		},
	}
}
