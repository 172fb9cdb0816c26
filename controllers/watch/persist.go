package watch

import (
	"context"
	"errors"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
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
