package dataplane

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
)

// isolatedVariable has the test binary be the program of TestIsolate.
const isolatedVariable = "ITER8_TEST_ISOLATED"

func TestMain(m *testing.M) {
	if os.Getenv(isolatedVariable) != "" {
		beIsolated()
	}
	os.Exit(m.Run())
}

// beIsolated listens on the address of a Pod, says who it is, and waits for the end of its input.
func beIsolated() {
	if err := Isolate(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	if _, err := net.Listen("tcp", "10.244.17.4:80"); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(os.Getpid(), os.TempDir())
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(7)
}

// isolated starts the program, and returns it with the process id and the temporary folder of the second process.
func isolated(t *testing.T) (program *exec.Cmd, stdin io.Closer, second int, dir string) {
	t.Helper()
	g := NewWithT(t)
	program = exec.CommandContext(t.Context(), "/proc/self/exe")
	program.Env = append(os.Environ(), isolatedVariable+"=yes")
	input, err := program.StdinPipe()
	g.Expect(err).NotTo(HaveOccurred())
	var out bytes.Buffer
	output, err := program.StdoutPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(program.Start()).To(Succeed())
	line := make([]byte, 4096)
	for !strings.HasSuffix(out.String(), "\n") {
		n, err := output.Read(line)
		g.Expect(err).NotTo(HaveOccurred(), out.String())
		out.Write(line[:n])
	}
	fields := strings.Fields(out.String())
	g.Expect(fields).To(HaveLen(2), out.String())
	second, err = strconv.Atoi(fields[0])
	g.Expect(err).NotTo(HaveOccurred(), out.String())
	return program, input, second, fields[1]
}

func TestAnIsolatedProgramHasTheAddressesOfPodsAndLeavesNothing(t *testing.T) {
	g := NewWithT(t)
	program, stdin, second, dir := isolated(t)
	g.Expect(second).NotTo(Equal(program.Process.Pid))
	g.Expect(dir).To(BeADirectory())
	ours, err := os.Readlink(ownNetwork)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(os.Readlink(fmt.Sprintf("/proc/%d/ns/net", second))).NotTo(Equal(ours))

	g.Expect(stdin.Close()).To(Succeed())
	g.Expect(program.Wait()).To(MatchError("exit status 7"))
	g.Expect(dir).NotTo(BeAnExistingFile())
}

func TestAnIsolatedProgramDiesWithTheOneThatStartedIt(t *testing.T) {
	g := NewWithT(t)
	program, _, second, dir := isolated(t)
	t.Cleanup(func() { _ = os.RemoveAll(dir) }) // what is killed can't
	g.Expect(program.Process.Kill()).To(Succeed())
	_ = program.Wait()
	g.Eventually(func() string {
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", second)) // of a process that has gone there is none
		return string(status)
	}, "10s").Should(Or(BeEmpty(), ContainSubstring("State:\tZ")))
}

func TestAnIsolatedProgramIsToldToTerminate(t *testing.T) {
	g := NewWithT(t)
	program, _, _, dir := isolated(t)
	g.Expect(program.Process.Signal(syscall.SIGTERM)).To(Succeed())
	g.Expect(program.Wait()).To(MatchError("exit status 1"))
	g.Expect(dir).NotTo(BeAnExistingFile())
}
