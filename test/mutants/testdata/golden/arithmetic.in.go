package golden

import "time"

type bytes uint32

const offset = 2 + 3

func arithmetic(a, b int, text string, size bytes, at time.Duration) (int, string, bytes, time.Duration) {
	all := make([]int, a, a+b)
	set := make(map[int]bool, b-1)
	pipe := make(chan int, a+1)
	pipe <- all[a-1] + offset
	set[a+b-offset] = true
	at += time.Second + 2*at
	text += "x" + text
	all[a] += b
	all[a+1] += b
	return a - (b+1)*-1, text + "y", size + 1, at - time.Second
}
