package proxy

import (
	"math/rand/v2"
	"sync"
)

// dice are a source of random numbers for many goroutines: from the same start, the same numbers.
type dice struct {
	mu     sync.Mutex
	source *rand.PCG
}

func newDice(start uint64) *dice { return &dice{source: rand.NewPCG(start, start)} }

func (d *dice) roll() uint64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.source.Uint64()
}
