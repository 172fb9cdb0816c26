package routingpolicy

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// firstPutBack is how soon a mirror is taken out again that others put back; each time it takes twice as long, up to the policy's interval.
const firstPutBack = 2 * time.Second

// putBacks keeps in the process how often mirrors were taken out, and put back by others at once. The next process begins anew.
type putBacks struct {
	mu sync.Mutex
	of map[types.NamespacedName]putBacksOf
}

// putBacksOf are those of one policy.
type putBacksOf struct {
	policy types.UID
	tries  map[mirrorKey]tries
}

// tries are how often a mirror was taken out, and when that was last.
type tries struct {
	times int
	last  time.Time
}

func (p *putBacks) get(name types.NamespacedName, policy types.UID, mirror mirrorKey) (tries, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	of := p.of[name]
	t, ok := of.tries[mirror]
	return t, ok && of.policy == policy
}

// set keeps the tries of a policy, and forgets all others of it.
func (p *putBacks) set(name types.NamespacedName, policy types.UID, all map[mirrorKey]tries) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(all) == 0 {
		delete(p.of, name)
		return
	}
	if p.of == nil {
		p.of = map[types.NamespacedName]putBacksOf{}
	}
	p.of[name] = putBacksOf{policy, all}
}

// isPutBack reports whether a mirror of the status stands though it may not, since others put it back.
func isPutBack(m iter8v1alpha1.Mirror) bool {
	return m.Reason == iter8v1alpha1.ReasonAltered && m.State != iter8v1alpha1.MirrorWithheld
}

// untilPutOut is how long it is until a mirror that was put back is to be taken out again; none or less where it is time.
func (r *Reconciler) untilPutOut(s *scope, m iter8v1alpha1.Mirror) time.Duration {
	t, ok := r.putBacks.get(s.name(), s.policy.UID, keyOf(m))
	if !ok {
		t = tries{times: 1, last: s.now}
		if m.Since != nil {
			t.last = m.Since.Time
		}
	}
	return t.last.Add(min(firstPutBack<<min(max(t.times-1, 0), 16), interval(s.policy))).Sub(s.now)
}

// countPutBacks counts the mirrors that others put back after they were taken out now, and comes back to all that they put back.
func (r *Reconciler) countPutBacks(s *scope) {
	all := map[mirrorKey]tries{}
	for _, m := range s.mirrors {
		if !isPutBack(m) {
			continue
		}
		key := keyOf(m)
		was, known := r.putBacks.get(s.name(), s.policy.UID, key)
		switch {
		case s.edited[m.Route]:
			all[key] = tries{was.times + 1, s.now}
		case known:
			all[key] = was
		}
	}
	r.putBacks.set(s.name(), s.policy.UID, all)
	for _, m := range s.mirrors {
		if isPutBack(m) {
			s.retryAfter(max(r.untilPutOut(s, m), time.Second))
		}
	}
}
