package apply

import (
	"sync"
	"time"

	"iter8.tools/operator/controllers/routes"
)

// writePatience is how long a write keeps the next one waiting that doesn't depend on it: a webhook that hangs on one route must not keep
// mirrors in the others.
const writePatience = time.Second

// independent returns how many of the first steps depend on nothing that comes of one of them: at least one.
func independent(steps []Step) int {
	n := 1
	if steps[0].waits() {
		return n
	}
	for n < len(steps) && !steps[n].waits() && steps[n].Action.leaves() == steps[0].Action.leaves() {
		n++
	}
	return n
}

// waits reports whether a step is taken only once it is known what came of those before, or those after it are.
func (s Step) waits() bool {
	return s.Stage != Whole || s.Spare || routes.DefinesSubsets(s.Key.GroupKind)
}

// inTurn takes a number of steps one after the other, and the next one meanwhile where one takes longer than the patience. It returns
// once all are taken.
func inTurn(steps int, patience time.Duration, take func(step int)) {
	var all sync.WaitGroup
	defer all.Wait()
	for i := range steps {
		taken := make(chan struct{})
		all.Go(func() {
			defer close(taken)
			take(i)
		})
		if i == steps-1 {
			return
		}
		timer := time.NewTimer(patience)
		select {
		case <-taken:
		case <-timer.C:
		}
		timer.Stop()
	}
}
