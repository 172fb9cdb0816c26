package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

const (
	// floorAgent and operatorAgent are what user agents begin with, in the audit log.
	floorAgent    = "bench-floor"
	operatorAgent = "iter8-operator/"
	// floorLabel is on the Deployments that the floor watches, so that neither contender sees the other's.
	floorLabel = "bench-floor"
	// floorPrefix is that of the names of these, and of the floor's routes.
	floorPrefix = "floor-"
	// stopPatience is how long the floor may take to end by itself.
	stopPatience = 10 * time.Second
)

// contender is what is measured.
type contender struct {
	name  string
	agent string
	start func(ctx context.Context) (process, error)
}

// process is a running contender.
type process interface {
	PID() int
	// Stop ends it in an orderly way and waits for that.
	Stop() error
}

func (c contender) isFloor() bool { return c.agent == floorAgent }

// manager is the field manager of a contender, and the value of the label on its routes.
func (c contender) manager() string {
	if c.isFloor() {
		return floorAgent
	}
	return iter8v1alpha1.FieldManager
}

// app is the name of a contender's app at a position: of its route, and but for a suffix of its variants.
func (c contender) app(position int) string {
	if c.isFloor() {
		return floorPrefix + appName(position)
	}
	return appName(position)
}

// operatorContender is the operator as its chart runs it: with its ServiceAccount, arguments and configuration.
func operatorContender(installation *env.Installation) contender {
	return contender{name: "operator", agent: operatorAgent, start: func(ctx context.Context) (process, error) {
		operator, err := installation.Run(ctx)
		if err != nil {
			return nil, err
		}
		return operatorProcess{operator}, nil
	}}
}

type operatorProcess struct{ *env.Operator }

func (p operatorProcess) Stop() error {
	if err := p.Operator.Stop(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping the operator: %w", err)
	}
	return nil
}

// floorContender is this very program as the floor, with the rights of the operator's ServiceAccount.
func floorContender(ctx context.Context, cluster *env.Environment) (contender, error) {
	self, err := os.Executable()
	if err != nil {
		return contender{}, err
	}
	kubeconfig := filepath.Join(cluster.Dir(), "floor.kubeconfig")
	if err := cluster.ServiceAccountKubeconfig(ctx, systemNamespace, env.Release, kubeconfig); err != nil {
		return contender{}, err
	}
	return contender{name: "floor", agent: floorAgent, start: func(context.Context) (process, error) {
		return startFloor(self, kubeconfig)
	}}, nil
}

// floorProcess ends when its input does, so that it never outlives this process.
type floorProcess struct {
	cmd   *exec.Cmd
	input io.Closer
}

func startFloor(program, kubeconfig string) (process, error) {
	cmd := exec.Command(program, "-floor", kubeconfig)
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the floor: %w", err)
	}
	return floorProcess{cmd, input}, nil
}

func (p floorProcess) PID() int { return p.cmd.Process.Pid }

func (p floorProcess) Stop() error {
	err := p.input.Close()
	late := time.AfterFunc(stopPatience, func() { _ = p.cmd.Process.Kill() })
	defer late.Stop()
	if err := errors.Join(err, p.cmd.Wait()); err != nil {
		return fmt.Errorf("stopping the floor: %w", err)
	}
	return nil
}
