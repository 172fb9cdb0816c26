package env

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// operatorName is what the operator's processes are called in errors.
const operatorName = "iter8-operator"

// OperatorOptions says how to run the operator.
type OperatorOptions struct {
	// Kubeconfig that the operator uses: it decides who the operator is. Required.
	Kubeconfig string
	// Args are further flags.
	Args []string
	// LogFile gets the operator's log; an existing one is added to. Absent means a file of its own in Dir.
	LogFile string
}

// Operator is the operator's binary, running as a process of its own. Tests that are built with the race detector run
// one that is, too.
type Operator struct {
	*Process
	// MetricsAddress and HealthAddress are where it listens, as host:port.
	MetricsAddress, HealthAddress string

	failed bool // it never became ready
}

// StartOperator runs the operator's binary, and returns when /readyz answers 200. What is still running when
// the Environment stops is killed.
func (e *Environment) StartOperator(ctx context.Context, options OperatorOptions) (*Operator, error) {
	path, err := e.binaries.path(operatorBinary, "run make test-programs")
	if err != nil {
		return nil, err
	}
	if options.Kubeconfig == "" {
		return nil, errors.New("starting the operator takes a kubeconfig")
	}
	// controller-runtime says which port it got for health probes, but not for metrics.
	metrics, err := e.ReserveAddress()
	if err != nil {
		return nil, err
	}
	if options.LogFile == "" {
		if options.LogFile, err = e.newLogFile("iter8-operator"); err != nil {
			return nil, err
		}
	}
	args := append([]string{
		"--kubeconfig=" + options.Kubeconfig,
		"--health-probe-bind-address=" + loopback + ":0",
		"--metrics-bind-address=" + metrics,
	}, options.Args...)
	p, err := e.StartProcess(operatorName, path, options.LogFile, args...)
	if err != nil {
		return nil, err
	}
	operator := &Operator{Process: p, MetricsAddress: metrics}
	e.mu.Lock()
	e.operators = append(e.operators, operator)
	e.mu.Unlock()
	if err := p.WaitReady(ctx, operator.ready); err != nil {
		operator.failed = true // the caller knows; its log is judged all the same
		p.Kill()
		return nil, fmt.Errorf("starting the operator: %w", err)
	}
	e.supervise(operator)
	return operator, nil
}

// ready reports whether /readyz answers 200, once the log says where it is served.
func (o *Operator) ready(ctx context.Context) bool {
	if o.HealthAddress == "" {
		o.HealthAddress = o.readHealthAddress()
	}
	return o.HealthAddress != "" && Serves("http://"+o.HealthAddress+"/readyz")(ctx)
}

// readHealthAddress returns the address of health probes that controller-runtime logs when it begins to serve them, and an
// empty string before.
func (o *Operator) readHealthAddress() string {
	lines, err := o.openLog()
	if err != nil {
		return ""
	}
	defer lines.Close() //nolint:errcheck // only read
	for scanner := bufio.NewScanner(lines); scanner.Scan(); {
		var line struct{ Msg, Name, Addr string }
		if json.Unmarshal(scanner.Bytes(), &line) == nil && line.Msg == "starting server" && line.Name == "health probe" {
			return line.Addr
		}
	}
	return ""
}

// newLogFile makes an empty log for a process of which there may be several.
func (e *Environment) newLogFile(program string) (string, error) {
	log, err := os.CreateTemp(e.dir, program+"-*.log")
	if err != nil {
		return "", fmt.Errorf("making a log of %s: %w", program, err)
	}
	return filepath.Clean(log.Name()), log.Close()
}
