package routingpolicy

import (
	"context"
	"errors"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
)

const (
	// checkTimeout is how long a check may take as a whole: of each object a webhook of 30 seconds may be asked. One that takes longer is
	// made again.
	checkTimeout = time.Minute
	// checkPatience is how long a reconcile waits for the answers. After that they come with an event, and what else happens doesn't wait.
	checkPatience = 500 * time.Millisecond
	// checksAtOnce is how many checks of all policies ask at the same time: those that wait for webhooks take room in the apiserver that
	// other writes, above all withdrawals, need.
	checksAtOnce = 32
)

// checks are those that are under way, one for each policy at most.
type checks struct {
	mu sync.Mutex
	of map[types.NamespacedName]*checking
	// slots has an element for each check that asks; nil before the first.
	slots chan struct{}
}

// begin waits until another check may ask, and reports whether it may: not where the context ends before. The function that it returns is to be
// called at the end.
func (c *checks) begin(ctx context.Context) (end func(), ok bool) {
	c.mu.Lock()
	if c.slots == nil {
		c.slots = make(chan struct{}, checksAtOnce)
	}
	slots := c.slots
	c.mu.Unlock()
	select {
	case slots <- struct{}{}:
		return func() { <-slots }, true
	case <-ctx.Done():
		return func() {}, false
	}
}

// checking is a check of what a digest stands for.
type checking struct {
	digest string
	cancel context.CancelFunc
	// done is closed once the results are there.
	done     chan struct{}
	answered bool
	failed   *apply.Failure
}

func (c *checking) isDone() bool {
	select {
	case <-c.done:
		return true
	default:
		return false
	}
}

// get returns the check of a policy for a digest, nil where there is none.
func (c *checks) get(name types.NamespacedName, digest string) *checking {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found := c.of[name]; found != nil && found.digest == digest {
		return found
	}
	return nil
}

// set keeps a check in place of the one before, which ends; nil keeps none.
func (c *checks) set(name types.NamespacedName, next *checking) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if before := c.of[name]; before != nil {
		before.cancel()
	}
	if next == nil {
		delete(c.of, name)
		return
	}
	if c.of == nil {
		c.of = map[types.NamespacedName]*checking{}
	}
	c.of[name] = next
}

// check has the apiserver check the objects before the first of several is applied, and with all the mirrors that they have once every variant is
// available, so that what it refuses is refused when the spec comes and not when a variant does. What it has accepted once for a spec is not
// checked again. What Iter8's ConfigMaps render is not checked at all: it goes on in each state in which it did.
//
//	asked ─┬─► answered within a moment ─► apply
//	       └─► hold ─► events: withdraw, hold ─► answered, notified ─► apply
func (r *Reconciler) check(ctx context.Context, s *scope) outcome {
	digest := s.checkedDigest()
	if s.policy.Status.Checked == digest || s.owner().ConvertedFrom != "" {
		s.checked = digest
		return advance
	}
	running := r.checks.get(s.name(), digest)
	if running == nil {
		r.checks.set(s.name(), nil) // what was asked about something else
		check, ended := r.newCheck(s)
		if check == nil {
			return ended
		}
		if !check.Asks() {
			return r.checkedAs(s, check.Answered(), nil)
		}
		r.withdraw(ctx, s) // what may not stand doesn't wait for the answers
		running = r.start(ctx, s, digest, check)
	}
	if !running.isDone() {
		return hold
	}
	r.checks.set(s.name(), nil)
	return r.checkedAs(s, running.answered, running.failed)
}

// newCheck returns what is to be asked; nil where it doesn't come to that, and how the phase ends then.
func (r *Reconciler) newCheck(s *scope) (*apply.Check, outcome) {
	all, ended := r.withEveryVariant(s)
	if ended != advance {
		return nil, ended
	}
	if !r.knowsStanding(s) {
		return nil, advance // nothing is applied, and what isn't known can't be planned with
	}
	account, err := r.Accounts.For(s.policy.Namespace, s.policy.Spec.ServiceAccountName)
	if err != nil {
		return nil, s.fail(iter8v1alpha1.ConditionApplied, iter8v1alpha1.ReasonApplyFailed, err)
	}
	request := apply.Request{Owner: s.owner(), Manifests: s.gated.Manifests, Ungated: s.manifests, Inventory: s.recorded(), Account: account}
	check, failed := r.Executor.Check(request, all)
	if failed != nil {
		return nil, s.refused(failed)
	}
	return check, advance
}

// start begins a check, and waits for it for a moment. Where it takes longer the policy is notified of its end.
func (r *Reconciler) start(ctx context.Context, s *scope, digest string, check *apply.Check) *checking {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	c := &checking{digest: digest, cancel: cancel, done: make(chan struct{})}
	r.checks.set(s.name(), c)
	name, late := s.name(), make(chan struct{})
	go func() {
		defer cancel()
		if end, ok := r.checks.begin(ctx); ok {
			bounded, ended := context.WithTimeout(ctx, checkTimeout)
			c.answered, c.failed = check.Run(bounded)
			ended()
			end()
		}
		close(c.done)
		select {
		case <-late:
			r.Policies.Notify(name)
		default:
		}
	}()
	patience := time.NewTimer(checkPatience)
	defer patience.Stop()
	select {
	case <-c.done:
	case <-patience.C:
		close(late)
	}
	return c
}

// checkedAs records what came of a check.
func (r *Reconciler) checkedAs(s *scope, answered bool, failed *apply.Failure) outcome {
	switch {
	case failed != nil:
		return s.refused(failed)
	case answered:
		s.checked = s.checkedDigest()
	default:
		s.retryAfter(interval(s.policy))
	}
	return advance
}

// refused records why the apiserver wouldn't take what is to be applied.
func (s *scope) refused(why *apply.Failure) outcome {
	s.retryAfter(interval(s.policy)) // what refused may be an admission policy
	return s.fail(iter8v1alpha1.ConditionApplied, why.Reason, errors.New(why.Message))
}
