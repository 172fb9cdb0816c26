package apply

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

const (
	// fightWindow is the time within which an object is put right so often, at the most, before it counts as contended. One that
	// has stayed as it was written for as long is contended no more.
	fightWindow = time.Minute
	tolerated   = 3
	// firstTruce is how long a contended object is left as another has made it. Each truce is twice as long as the one before.
	firstTruce   = 10 * time.Second
	longestTruce = 5 * time.Minute
	// editPause is between two edits of an object of which others have undone several.
	editPause = time.Second
)

// fights notices objects that another changes back as often as they are put right, so that the two don't go on for ever.
//
//	put right ─► 3 times within a minute ─► contended: a truce, put right, a longer truce, put right, …
//	                                            └─ left alone for a minute after it was put right ─► as if nothing had been
type fights struct {
	mu      sync.Mutex
	objects map[types.UID]*fight
	// swept is when those that are over were forgotten last.
	swept time.Time
}

type fight struct {
	// reverts and edits are the times at which the object was put right, within the window.
	reverts, edits []time.Time
	// truce is how long the object is left alone, zero while it isn't contended, and until its end.
	truce time.Duration
	until time.Time
	// outstanding: it is contended, and still to be put right.
	outstanding bool
	about       Contention
	// written is the generation that this process wrote last, at a time: a newer one is another's.
	written int64
	at      time.Time
}

// Contention is what two managers fight about.
type Contention struct {
	// Object is its kind and name, Managers are who else writes it, and Fields are which of the policy's were changed.
	Object, Managers, Fields string
}

// String returns a sentence on it, and what to do.
func (c Contention) String() string {
	return fmt.Sprintf("%s is changed back by %s as often as it is put right (%s); have only one of the two write it: "+
		"leave the object out of what Flux applies, or name its fields in the ignoreDifferences of Argo CD", c.Object, cmp.Or(c.Managers, "another"), cmp.Or(c.Fields, "its metadata"))
}

// Contended returns what an object is fought about, and when that is over if it is left alone; the zero time where it isn't.
func (x *Executor) Contended(object types.UID, now time.Time) (Contention, time.Time) {
	return x.fights.contended(object, now)
}

// makePeace leaves objects as they are that others change back over and over, until the next time to put them right.
func (x *Executor) makePeace(ctx context.Context, steps []Step) {
	for i, step := range steps {
		e := step.Existing
		if step.Action != Update || step.Digest != step.Entry.Digest || step.Entry.UID != e.UID || e.Generation == 0 || x.fights.isOwn(e.UID, e.Generation) {
			continue
		}
		about := Contention{Object: step.Key.Kind + " " + step.Key.Name, Managers: e.Managers, Fields: differences(step.Manifest, e)}
		longest := longestTruce
		if step.changedSubsets() {
			longest = editPause // mirrors go by what is rendered, and others' Pods must not get copies for minutes
		}
		if until := x.fights.revert(e.UID, about, longest, time.Now()); !until.IsZero() {
			steps[i].Action, steps[i].until = Yield, until
			continue
		}
		steps[i].reverts = true
		ctrl.LoggerFrom(ctx).Info("Putting right what another changed", "object", about.Object, "managers", about.Managers, "fields", about.Fields)
	}
}

// putRight counts what others changed and was changed back.
var putRight = prometheus.NewCounterVec(prometheus.CounterOpts{
	Name: "iter8_drift_corrections_total",
	Help: "Objects of policies that another changed, and that were put right, by their kind.",
}, []string{"kind"})

func init() { metrics.Registry.MustRegister(putRight) }

// wrote notes what this process wrote.
func (f *fights) wrote(object types.UID, generation int64, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fight := f.of(object, now)
	fight.written, fight.at = generation, now
}

// isOwn reports whether a generation of an object is the one that this process wrote last.
func (f *fights) isOwn(object types.UID, generation int64) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	fight, ok := f.objects[object]
	return ok && fight.written == generation
}

// revert asks whether an object may be put right, which has to wait no longer than some time after it last was. The answer is the zero time,
// or when it may.
func (f *fights) revert(object types.UID, about Contention, longest time.Duration, now time.Time) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	fight := f.of(object, now)
	fight.about = about
	if fight.truce == 0 && len(fight.reverts) >= tolerated {
		fight.truce, fight.until = firstTruce, now.Add(firstTruce)
	}
	fight.outstanding = fight.truce > 0
	until := fight.until
	if n := len(fight.reverts); n == 0 && longest < fightWindow {
		until = now
	} else if n > 0 && fight.reverts[n-1].Add(longest).Before(until) {
		until = fight.reverts[n-1].Add(longest)
	}
	if now.Before(until) {
		return until
	}
	return time.Time{}
}

// reverted notes that an object was put right. A try that failed is none of a fight.
func (f *fights) reverted(object types.UID, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fight := f.of(object, now)
	fight.outstanding = false
	if fight.truce > 0 {
		fight.truce = min(2*fight.truce, longestTruce)
		fight.until = now.Add(fight.truce)
	}
	fight.reverts = append(fight.reverts, now)
}

// edit asks whether an object may be edited. The answer is the zero time, or when it may.
func (f *fights) edit(object types.UID, now time.Time) time.Time {
	f.mu.Lock()
	defer f.mu.Unlock()
	fight := f.of(object, now)
	if n := len(fight.edits); n >= tolerated && now.Before(fight.edits[n-1].Add(editPause)) {
		return fight.edits[n-1].Add(editPause)
	}
	return time.Time{}
}

// edited notes that an object was edited.
func (f *fights) edited(object types.UID, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fight := f.of(object, now)
	fight.edits = append(fight.edits, now)
}

// contended returns what an object is fought about, and when that is over if it is left alone; the zero time where it isn't.
func (f *fights) contended(object types.UID, now time.Time) (about Contention, over time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fight, ok := f.objects[object]
	if !ok || fight.truce == 0 || fight.isOver(now) {
		return Contention{}, time.Time{}
	}
	return fight.about, fight.end()
}

// of returns the fight about an object, without what is too long ago to count.
func (f *fights) of(object types.UID, now time.Time) *fight {
	if f.objects == nil {
		f.objects = map[types.UID]*fight{}
	}
	if now.Sub(f.swept) > fightWindow {
		f.swept = now
		for uid, fight := range f.objects {
			if fight.isOver(now) {
				delete(f.objects, uid)
			}
		}
	}
	found, ok := f.objects[object]
	if !ok || found.isOver(now) {
		found = &fight{}
		f.objects[object] = found
	}
	found.reverts, found.edits = since(found.reverts, now.Add(-fightWindow)), since(found.edits, now.Add(-fightWindow))
	return found
}

func (f *fight) isOver(now time.Time) bool { return !now.Before(f.end()) }

// end is when a fight is over, if nothing has to be put right until then.
func (f *fight) end() time.Time {
	end := f.at
	if f.outstanding {
		end = later(end, f.until)
	}
	for _, times := range [][]time.Time{f.reverts, f.edits} {
		if n := len(times); n > 0 {
			end = later(end, times[n-1])
		}
	}
	return end.Add(fightWindow)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

func since(times []time.Time, from time.Time) []time.Time {
	for len(times) > 0 && times[0].Before(from) {
		times = times[1:]
	}
	return times
}
