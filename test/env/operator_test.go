package env_test

import (
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"

	"iter8.tools/operator/test/env"
)

func TestTheOperatorRunsAsAProcessUntilItIsStopped(t *testing.T) {
	g := NewWithT(t)
	kubeconfig := filepath.Join(t.TempDir(), "kubeconfig")
	g.Expect(plane.Kubeconfig(kubeconfig)).To(Succeed())
	operator, err := plane.StartOperator(t.Context(), env.OperatorOptions{Kubeconfig: kubeconfig})
	g.Expect(err).NotTo(HaveOccurred())

	response, err := http.Get("http://" + operator.HealthAddress + "/healthz")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(response.Body.Close()).To(Succeed())
	g.Expect(response.StatusCode).To(Equal(http.StatusOK))
	g.Expect(operator.LogFile()).To(BeARegularFile())

	g.Expect(operator.Stop(syscall.SIGTERM)).To(Succeed())
	g.Expect(operator.Done()).To(BeClosed())
	g.Expect(operator.Stop(syscall.SIGTERM)).To(Succeed(), "a second time")
}

func TestAnOperatorThatEndsEarlyIsReportedWithTheEndOfItsLog(t *testing.T) {
	g := NewWithT(t)
	_, err := plane.StartOperator(t.Context(), env.OperatorOptions{
		Kubeconfig: filepath.Join(t.TempDir(), "missing"), Args: []string{"--no-such-flag"},
	})
	g.Expect(err).To(MatchError(ContainSubstring("--no-such-flag")))
}

// deserterVariable makes the test binary a suite whose only test waits for ever, and whose operator is killed by someone else.
const deserterVariable = "ITER8_TEST_ENV_DESERTER"

// endless are tests that wait for what won't come.
type endless struct{}

func (endless) Run() int { select {} }

func deserted() int {
	return env.Suite{
		Options: env.Options{CRDs: true},
		Prepare: func(ctx context.Context, e *env.Environment) error {
			kubeconfig := filepath.Join(e.Dir(), "kubeconfig")
			if err := e.Kubeconfig(kubeconfig); err != nil {
				return err
			}
			operator, err := e.StartOperator(ctx, env.OperatorOptions{Kubeconfig: kubeconfig})
			if err != nil {
				return err
			}
			return syscall.Kill(operator.PID(), syscall.SIGKILL)
		},
	}.Run(endless{})
}

func TestAnOperatorThatEndsByItselfEndsItsSuite(t *testing.T) {
	g := NewWithT(t)
	suite := exec.CommandContext(t.Context(), os.Args[0])
	suite.Env = append(os.Environ(), deserterVariable+"=1")
	output, err := suite.CombinedOutput()
	g.Expect(err).To(MatchError("exit status 1"), string(output))
	g.Expect(string(output)).To(And(
		MatchRegexp(`the operator, process \d+, has ended by itself: signal: killed; its log ends:`),
		ContainSubstring(`"msg":"`), // the log's last lines
	))
}
