package worker

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

const (
	// niceness of a slow child leaves the processor to whoever else wants it.
	niceness = 19
	// tick is the unit of processor time in proc(5), whatever the kernel's own is.
	tick = 10 * time.Millisecond
	// margin is for what Go keeps besides its heap.
	margin = 32 << 20
	// maxFiles is one more than the descriptors that a child has: its three pipes, and what Go's runtime waits with.
	maxFiles = 8
)

// confine sets what this process may take, once and for all: address space beyond what it has now, and next to nothing
// else.
//
// RLIMIT_AS is for the one allocation that is too large; what a child really has is watched by the operator. Go
// reserves the address space of its heap in steps of 64 MiB, and begins somewhere in the first one. RLIMIT_DATA would
// not do: the kernel counts nothing for what is mapped in place of a reservation.
func confine(memory uint64) error {
	// Where memory runs out for all, it is this process that goes. Not every kernel has a say in that.
	_ = os.WriteFile("/proc/self/oom_score_adj", []byte("1000"), 0o600)
	has, _, _, err := pages("self")
	if err != nil {
		return err
	}
	for _, limit := range []struct {
		name     string
		resource int
		bytes    uint64
	}{
		{"RLIMIT_AS", unix.RLIMIT_AS, has + memory + margin},
		{"RLIMIT_CORE", unix.RLIMIT_CORE, 0},
		{"RLIMIT_FSIZE", unix.RLIMIT_FSIZE, 0},
		{"RLIMIT_NOFILE", unix.RLIMIT_NOFILE, maxFiles},
	} {
		if err := unix.Setrlimit(limit.resource, &unix.Rlimit{Cur: limit.bytes, Max: limit.bytes}); err != nil {
			return fmt.Errorf("setting %s to %d: %w", limit.name, limit.bytes, err)
		}
	}
	return forbid()
}

// pages gives the first fields of statm in proc(5), in bytes: of all that is mapped, all that is in memory, and the
// part of it that is in files too.
func pages(process string) (mapped, resident, shared uint64, err error) {
	statm, err := os.ReadFile("/proc/" + process + "/statm")
	if err != nil {
		return 0, 0, 0, err
	}
	if _, err := fmt.Sscan(string(statm), &mapped, &resident, &shared); err != nil {
		return 0, 0, 0, fmt.Errorf("reading /proc/%s/statm: %w", process, err)
	}
	page := uint64(os.Getpagesize()) //nolint:gosec // a page's size is positive
	return mapped * page, resident * page, shared * page, nil
}

// private is how much memory a process has to itself, in bytes, and 0 if it is gone.
func private(pid int) uint64 {
	_, resident, shared, err := pages(strconv.Itoa(pid))
	if err != nil {
		return 0
	}
	return resident - min(shared, resident)
}

// used is how much time processors have spent on a process, and 0 if it is gone.
func used(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	// The second field is the program's name, in parentheses; the 14th and 15th are times in the program and in the kernel. See proc(5).
	fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
	if len(fields) < 13 {
		return 0
	}
	ticks := 0
	for _, field := range fields[11:13] {
		n, err := strconv.Atoi(field)
		if err != nil {
			return 0
		}
		ticks += n
	}
	return time.Duration(ticks) * tick
}

// beNice lowers the priority of every thread of a process, for good; those that are still to come inherit it. Where it
// can't be done nothing is lost but time.
func beNice(pid int) {
	threads, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*", pid))
	for _, thread := range threads {
		if id, err := strconv.Atoi(filepath.Base(thread)); err == nil {
			_ = unix.Setpriority(unix.PRIO_PROCESS, id, niceness)
		}
	}
}

// forbidden are the system calls that a render has no use for: nothing is opened, connected to, started or looked
// into. No function of a template gets that far; this is the second wall.
var forbidden = []uint32{
	unix.SYS_OPENAT, unix.SYS_OPENAT2, unix.SYS_OPEN_BY_HANDLE_AT, unix.SYS_UNLINKAT, unix.SYS_RENAMEAT2, unix.SYS_MKDIRAT,
	unix.SYS_SOCKET, unix.SYS_SOCKETPAIR, unix.SYS_CONNECT, unix.SYS_BIND, unix.SYS_LISTEN, unix.SYS_SENDTO, unix.SYS_SENDMSG,
	unix.SYS_EXECVE, unix.SYS_EXECVEAT, unix.SYS_KILL, unix.SYS_PIDFD_OPEN, unix.SYS_PIDFD_SEND_SIGNAL,
	unix.SYS_PTRACE, unix.SYS_PROCESS_VM_READV, unix.SYS_PROCESS_VM_WRITEV,
	unix.SYS_UNSHARE, unix.SYS_SETNS, unix.SYS_MOUNT, unix.SYS_BPF, unix.SYS_IO_URING_SETUP, unix.SYS_USERFAULTFD, unix.SYS_PERF_EVENT_OPEN,
	unix.SYS_KEYCTL, unix.SYS_ADD_KEY, unix.SYS_REQUEST_KEY,
}

// architectures that the numbers in forbidden are known to belong to.
var architectures = map[string]uint32{"amd64": unix.AUDIT_ARCH_X86_64, "arm64": unix.AUDIT_ARCH_AARCH64}

// filter answers what is forbidden with EPERM, and allows the rest. See seccomp(2) for struct seccomp_data, which it
// looks at: the call's number comes first, the architecture follows.
func filter(architecture uint32) ([]unix.SockFilter, error) {
	const foreign = 1 << 30 // numbers from here are those of amd64's other ABI
	refuse := bpf.RetConstant{Val: unix.SECCOMP_RET_ERRNO | uint32(unix.EPERM)}
	program := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 4, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: architecture, SkipTrue: 1},
		refuse,
		bpf.LoadAbsolute{Off: 0, Size: 4},
		bpf.JumpIf{Cond: bpf.JumpLessThan, Val: foreign, SkipTrue: 1},
		refuse,
	}
	for _, call := range forbidden {
		program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: call, SkipTrue: 1}, refuse)
	}
	program = append(program, bpf.RetConstant{Val: unix.SECCOMP_RET_ALLOW})
	raw, err := bpf.Assemble(program)
	if err != nil {
		return nil, err
	}
	filters := make([]unix.SockFilter, 0, len(raw))
	for _, i := range raw {
		filters = append(filters, unix.SockFilter{Code: i.Op, Jt: i.Jt, Jf: i.Jf, K: i.K})
	}
	return filters, nil
}

// forbid takes the right to the forbidden calls, and to ever gain a right, from every thread.
func forbid() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("giving up privileges: %w", err)
	}
	architecture, known := architectures[runtime.GOARCH]
	if !known {
		return nil
	}
	filters, err := filter(architecture)
	if err != nil {
		return err
	}
	program := unix.SockFprog{Len: uint16(len(filters)), Filter: &filters[0]} //nolint:gosec // some dozens
	_, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_TSYNC,
		uintptr(unsafe.Pointer(&program))) //nolint:gosec // the kernel copies it
	if errno != 0 && !errors.Is(errno, unix.ENOSYS) && !errors.Is(errno, unix.EINVAL) { // a kernel without filters
		return fmt.Errorf("forbidding system calls: %w", errno)
	}
	return nil
}

// keepDescriptors keeps what this process was given, by whoever started it, from its children. What Go opens it keeps
// from them by itself.
func keepDescriptors() error {
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil && !errors.Is(err, unix.ENOSYS) && !errors.Is(err, unix.EINVAL) { // before Linux 5.11
		return fmt.Errorf("keeping descriptors: %w", err)
	}
	return nil
}

// attributes of a child: a process group of its own, so that a terminal's Ctrl-C is the operator's business, and
// death with the thread that started it.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

func kill(pid int) error { return syscall.Kill(-pid, syscall.SIGKILL) }
