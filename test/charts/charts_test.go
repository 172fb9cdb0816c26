// Package charts tests the charts: the built-in ones by golden pairs, which a real apiserver must accept, and
// the one that installs the operator by what it renders.
package charts

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"iter8.tools/operator/test/env"
)

// environment starts the control plane for the first test that needs it: most don't, and `make golden` works
// before there is one.
var environment = sync.OnceValues(func() (*env.Environment, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	e, err := env.Start(ctx, env.Options{CRDs: true, IstioCRDs: true})
	started = e
	return e, err
})

var started *env.Environment

func TestMain(m *testing.M) {
	code := m.Run()
	if started != nil {
		if err := started.Stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

func controlPlane(t *testing.T) *env.Environment {
	t.Helper()
	e, err := environment()
	if err != nil {
		t.Fatalf("starting the control plane: %v", err)
	}
	return e
}

// inRepository is the path of a file from the top of the repository.
func inRepository(elements ...string) string {
	return filepath.Join(append([]string{"..", ".."}, elements...)...)
}
