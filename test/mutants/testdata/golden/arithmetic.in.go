package golden

import "time"

type bytes uint32

const offset = 2 + 3

type total[T ~int] struct{ sum T }

type pair[K comparable, V any] struct{ sums map[K]int }

func (t *total[T]) add(a T, f float64) int {
	t.sum += a + T(f*f)
	t.of(a).sum -= 1
	return int(t.sum)
}

func (t *total[T]) of(T) *total[T] { return t }

func (p pair[K, V]) add(key K) { p.sums[key] += 2 }

func (*pair[K, V]) text(name string) string { return name + name }

func arithmetic(a, b int, text string, size bytes, at time.Duration) (int, string, bytes, time.Duration) {
	all := make([]int, a, a+b)
	set := make(map[int]bool, b-1)
	pipe := make(chan int, a+1)
	const seven = offset + 2
	pipe <- min(b, seven, a+7)
	pipe <- all[a-1] + offset
	set[a+b-offset] = true
	at += time.Second + 2*at
	text += "x" + text
	all[a] += b
	all[a+1] += b
	return a - (b+1)*-1, text + "y", size + 1, at - time.Second
}
