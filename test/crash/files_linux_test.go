package crash

import (
	"crypto/tls"
	"fmt"
	"os"
	"slices"
	"strconv"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// denyFiles leaves the operator no more files than a connection takes, as where its node has no more of them: a process takes pipes to it.
func denyFiles(s *scene, r *replica) func() {
	s.Eventually(func() error { // what it listens on takes files, too
		connection, err := tls.Dial("tcp", r.MetricsAddress, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec // it is only to answer
		if err != nil {
			return err
		}
		return connection.Close()
	}).Should(Succeed())
	var before unix.Rlimit
	s.Expect(unix.Prlimit(r.PID(), unix.RLIMIT_NOFILE, nil, &before)).To(Succeed())
	s.Expect(unix.Prlimit(r.PID(), unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: s.withRoomFor(2, r), Max: before.Max}, nil)).To(Succeed())
	workers, err := s.workers(r)
	s.Expect(err).NotTo(HaveOccurred())
	for _, worker := range workers { // in whose place another is to be started
		s.Expect(unix.Kill(worker, unix.SIGKILL)).To(Succeed())
	}
	return func() { s.Expect(unix.Prlimit(r.PID(), unix.RLIMIT_NOFILE, &before, nil)).To(Succeed()) }
}

// withRoomFor returns the limit below which an operator may open only so many files more.
func (s *scene) withRoomFor(files uint64, r *replica) uint64 {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", r.PID()))
	s.Expect(err).NotTo(HaveOccurred())
	open := make([]uint64, 0, len(entries))
	for _, entry := range entries {
		number, err := strconv.ParseUint(entry.Name(), 10, 64)
		s.Expect(err).NotTo(HaveOccurred())
		open = append(open, number)
	}
	limit := uint64(0)
	for ; files > 0 || slices.Contains(open, limit); limit++ {
		if !slices.Contains(open, limit) {
			files--
		}
	}
	return limit
}
