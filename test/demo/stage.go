package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"iter8.tools/operator/test/env"
)

const (
	systemNamespace = "iter8-system"
	// logLines is how many of the operator's last ones are shown when something went wrong.
	logLines = 20
)

var errOperatorEnded = errors.New("the operator has ended")

// stage is the control plane with the operator, and somebody who types commands.
type stage struct {
	*screen
	tutorial   tutorial
	cluster    *env.Environment
	kubeconfig string
	operator   *env.Operator
	// traffic is nil where no requests can be sent.
	traffic *traffic
}

// show does what the demo is started for.
func (s *stage) show(ctx context.Context, playground bool) error {
	if err := s.set(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		<-s.operator.Done()
		cancel(errOperatorEnded)
	}()
	if playground {
		return s.playground(ctx)
	}
	return s.walk(ctx, s.tutorial)
}

// set starts the control plane, installs the operator, and runs it.
func (s *stage) set(ctx context.Context) error {
	s.heading("A cluster")
	s.say("Starting etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok, which plays the kubelet …")
	begin := time.Now()
	var err error
	if s.cluster, err = env.Start(ctx, s.tutorial.options(s.traffic != nil)); err != nil {
		return err
	}
	s.kubeconfig = filepath.Join(s.cluster.Dir(), "kubeconfig")
	if err := s.cluster.Kubeconfig(s.kubeconfig); err != nil {
		return err
	}
	s.success(fmt.Sprintf("the control plane is up, with the Gateway API installed, after %.0f s", time.Since(begin).Seconds()))

	s.heading("The operator, installed with Helm")
	if err := s.run(ctx, s.helmInstall()); err != nil {
		return err
	}
	s.say(`
kwok only says that Pods run; it runs none. So the operator's binary runs here as a process, in place of its Pods:
with the arguments and the configuration of the Deployment that Helm has made, and with no other rights than those of
that Deployment's ServiceAccount.`)
	if s.operator, err = s.cluster.Installed(systemNamespace).Run(ctx); err != nil {
		return err
	}
	s.success("the operator is ready, as ServiceAccount " + systemNamespace + "/" + env.Release)
	return nil
}

// helmInstall is the command line, from the repository's root.
func (s *stage) helmInstall() string {
	args := strings.Join(s.cluster.HelmInstallArgs(systemNamespace, s.tutorial.values...), " ")
	return "helm " + strings.ReplaceAll(args, s.cluster.ModuleRoot()+string(filepath.Separator), "")
}

// run prints a command, runs it in the repository's root with the programs in bin/, and shows its output.
func (s *stage) run(ctx context.Context, command string) error {
	s.command(command)
	words := strings.Fields(command)
	root := s.cluster.ModuleRoot()
	typed := exec.CommandContext(ctx, filepath.Join(root, "bin", words[0]), words[1:]...)
	typed.Dir = root
	typed.Env = s.environment()
	typed.Stdout, typed.Stderr = s.File, s.File
	switch err := typed.Run(); {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("%w; make demo builds it", err)
	default:
		return fmt.Errorf("%s: %w", command, err)
	}
}

// environment is that of the commands: this one's, but without anybody's own settings of kubectl and helm.
func (s *stage) environment() []string {
	var variables []string
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "KUBE") && !strings.HasPrefix(variable, "HELM_") {
			variables = append(variables, variable)
		}
	}
	dir := s.cluster.Dir()
	return append(variables, "KUBECONFIG="+s.kubeconfig, "KUBECACHEDIR="+dir, "KUBERC=off",
		"HELM_CACHE_HOME="+dir, "HELM_CONFIG_HOME="+dir, "HELM_DATA_HOME="+dir)
}

// playground keeps the stage until somebody ends it.
func (s *stage) playground(ctx context.Context) error {
	s.heading("The playground")
	s.say(fmt.Sprintf(`In another terminal, in this folder:

export KUBECONFIG=%s
export PATH=%s:$PATH

Then try:

kubectl apply -k config/samples                        # the tutorial, with both variants at once
kubectl get subjects,routingpolicies,httproutes        # what the operator makes of it
kubectl delete -f config/samples/httpbin-v2.yaml       # and the mirror goes; apply it again, and it is back

The operator's log is %s.
Ctrl-C stops everything.`, s.kubeconfig, filepath.Join(s.cluster.ModuleRoot(), "bin"), s.operator.LogFile()))
	<-ctx.Done()
	if err := context.Cause(ctx); errors.Is(err, errOperatorEnded) {
		return err
	}
	return nil // somebody ended it
}

// operatorLog is the end of the operator's log.
func (s *stage) operatorLog() string {
	if s.operator == nil {
		return "(it was not started)"
	}
	log, err := os.ReadFile(s.operator.LogFile())
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimSpace(string(log)), "\n")
	return strings.Join(lines[max(0, len(lines)-logLines):], "\n")
}

// clear stops what set has started. The operator must end in good order, and after a walk have logged no error; what a
// person tries out in the playground may well be one.
func (s *stage) clear(playground bool) error {
	if s.cluster == nil {
		return nil
	}
	var judgement error
	switch {
	case !playground:
		judgement = s.cluster.Judge()
	case s.operator != nil:
		judgement = s.operator.Stop(syscall.SIGTERM)
	}
	return errors.Join(judgement, s.traffic.stop(), s.cluster.Stop())
}
