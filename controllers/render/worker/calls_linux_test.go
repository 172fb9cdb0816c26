package worker

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"unsafe"

	. "github.com/onsi/gomega"
	"golang.org/x/sys/unix"
)

// call is a system call as the kernel gets it, without a library that could fail by itself before.
type call struct {
	name   string
	number uintptr
	args   [5]uintptr
}

const (
	none   = ^uintptr(0)        // -1, which is no descriptor, process or command
	here   = ^uintptr(0) - 99   // AT_FDCWD
	absent = uintptr(1<<31 - 1) // the number of no process
)

// calls are what a render has no use for. Each does nothing, or fails for another reason, where it isn't forbidden.
func calls() []call {
	file, nothing := text("/etc/hostname"), text("/nothing/is/here")
	scratch := text(fmt.Sprintf("%s/iter8-worker-test-%d", os.TempDir(), os.Getpid()))
	return []call{
		{"open a file", unix.SYS_OPENAT, [5]uintptr{here, file, unix.O_RDONLY}},
		{"create a file", unix.SYS_OPENAT, [5]uintptr{here, scratch, unix.O_WRONLY | unix.O_CREAT, 0o600}},
		{"make a socket", unix.SYS_SOCKET, [5]uintptr{unix.AF_INET, unix.SOCK_STREAM}},
		{"connect", unix.SYS_CONNECT, [5]uintptr{none}},
		{"send", unix.SYS_SENDTO, [5]uintptr{none}},
		{"execute", unix.SYS_EXECVE, [5]uintptr{nothing}},
		{"signal the operator", unix.SYS_KILL, [5]uintptr{uintptr(os.Getppid())}},

		{"openat2", unix.SYS_OPENAT2, [5]uintptr{here, nothing}},
		{"open_by_handle_at", unix.SYS_OPEN_BY_HANDLE_AT, [5]uintptr{none}},
		{"unlinkat", unix.SYS_UNLINKAT, [5]uintptr{here, nothing}},
		{"renameat2", unix.SYS_RENAMEAT2, [5]uintptr{here, nothing, here, nothing}},
		{"mkdirat", unix.SYS_MKDIRAT, [5]uintptr{here, nothing}},
		{"socketpair", unix.SYS_SOCKETPAIR, [5]uintptr{unix.AF_UNIX, unix.SOCK_STREAM}},
		{"bind", unix.SYS_BIND, [5]uintptr{none}},
		{"listen", unix.SYS_LISTEN, [5]uintptr{none}},
		{"sendmsg", unix.SYS_SENDMSG, [5]uintptr{none}},
		{"execveat", unix.SYS_EXECVEAT, [5]uintptr{here, nothing}},
		{"pidfd_open", unix.SYS_PIDFD_OPEN, [5]uintptr{absent}},
		{"pidfd_send_signal", unix.SYS_PIDFD_SEND_SIGNAL, [5]uintptr{none}},
		{"ptrace", unix.SYS_PTRACE, [5]uintptr{unix.PTRACE_DETACH, absent}},
		{"process_vm_readv", unix.SYS_PROCESS_VM_READV, [5]uintptr{absent}},
		{"process_vm_writev", unix.SYS_PROCESS_VM_WRITEV, [5]uintptr{absent}},
		{"unshare", unix.SYS_UNSHARE, [5]uintptr{}},
		{"setns", unix.SYS_SETNS, [5]uintptr{none}},
		{"mount", unix.SYS_MOUNT, [5]uintptr{}},
		{"bpf", unix.SYS_BPF, [5]uintptr{none}},
		{"io_uring_setup", unix.SYS_IO_URING_SETUP, [5]uintptr{}},
		{"userfaultfd", unix.SYS_USERFAULTFD, [5]uintptr{none}},
		{"perf_event_open", unix.SYS_PERF_EVENT_OPEN, [5]uintptr{}},
		{"keyctl", unix.SYS_KEYCTL, [5]uintptr{none}},
		{"add_key", unix.SYS_ADD_KEY, [5]uintptr{}},
		{"request_key", unix.SYS_REQUEST_KEY, [5]uintptr{}},
	}
}

// text is a string as the kernel takes it.
func text(s string) uintptr {
	p, err := unix.BytePtrFromString(s)
	if err != nil {
		panic(err)
	}
	texts = append(texts, p)
	return uintptr(unsafe.Pointer(p))
}

// texts keeps them from being collected.
var texts []*byte

// tryCalls prints what the kernel answers to each.
func tryCalls() {
	for _, c := range calls() {
		_, _, errno := unix.Syscall6(c.number, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4], 0)
		fmt.Printf("%s: %d\n", c.name, errno)
	}
}

func TestAChildCanDoNothingButRender(t *testing.T) {
	answers := func(role string) map[string]string {
		g := NewWithT(t)
		program, err := os.Executable()
		g.Expect(err).NotTo(HaveOccurred())
		said, err := exec.CommandContext(t.Context(), program, role).Output()
		g.Expect(err).NotTo(HaveOccurred())
		found := map[string]string{}
		for line := range strings.Lines(string(said)) {
			name, errno, _ := strings.Cut(strings.TrimSpace(line), ": ")
			found[name] = errno
		}
		return found
	}
	const notPermitted = "1"
	confined, free := answers(tryAll), answers(tryFree)
	defer os.Remove(os.TempDir() + "/iter8-worker-test")
	for i, c := range calls() {
		t.Run(c.name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(confined[c.name]).To(Equal(notPermitted))
			if i < 7 { // the others may be forbidden to the tests too, where these run in a container
				g.Expect(free[c.name]).NotTo(Or(BeEmpty(), Equal(notPermitted)), "nothing but the child's limits forbids it")
			}
		})
	}
	NewWithT(t).Expect(confined).To(HaveLen(len(calls())), "nothing else is said")
}
