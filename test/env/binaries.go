package env

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// ErrNotBuilt is in the error of Start and StartOperator when a binary that make builds isn't there.
var ErrNotBuilt = errors.New("not built yet")

// assetsVariable names a folder with etcd and kube-apiserver to use in place of those in bin/, as
// everywhere in the Kubebuilder world.
const assetsVariable = "KUBEBUILDER_ASSETS"

const operatorModule = "iter8.tools/operator"

// binaries knows where the programs lie.
type binaries struct {
	root string // folder of the operator's go.mod
	dir  string // bin/ in it
}

func findBinaries() (binaries, error) {
	dir, err := os.Getwd()
	if err != nil {
		return binaries{}, fmt.Errorf("looking for the module's root: %w", err)
	}
	for {
		goMod, err := os.ReadFile(filepath.Join(dir, "go.mod"))
		if err == nil && bytes.HasPrefix(goMod, []byte("module "+operatorModule+"\n")) {
			return binaries{root: dir, dir: filepath.Join(dir, "bin")}, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return binaries{}, fmt.Errorf("no folder above the working directory holds the go.mod of %s", operatorModule)
		}
		dir = parent
	}
}

// ModuleRoot returns the folder of the operator's go.mod, which is the working directory or above it.
func ModuleRoot() (string, error) {
	b, err := findBinaries()
	return b.root, err
}

// Binary is the path of a program in bin/. The hint tells how to build it.
func (e *Environment) Binary(name, hint string) (string, error) { return e.binaries.path(name, hint) }

// path of a program of ours. The hint tells how to build it.
func (b binaries) path(name, hint string) (string, error) {
	return existing(filepath.Join(b.dir, name), hint)
}

// asset is the path of etcd or kube-apiserver.
func (b binaries) asset(name string) (string, error) {
	if assets := os.Getenv(assetsVariable); assets != "" {
		return existing(filepath.Join(assets, name), assetsVariable+" is set to a folder without it")
	}
	return b.path(name, "run make controlplane")
}

func existing(path, hint string) (string, error) {
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is %w: %s", path, ErrNotBuilt, hint)
	}
	return path, nil
}
