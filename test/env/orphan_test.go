package env_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

// startOrphans starts an operator, and has it start a render worker, which is in a process group of its own.
func startOrphans(ctx context.Context) error {
	kubeconfig := filepath.Join(plane.Dir(), "kubeconfig")
	if err := plane.Kubeconfig(kubeconfig); err != nil {
		return err
	}
	meta := metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: "orphan"}
	subject := &v1alpha1.Subject{ObjectMeta: meta, Spec: v1alpha1.SubjectSpec{Variants: []v1alpha1.Variant{{Name: "v1"}}}}
	if err := plane.Client().Create(ctx, subject); err != nil {
		return err
	}
	policy := &v1alpha1.RoutingPolicy{ObjectMeta: meta, Spec: v1alpha1.RoutingPolicySpec{
		SubjectRef: v1alpha1.SubjectReference{Name: subject.Name},
		Templates:  []v1alpha1.InlineTemplate{{Name: "nothing", Template: "{{/* nothing */}}"}},
	}}
	if err := plane.Client().Create(ctx, policy); err != nil {
		return err
	}
	_, err := plane.StartOperator(ctx, env.OperatorOptions{Kubeconfig: kubeconfig})
	return err
}

// processes lists the processes that run by their id, as "parent's id, arguments".
func processes() (map[string]string, error) {
	out, err := exec.Command("ps", "-axww", "-o", "pid=,ppid=,args=").Output()
	if err != nil {
		return nil, fmt.Errorf("listing processes: %w", err)
	}
	listed := map[string]string{}
	for line := range strings.Lines(string(out)) {
		id, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !strings.Contains(rest, "<defunct>") { // it has ended; its parent hasn't asked how
			listed[id] = strings.TrimSpace(rest)
		}
	}
	return listed, nil
}

func TestAKilledParentLeavesNoProcessAndNoDirectory(t *testing.T) {
	g := NewWithT(t)
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), orphanVariable+"=1")
	parent.Stderr = os.Stderr
	stdout, err := parent.StdoutPipe()
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(parent.Start()).To(Succeed())
	defer parent.Process.Kill() // it is dead already, unless the test has failed
	dir, err := bufio.NewReader(stdout).ReadString('\n')
	g.Expect(err).NotTo(HaveOccurred())
	dir = strings.TrimSpace(dir)
	g.Expect(processesOf(dir)).To(And(ContainSubstring("etcd"), ContainSubstring("kube-apiserver"), ContainSubstring("iter8-operator")))
	worker := ""
	g.Eventually(func() (string, error) {
		worker, err = renderWorkerOf(dir)
		return worker, err
	}).ShouldNot(BeEmpty())

	g.Expect(parent.Process.Signal(syscall.SIGKILL)).To(Succeed())
	g.Expect(parent.Wait()).To(MatchError(ContainSubstring("killed")))

	g.Eventually(func() (string, error) { return processesOf(dir) }).Should(BeEmpty())
	g.Eventually(processes).ShouldNot(HaveKey(worker))
	g.Eventually(dir).ShouldNot(BeADirectory())
}

// renderWorkerOf returns the id of a render worker of the operator that works with a kubeconfig in a directory, empty if there is none.
func renderWorkerOf(dir string) (string, error) {
	listed, err := processes()
	if err != nil {
		return "", err
	}
	for id, line := range listed {
		fields := strings.Fields(line)
		operator := listed[fields[0]]
		if slices.Contains(fields, "render-worker") && strings.Contains(operator, "--kubeconfig="+dir) {
			return id, nil
		}
	}
	return "", nil
}
