package sources

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/test/figures"
)

// memory is how much of it the operator and the processes that it renders in take, while a test runs.
type memory struct {
	pid    int
	before uint64
	stop   context.CancelFunc
	ended  chan struct{}

	mu sync.Mutex
	// most is what all children had at once, and one had by itself.
	most, one uint64
	children  map[int]bool
}

// watchMemory begins with what the operator has taken so far.
func watchMemory(t *testing.T) *memory {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	m := &memory{pid: operator.PID(), stop: cancel, ended: make(chan struct{}), children: map[int]bool{}}
	// From here on, the most that the kernel has seen of the process is the most since now.
	_ = os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", m.pid), []byte("5"), 0o600)
	m.before = taken(m.pid, "VmRSS")
	NewWithT(t).Expect(m.before).NotTo(BeZero())
	go m.watch(ctx)
	return m
}

func (m *memory) watch(ctx context.Context) {
	defer close(m.ended)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			m.look()
		}
	}
}

// look sums up what the children have.
func (m *memory) look() {
	var all uint64
	m.mu.Lock()
	defer m.mu.Unlock()
	threads, _ := os.ReadDir(fmt.Sprintf("/proc/%d/task", m.pid))
	for _, thread := range threads {
		list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%s/children", m.pid, thread.Name()))
		for child := range strings.FieldsSeq(string(list)) {
			pid, err := strconv.Atoi(child)
			if err != nil {
				continue
			}
			m.children[pid] = true
			has := taken(pid, "VmRSS")
			all += has
			m.one = max(m.one, has)
		}
	}
	m.most = max(m.most, all)
}

// report tells what was measured, and holds the operator to its limit.
func (m *memory) report(t *testing.T) {
	t.Helper()
	m.stop()
	<-m.ended
	most, after := taken(m.pid, "VmHWM"), taken(m.pid, "VmRSS")
	figures.Note(t, "the operator had %d MiB before, %d MiB at most (a rise of %d MiB) and %d MiB after", m.before>>20, most>>20, (most-m.before)>>20, after>>20)
	figures.Note(t, "the processes that it renders in, %d of them one after the other, had %d MiB at once at most, and one of them %d MiB", len(m.children), m.most>>20, m.one>>20)
	NewWithT(t).Expect(most).To(BeNumerically("<=", m.before+maxRise))
}

// taken reads a line of a process's status, in bytes; 0 if it is gone.
func taken(pid int, name string) uint64 {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, name+":"); ok {
			kibibytes, _ := strconv.ParseUint(strings.Fields(value)[0], 10, 64)
			return kibibytes << 10
		}
	}
	return 0
}
