package env

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
)

// OperatorOptions says how to run the operator.
type OperatorOptions struct {
	// Kubeconfig that the operator uses: it decides who the operator is. Required.
	Kubeconfig string
	// Args are further flags.
	Args []string
	// LogFile gets the operator's log; an existing one is added to. Absent means a file of its own in Dir.
	LogFile string
}

// Operator is the operator's binary, running as a process of its own.
type Operator struct {
	*Process
	// MetricsAddress and HealthAddress are where it listens, as host:port.
	MetricsAddress, HealthAddress string
}

// StartOperator runs the operator's binary, and returns when /readyz answers 200. What is still running when
// the Environment stops is killed.
func (e *Environment) StartOperator(ctx context.Context, options OperatorOptions) (*Operator, error) {
	path, err := e.binaries.path("iter8-operator", "run make build")
	if err != nil {
		return nil, err
	}
	if options.Kubeconfig == "" {
		return nil, errors.New("starting the operator takes a kubeconfig")
	}
	health, port, err := freeAddress()
	if err != nil {
		return nil, err
	}
	metrics, _, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if options.LogFile == "" {
		options.LogFile = filepath.Join(e.dir, "iter8-operator-"+port+".log")
	}
	args := append([]string{
		"--kubeconfig=" + options.Kubeconfig,
		"--health-probe-bind-address=" + health,
		"--metrics-bind-address=" + metrics,
	}, options.Args...)
	p, err := e.startProcess("iter8-operator", path, options.LogFile, args...)
	if err != nil {
		return nil, err
	}
	if err := p.waitReady(ctx, serves("http://"+health+"/readyz")); err != nil {
		p.kill()
		<-p.done
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	return &Operator{Process: p, MetricsAddress: metrics, HealthAddress: health}, nil
}
