package dataplane

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"iter8.tools/operator/test/env"
)

// Envoy is a real Envoy, running as a process of its own.
type Envoy struct {
	*env.Process
	// Address is where it takes clients' requests, as host:port.
	Address string
	// admin is where its admin interface is, as host:port.
	admin string
	// restart starts another one by the same arguments.
	restart func(context.Context) (*Envoy, error)
}

// startEnvoy runs Envoy and returns when it is live, which means that it has had a first answer of its control plane. The
// admin interface is where the arguments put it; "" asks for one on a port that Envoy picks.
func startEnvoy(ctx context.Context, e *env.Environment, name, admin string, args ...string) (*Envoy, error) {
	path, err := e.Binary("envoy", "run make dataplanes")
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(e.Dir(), name+"-")
	if err != nil {
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	start := append([]string{"--disable-hot-restart"}, args...)
	adminFile := filepath.Join(dir, "admin")
	if admin == "" {
		start = append(start, "--admin-address-path", adminFile)
	}
	p, err := e.StartProcess(name, path, filepath.Join(dir, "log"), start...)
	if err != nil {
		return nil, err
	}
	v := &Envoy{Process: p, admin: admin}
	err = p.WaitReady(ctx, func(ctx context.Context) bool {
		if v.admin == "" {
			address, _ := os.ReadFile(adminFile) // not there yet
			v.admin = strings.TrimSpace(string(address))
		}
		return v.admin != "" && env.Serves("http://"+v.admin+"/ready")(ctx)
	})
	if err != nil {
		p.Kill()
		return nil, fmt.Errorf("starting %s: %w", name, err)
	}
	v.restart = func(ctx context.Context) (*Envoy, error) { return startEnvoy(ctx, e, name, admin, args...) }
	return v, nil
}

// Restart has another process take the place of one that has ended.
func (v *Envoy) Restart(ctx context.Context) error {
	<-v.Done()
	other, err := v.restart(ctx)
	if err != nil {
		return err
	}
	v.Process, v.admin = other.Process, other.admin
	return nil
}
