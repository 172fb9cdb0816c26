package worker

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
)

// What else the tests' program can be, by its first argument.
const (
	// tryAll tries, under a child's limits, what these forbid; tryFree does so without them.
	tryAll  = "try-all"
	tryFree = "try-free"
	// beOperator starts a child, writes its number, and waits to be killed.
	beOperator = "be-operator"
)

func playRole(role string) {
	switch role {
	case tryAll:
		if err := confine(Defaults.Memory); err != nil {
			fmt.Println("confine:", err)
		}
		tryCalls()
	case tryFree:
		tryCalls()
	case beOperator:
		c, err := start(Defaults.Memory)
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(c.pid)
		<-c.exited
	}
}

func TestAChildHasNothingOfTheOperators(t *testing.T) {
	g := NewWithT(t)
	t.Setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
	token, err := os.Create(filepath.Join(t.TempDir(), "token"))
	g.Expect(err).NotTo(HaveOccurred())
	defer token.Close()
	inherited, err := syscall.Dup(int(token.Fd())) // which children would get, unlike what Go opens
	g.Expect(err).NotTo(HaveOccurred())
	defer syscall.Close(inherited)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	g.Expect(err).NotTo(HaveOccurred())
	defer listener.Close()

	p := poolOf(t, patient)
	expectGood(t, p)
	proc := p.list()[0].proc()

	environ, err := os.ReadFile(filepath.Join(proc, "environ"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(environ)).To(BeElementOf("", "GORACE=halt_on_error=1\x00"), "but for the race detector's")
	g.Expect(os.Readlink(filepath.Join(proc, "cwd"))).To(Equal("/"))
	descriptors, err := filepath.Glob(filepath.Join(proc, "fd", "*"))
	g.Expect(err).NotTo(HaveOccurred())
	for _, descriptor := range descriptors {
		target, err := os.Readlink(descriptor)
		g.Expect(err).NotTo(HaveOccurred())
		if number := filepath.Base(descriptor); slices.Contains([]string{"0", "1", "2"}, number) {
			g.Expect(target).To(HavePrefix("pipe:"), number)
		} else {
			g.Expect(target).To(Or(HavePrefix("anon_inode:"), HavePrefix("/sys/fs/cgroup/")), "what Go's runtime has opened: descriptor "+number)
		}
	}
	status, err := os.ReadFile(filepath.Join(proc, "status"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(status)).To(And(ContainSubstring("NoNewPrivs:\t1"), ContainSubstring("Seccomp:\t2")))
	limits, err := os.ReadFile(filepath.Join(proc, "limits"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(string(limits)).To(And(
		MatchRegexp(`Max core file size\s+0\s+0`), MatchRegexp(`Max file size\s+0\s+0`),
		MatchRegexp(`Max open files\s+8\s+8`), MatchRegexp(`Max address space\s+\d+\s+\d+`)))
	stat := statOf(g, proc)
	g.Expect(stat[processGroup]).To(Equal(filepath.Base(proc)), "the process group")
	g.Expect(stat[nice]).To(Equal(statOf(g, "/proc/self")[nice]), "the operator's own niceness, since it has done nothing slow")
	g.Expect(os.ReadFile(filepath.Join(proc, "oom_score_adj"))).To(BeEquivalentTo("1000\n"))
}

func TestASlowChildLeavesTheProcessorToOthersAndIsNotUsedAgain(t *testing.T) {
	g := NewWithT(t)
	p := poolOf(t, Options{Patience: time.Hour, Quick: time.Millisecond, Timeout: time.Hour})
	_, err := p.Render(ofChart(t, `{{ range until 300000 }}{{ end }}`))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(p.idle).To(BeEmpty())
	g.Eventually(p.list).Should(BeEmpty())

	p = poolOf(t, Options{Children: 1, Patience: time.Nanosecond, Quick: time.Millisecond, Timeout: time.Hour})
	occupy(t, p)
	g.Eventually(func(g Gomega) { g.Expect(statOf(g, p.list()[0].proc())[nice]).To(Equal("19")) }).Should(Succeed())
}

// Fields of stat in proc(5), behind the program's name.
const (
	processGroup = 2
	nice         = 16
)

func statOf(g Gomega, proc string) []string {
	stat, err := os.ReadFile(filepath.Join(proc, "stat"))
	g.Expect(err).NotTo(HaveOccurred())
	_, fields, _ := strings.Cut(string(stat), ") ")
	return strings.Fields(fields)
}

func TestAChildDiesWithTheOperator(t *testing.T) {
	g := NewWithT(t)
	program, err := os.Executable()
	g.Expect(err).NotTo(HaveOccurred())
	operator := exec.Command(program, beOperator)
	out, err := operator.StdoutPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(operator.Start()).To(Succeed())
	line, err := bufio.NewReader(out).ReadString('\n')
	g.Expect(err).NotTo(HaveOccurred())
	status := "/proc/" + strings.TrimSpace(line) + "/status"
	g.Expect(status).To(BeAnExistingFile())

	g.Expect(operator.Process.Kill()).To(Succeed())
	_ = operator.Wait()
	g.Eventually(func() bool {
		content, err := os.ReadFile(status)
		return err != nil || strings.Contains(string(content), "State:\tZ") // left to whoever adopted it
	}).Should(BeTrue())
}

func TestAChildIsSmallAgainAfterALargeRender(t *testing.T) {
	g := NewWithT(t)
	p := poolOf(t, Options{Patience: time.Hour, Quick: time.Hour, Timeout: time.Hour, Memory: raceFactor * 512 << 20})
	expectGood(t, p)
	before := private(p.list()[0].pid)
	g.Expect(p.Render(ofChart(t, "{{ range until 20 }}{{ print \"---\\napiVersion: v1\\nkind: A\\nout: \" }}{{ range until 5000 }}{{ print \"\\n- a\" . }}{{ end }}{{ print \"\\n\" }}{{ end }}"))).NotTo(BeEmpty())
	g.Expect(p.list()).To(HaveLen(1))
	g.Eventually(func() uint64 { return private(p.list()[0].pid) }).Should(BeNumerically("<", before+raceFactor*maxIdle))
}
