package golden

import (
	"sync"
	"time"

	"github.com/go-logr/logr"
)

type counter struct {
	mu    sync.Mutex
	log   logr.Logger
	count map[string]int
	total int64
}

func (c *counter) add(name string, by int64) (err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.log.Info("Counting", "name", name)
	if c.count == nil {
		c.count = map[string]int{}
	}
	c.count[name]++
	c.total += by // what follows a statement stays
	c.total -= 1 + by
	_ = name
	_ = c.reset()
	var length = len(name) - 1
	c.log.Info("A long statement is cut in lists", "name", name)
	c.long(name, "what is after the first ninety characters of a statement is not repeated in its name", length)
	_, err = time.ParseDuration(name)
	if err != nil {
		c.log.Error(err, "No duration")
		return err
	}
	delete(c.count, name)
	return nil
}

func (c *counter) reset() error { return nil }

func (c *counter) long(name, reason string, length int) {}

func (c counter) loops(in <-chan string, out chan<- string, names []string) int {
	go func() { out <- "begin" }()
outer:
	for {
		select {
		case name := <-in:
			if name == "" {
				names = append(names, name)
				break outer
			}
			out <- name
		default:
			for _, name := range names {
				if name == "skip" {
					out <- name
					continue outer
				}
				return 1
			}
			break
		}
	}
	if len(names) > 1 {
		return 2
	} else {
		names = append(names,
			"multiple",
			"lines")
	}
	switch c.total {
	case 1:
		return 3
	default:
		panic("tail")
	}
}

func byType(value any, done func()) (text string) {
	defer func() { recover() }()
	switch v := value.(type) {
	case int:
		if v == 1 {
			return "one"
		} else if v == 2 {
			done()
			return "two"
		} else {
			return "many"
		}
	case error:
		{
			done()
			return "error"
		}
	default:
		done()
		panic(value)
	}
}

func bySelect(in chan int, names []string) int {
	switch len(names) {
	case cap(names):
		if len(in) == 1 {
			return 1
		} else {
			return 2
		}
	}
last:
	select {
	case <-in:
		<-in
		return 3
	case in <- 1:
		switch {
		case len(in) == 5:
			break last
		default:
			panic(again)
		}
	}
	panic(names)
}

const again = "again"

func byLabel(in chan int) bool {
	<-in
only:
	select {
	case v := <-in:
		if v == 6 {
			goto only
		}
		return false
	}
}

func void(names []string, done func()) {
	if len(names) == 0 {
		done()
		return
	}
	for _, name := range names {
		if name != "" {
			done()
			return
		}
	}
	done()
}
