package env

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
)

// Ports are reserved below those that kernels hand out for port 0 and for outgoing connections (from 32768 on Linux, from 49152
// elsewhere), so that no program gets one by chance between its reservation and its use.
const (
	firstPort = 20000
	portCount = 10000
)

// ports are loopback ports reserved for programs that can't bind port 0 and say what they got. Each is held by a lock
// on a file of its own, which all test binaries of a user share, and which the kernel releases however this process ends.
type ports struct {
	held []*os.File
}

// reserve returns a port that no other test binary has, and that no program listens on.
func (p *ports) reserve() (string, error) {
	folder := filepath.Join(os.TempDir(), fmt.Sprintf("iter8-ports-%d", os.Getuid()))
	if err := os.MkdirAll(folder, 0o700); err != nil {
		return "", fmt.Errorf("reserving a port: %w", err)
	}
	start := rand.IntN(portCount)
	for i := range portCount {
		port := strconv.Itoa(firstPort + (start+i)%portCount)
		held, err := p.tryReserve(filepath.Join(folder, port), port)
		if err != nil {
			return "", fmt.Errorf("reserving port %s: %w", port, err)
		}
		if held {
			return port, nil
		}
	}
	return "", fmt.Errorf("reserving a port: all of %d to %d are taken", firstPort, firstPort+portCount-1)
}

func (p *ports) tryReserve(path, port string) (bool, error) {
	lock, err := os.OpenFile(filepath.Clean(path), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return false, err
	}
	err = syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return false, lock.Close()
	}
	if err != nil {
		return false, errors.Join(err, lock.Close())
	}
	listener, err := net.Listen("tcp", net.JoinHostPort(loopback, port))
	if err != nil { // a program that knows nothing of the locks
		return false, lock.Close()
	}
	if err := listener.Close(); err != nil {
		return false, errors.Join(err, lock.Close())
	}
	p.held = append(p.held, lock)
	return true, nil
}

// release makes the ports free for others.
func (p *ports) release() {
	for _, lock := range p.held {
		_ = lock.Close() // which takes the lock off; nothing was written
	}
	p.held = nil
}

// loopback is the address that everything listens on.
const loopback = "127.0.0.1"

// reservePort reserves a port until the Environment stops.
func (e *Environment) reservePort() (string, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.ports.reserve()
}

// ReserveAddress is reservePort for a flag that takes host and port.
func (e *Environment) ReserveAddress() (string, error) {
	port, err := e.reservePort()
	return net.JoinHostPort(loopback, port), err
}
