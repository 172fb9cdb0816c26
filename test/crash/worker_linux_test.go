package crash

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

const (
	// busy renders nothing, and takes a few hundredths of a second for it, and ten times that under the race detector. With much
	// more the operator would think it slow, and leave it no processor on a machine that has something else to do.
	busy = "{{ range until 1000 }}{{ range until 500 }}{{ end }}{{ end }}"
	// endless is a worker's work for years, if nothing ends it.
	endless = "{{ range until 10000 }}{{ range until 10000 }}" + busy + "{{ end }}{{ end }}"
)

// The kernel kills a render worker first where memory runs out, whatever it renders: that says nothing of the policy.
func TestAPolicyWhoseRenderWorkerIsKilledComesRightByItself(t *testing.T) {
	t.Parallel()
	for name, used := range map[string]bool{
		"a worker that has rendered nothing before": false,
		"a worker that has rendered before":         true,
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			r := s.start(nil, alone)
			s.create(s.service("app"))
			if used {
				s.create(s.subject("other", "app"), s.policy("other", routeTemplate("other")))
				s.Eventually(s.workers).WithArguments(r).Should(HaveLen(1))
				s.Eventually(func() error { _, err := s.observed("other"); return err }).Should(Succeed())
			}
			s.create(s.subject("app", "app"), s.policy("app", routeTemplate("one")+busy))
			worker := s.rendering(r)
			s.Expect(syscall.Kill(worker, syscall.SIGSTOP)).To(Succeed())
			s.Eventually(niceness).WithArguments(worker).Should(Equal(19), "the operator waits for it")
			s.Expect(syscall.Kill(worker, syscall.SIGKILL)).To(Succeed())
			s.Eventually(s.workers).WithArguments(r).ShouldNot(ContainElement(worker))
			s.Eventually(s.applied).WithArguments("app").Should(Equal([]string{"one"}))

			s.Expect(r.Done()).NotTo(BeClosed())
			s.create(s.subject("next", "app"), s.policy("next", routeTemplate("next")))
			s.Eventually(s.applied).WithArguments("next").Should(Equal([]string{"next"}), "it goes on")
		})
	}
}

func TestAKilledOperatorTakesItsRenderWorkersWithIt(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	r := s.start(nil, alone)
	s.create(s.service("app"), s.subject("app", "app"), s.policy("app", endless))
	worker := s.rendering(r)
	s.Cleanup(func() { _ = syscall.Kill(worker, syscall.SIGKILL) })
	r.kill()
	s.Eventually(func() []string { return stat(worker) }).Should(Or(BeEmpty(), ContainElement("Z")))
}

// applied returns the names in the inventory of a policy that is ready.
func (s *scene) applied(name string) ([]string, error) {
	policy, err := s.observed(name)
	if err != nil || readiness(policy.Status.Conditions) != "True Succeeded" {
		return nil, err
	}
	var names []string
	for _, entry := range policy.Status.Applied {
		names = append(names, entry.Name)
	}
	return names, nil
}

// workers returns the ids of an operator's children, which are its render workers.
func (s *scene) workers(r *replica) ([]int, error) {
	all, err := filepath.Glob("/proc/[0-9]*")
	var ids []int
	for _, process := range all {
		id, err := strconv.Atoi(filepath.Base(process))
		if err != nil {
			return nil, err
		}
		if fields := stat(id); len(fields) > 1 && fields[0] != "Z" && fields[1] == strconv.Itoa(r.PID()) {
			ids = append(ids, id)
		}
	}
	return ids, err
}

// rendering waits until a worker of an operator is in the middle of what keeps it busy, and returns its id. A worker is ready when it has
// forbidden itself what no render needs; what it takes of the processor from then on is for rendering.
func (s *scene) rendering(r *replica) int {
	s.Helper()
	var worker int
	idle := map[int]int{}
	s.Eventually(func() error {
		workers, err := s.workers(r)
		for _, id := range workers {
			took, ready := processorTime(id), isConfined(id)
			if _, known := idle[id]; !known && ready {
				idle[id] = took
			}
			if ready && took >= idle[id]+2 {
				worker = id
				return err
			}
		}
		return errors.Join(err, fmt.Errorf("none of %v renders", workers))
	}, time.Minute, time.Millisecond).Should(Succeed())
	return worker
}

// stat returns the fields of proc_pid_stat(5) from the third one, the state, on, and none of a process that is gone.
func stat(id int) []string {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", id))
	_, fields, _ := strings.Cut(string(data), ") ")
	return strings.Fields(fields)
}

// niceness of a process, which the operator gives to workers that take long; 0 is that of all others.
func niceness(id int) int {
	const nice = 19 - 3
	fields := stat(id)
	if len(fields) <= nice {
		return 0
	}
	n, _ := strconv.Atoi(fields[nice])
	return n
}

// processorTime is what a process has had of the processor, in hundredths of a second.
func processorTime(id int) int {
	const utime, stime = 14 - 3, 15 - 3
	fields := stat(id)
	if len(fields) <= stime {
		return 0
	}
	user, _ := strconv.Atoi(fields[utime])
	system, _ := strconv.Atoi(fields[stime])
	return user + system
}

// isConfined reports whether a filter of system calls is set for a process.
func isConfined(id int) bool {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", id))
	return slices.Contains(strings.Split(string(status), "\n"), "Seccomp:\t2")
}
