package observe

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/util/flowcontrol"
	"k8s.io/client-go/util/workqueue"

	"iter8.tools/operator/controllers/watch"
)

const (
	// A resource that isn't there is first looked for without its label after firstLook, so that one that is
	// just being made, or comes back at once, costs no read; then ever less often, until a Subject changes that names it or its watch
	// shows its end. Each delay is longer by up to a lookSpread, so that looks which began together don't stay so.
	firstLook  = 3 * time.Second
	rarestLook = time.Hour
	lookSpread = 0.2
	// looksPerSecond are those at all resources together: after a start, all that is missing is looked for anew.
	looksPerSecond, looksInABurst = 5, 20

	looksAtOnce = 4
	lookTimeout = 10 * time.Second
)

// unlabelled finds resources that exist but lack the label by which they would be watched. Nothing routes by
// it: it only lets the status say what is missing. It reads one object at a time, off the path of any event.
type unlabelled struct {
	client  metadata.Interface
	mapper  meta.RESTMapper
	missing func(watch.Name) bool
	changed func(watch.Name)
	queue   workqueue.TypedRateLimitingInterface[watch.Name]
	pace    flowcontrol.RateLimiter

	mu    sync.RWMutex
	found map[watch.Name]struct{}
}

func newUnlabelled(client metadata.Interface, mapper meta.RESTMapper, missing func(watch.Name) bool, changed func(watch.Name)) *unlabelled {
	return &unlabelled{
		client:  client,
		mapper:  mapper,
		missing: missing,
		changed: changed,
		queue: workqueue.NewTypedRateLimitingQueue(
			spread{workqueue.NewTypedItemExponentialFailureRateLimiter[watch.Name](firstLook, rarestLook)}),
		pace:  flowcontrol.NewTokenBucketRateLimiter(looksPerSecond, looksInABurst),
		found: map[watch.Name]struct{}{},
	}
}

// lookUp reports whether a resource that its watch doesn't show was found without the label, and has it looked for if
// that isn't under way.
func (u *unlabelled) lookUp(r watch.Name) bool {
	r.Full = false // a resource is looked for once, whichever watch it is missing from
	u.mu.RLock()
	_, found := u.found[r]
	u.mu.RUnlock()
	if u.queue.NumRequeues(r) == 0 {
		u.queue.AddRateLimited(r)
	}
	return found
}

// renew has a resource looked for as if it were missing since now.
func (u *unlabelled) renew(r watch.Name) {
	r.Full = false
	u.queue.Forget(r)
}

// spread lengthens the delays of another limiter, each by another part.
type spread struct {
	workqueue.TypedRateLimiter[watch.Name]
}

// When returns how long to wait before a resource is looked for.
func (s spread) When(r watch.Name) time.Duration {
	return wait.Jitter(s.TypedRateLimiter.When(r), lookSpread)
}

func (u *unlabelled) run(ctx context.Context) {
	var workers sync.WaitGroup
	for range looksAtOnce {
		workers.Go(func() {
			for {
				r, shutdown := u.queue.Get()
				if shutdown {
					return
				}
				u.look(ctx, r)
				u.queue.Done(r)
			}
		})
	}
	<-ctx.Done()
	u.queue.ShutDown()
	workers.Wait()
}

// look asks the apiserver for one object, for as long as a Subject names it and no watch shows it.
func (u *unlabelled) look(ctx context.Context, r watch.Name) {
	exists := false
	if u.missing(r) {
		exists = u.exists(ctx, r)
		u.queue.AddRateLimited(r)
	} else {
		u.queue.Forget(r)
	}
	u.mu.Lock()
	_, before := u.found[r]
	if exists {
		u.found[r] = struct{}{}
	} else {
		delete(u.found, r)
	}
	u.mu.Unlock()
	if before != exists {
		u.changed(r)
	}
}

func (u *unlabelled) exists(ctx context.Context, r watch.Name) bool {
	if u.pace.Wait(ctx) != nil {
		return false
	}
	mapping, err := u.mapper.RESTMapping(r.GroupKind(), r.Version)
	if err != nil {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	_, err = u.client.Resource(mapping.Resource).Namespace(r.Object.Namespace).Get(ctx, r.Object.Name, metav1.GetOptions{})
	return err == nil
}
