package env

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
)

// module is one whose files an Environment reads, in the version that a go.mod requires.
type module struct {
	// goMod is the folder of that go.mod, from the operator's, with slashes.
	goMod string
	path  string
}

var (
	gatewayAPIModule   = module{".", "sigs.k8s.io/gateway-api"}
	istioAPIModule     = module{"test/controlplane/istiod", "istio.io/api"}
	envoyGatewayModule = module{"test/controlplane/envoygateway", "github.com/envoyproxy/gateway"}
	kwokModule         = module{"test/controlplane/kwok", "sigs.k8s.io/kwok"}
)

// modules are those that Start reads.
func (o Options) modules() []module {
	var modules []module
	if !o.WithoutGatewayAPI {
		modules = append(modules, gatewayAPIModule)
	}
	if o.IstioCRDs {
		modules = append(modules, istioAPIModule)
	}
	if o.EnvoyGatewayCRDs {
		modules = append(modules, envoyGatewayModule)
	}
	if o.Workloads {
		modules = append(modules, kwokModule)
	}
	return modules
}

// DownloadModules downloads what Start reads of Go modules, so that Start needs no network.
func DownloadModules(ctx context.Context, options Options) error {
	bin, err := findBinaries()
	if err != nil {
		return err
	}
	for _, m := range options.modules() {
		if _, err := bin.moduleDir(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

// moduleDir is the folder with the source of a module.
func (b binaries) moduleDir(ctx context.Context, m module) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "mod", "download", "-json", m.path)
	cmd.Dir = filepath.Join(b.root, filepath.FromSlash(m.goMod))
	out, err := cmd.Output()
	var found struct{ Dir, Error string }
	if jsonErr := json.Unmarshal(out, &found); jsonErr == nil && found.Error != "" {
		return "", fmt.Errorf("finding the source of %s: %s", m.path, found.Error)
	}
	if err != nil || found.Dir == "" {
		return "", fmt.Errorf("finding the source of %s by `go mod download`: %w", m.path, err)
	}
	return found.Dir, nil
}
