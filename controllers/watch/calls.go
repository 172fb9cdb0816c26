package watch

import "time"

// calls are those that a reading is of, and the namespaces that they read.
type calls[T Object] struct {
	set        *Set[T]
	watch      *kindWatch
	namespaces []string
	reading    *reading
}

// begin notes that a call begins. Where it has no answer in time, that is a fault, and another each time that it goes on for as long.
func (c calls[T]) begin() *call {
	begun := &call{began: time.Now()}
	c.watch.mu.Lock()
	c.reading.open = begun
	c.watch.mu.Unlock()
	c.expect(begun)
	return begun
}

func (c calls[T]) expect(begun *call) {
	c.later(answerTime, func() {
		if c.reading.tellUnanswered(begun, time.Now()) {
			c.expect(begun)
		}
	})
}

// progress notes that a part of an answer has come, and the rest has as long again.
func (c calls[T]) progress(begun *call) {
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	begun.began = time.Now()
}

// leave notes that a call isn't waited for any more, be it answered or not, and that this says nothing of what can be read.
func (c calls[T]) leave(begun *call) {
	c.watch.mu.Lock()
	defer c.watch.mu.Unlock()
	if c.reading.open == begun {
		c.reading.open = nil
	}
}

// end notes how a call ended, with an error that failure returned. It does nothing where another answer has come since.
func (c calls[T]) end(begun *call, err error) {
	c.set.update(c.watch, c.namespaces, func() {
		r := c.reading
		if r.open != begun {
			return
		}
		failed, outdated := r.failedSince, r.outdatedSince
		r.note(err, time.Now())
		if since := r.failedSince; failed.IsZero() && !since.IsZero() && r.err == nil {
			c.later(patience, func() { r.tell(since) })
		}
		if since := r.outdatedSince; outdated.IsZero() && !since.IsZero() {
			c.later(answerTime, func() { r.tellOutdated(since) })
		}
	})
}

func (c calls[T]) later(after time.Duration, change func()) {
	time.AfterFunc(after, func() { c.set.update(c.watch, c.namespaces, change) })
}

// update makes a change to how reading goes, and notifies the followers where that changes what they are told of a namespace.
// What is told so first and last is logged. Once the watch has ended nothing is changed any more.
func (s *Set[T]) update(w *kindWatch, namespaces []string, change func()) {
	w.mu.Lock()
	if w.ctx.Err() != nil {
		w.mu.Unlock()
		return
	}
	before := w.states(namespaces)
	change()
	after := w.states(namespaces)
	s.report(w, namespaces, after)
	w.mu.Unlock()
	for i := range namespaces {
		if before[i].Synced != after[i].Synced || words(before[i].Err) != words(after[i].Err) {
			s.notifyState(w.target)
			return
		}
	}
}

func (w *kindWatch) states(namespaces []string) []State {
	states := make([]State, 0, len(namespaces))
	for _, namespace := range namespaces {
		states = append(states, w.state(namespace))
	}
	return states
}

func words(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
