package dataplane

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// outsideVariable names the network namespace of the process that was started first.
const outsideVariable = "ITER8_OUTSIDE_NETWORK"

// ownNetwork is a link that names this process's network namespace.
const ownNetwork = "/proc/self/ns/net"

// Isolated reports whether this process is one that RunIsolated has started.
func Isolated() bool {
	outside := os.Getenv(outsideVariable)
	network, err := os.Readlink(ownNetwork)
	return err == nil && outside != "" && outside != network
}

// RunIsolated runs this program a second time, in a network namespace of its own, and returns its exit code. There Isolated is
// true. The second process inherits the files, as descriptors 3 and up. When the context ends it gets a SIGTERM, and with this
// process it dies. What it leaves in its temporary folder is removed at the
// end. The error is ErrNotIsolated where there is no such
// namespace to be had.
//
// Root has the right to make one. Other users get one together with a user namespace, where the kernel lets them.
func RunIsolated(ctx context.Context, inherited ...*os.File) (code int, err error) {
	network, err := os.Readlink(ownNetwork)
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotIsolated, err)
	}
	dir, err := os.MkdirTemp("", "iter8-isolated-")
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotIsolated, err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	second := exec.Command("/proc/self/exe", os.Args[1:]...)
	second.Args[0] = os.Args[0]
	second.Env = append(os.Environ(), outsideVariable+"="+network, "TMPDIR="+dir)
	second.Stdin, second.Stdout, second.Stderr = os.Stdin, os.Stdout, os.Stderr
	second.ExtraFiles = inherited
	second.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if os.Getuid() != 0 {
		second.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		second.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		second.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	runtime.LockOSThread() // the parent whose death kills the child is a thread
	defer runtime.UnlockOSThread()
	interrupts := make(chan os.Signal, 1) // a terminal sends them to both, and the second one decides
	signal.Notify(interrupts, os.Interrupt)
	defer signal.Stop(interrupts)
	if err := second.Start(); err != nil {
		return 0, fmt.Errorf("%w: %w", ErrNotIsolated, err)
	}
	defer context.AfterFunc(ctx, func() { _ = second.Process.Signal(syscall.SIGTERM) })()
	_ = second.Wait()                                    // the state says it
	if code = second.ProcessState.ExitCode(); code < 0 { // it was a signal
		code = 1
	}
	return code, nil
}

// Isolate is for the start of a program: it returns nil in an isolated process, whose loopback device it has given the
// addresses of Pods. Elsewhere it runs one, and ends this process with its exit code.
func Isolate() error {
	if Isolated() {
		return setUpLoopback()
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	code, err := RunIsolated(ctx)
	stop()
	if err != nil {
		return err
	}
	os.Exit(code)
	return nil
}

// setUpLoopback brings the loopback device up and gives it the addresses of Pods: all of a network that a loopback device has
// an address of are its own.
func setUpLoopback() error {
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("setting up the loopback device: %w", err)
	}
	defer unix.Close(socket) //nolint:errcheck // nothing was written
	pods := netip.MustParsePrefix(PodNetwork)
	mask := netip.AddrFrom4([4]byte{0xff, 0xff})
	for _, set := range []struct {
		device  string
		request uint
		value   func(*unix.Ifreq) error
	}{
		{"lo", unix.SIOCSIFFLAGS, func(r *unix.Ifreq) error { r.SetUint16(unix.IFF_UP | unix.IFF_RUNNING); return nil }},
		{"lo:pods", unix.SIOCSIFADDR, func(r *unix.Ifreq) error { return r.SetInet4Addr(pods.Addr().Next().AsSlice()) }},
		{"lo:pods", unix.SIOCSIFNETMASK, func(r *unix.Ifreq) error { return r.SetInet4Addr(mask.AsSlice()) }},
	} {
		request, err := unix.NewIfreq(set.device)
		if err == nil {
			err = set.value(request)
		}
		if err == nil {
			err = unix.IoctlIfreq(socket, set.request, request)
		}
		if err != nil {
			return fmt.Errorf("setting up the loopback device %s: %w", set.device, err)
		}
	}
	return nil
}
