package env_test

import (
	"net/http"
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

	g.Expect(operator.FetchHealth(t.Context(), "/healthz")).To(Equal(http.StatusOK))
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
