package env

import (
	"context"
	"fmt"
	"path/filepath"
	"runtime"

	"golang.org/x/sync/errgroup"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// readCRDs reads the CRDs that are to be installed.
func (e *Environment) readCRDs(ctx context.Context) ([]*apiextensionsv1.CustomResourceDefinition, error) {
	options := envtest.CRDInstallOptions{Paths: e.options.CRDPaths, ErrorIfPathMissing: true}
	if !e.options.WithoutGatewayAPI {
		gatewayAPI, err := e.binaries.moduleDir(ctx, gatewayAPIModule)
		if err != nil {
			return nil, err
		}
		options.Paths = append(options.Paths, filepath.Join(gatewayAPI, "config", "crd", "standard"))
	}
	if e.options.IstioCRDs {
		istioAPI, err := e.binaries.moduleDir(ctx, istioAPIModule)
		if err != nil {
			return nil, err
		}
		options.Paths = append(options.Paths, filepath.Join(istioAPI, "kubernetes", "customresourcedefinitions.gen.yaml"))
	}
	if e.options.EnvoyGatewayCRDs {
		gateway, err := e.binaries.moduleDir(ctx, envoyGatewayModule)
		if err != nil {
			return nil, err
		}
		options.Paths = append(options.Paths, filepath.Join(gateway, "charts", "gateway-helm", "charts", "crds", "crds", "generated"))
	}
	if e.options.CRDs {
		options.Paths = append(options.Paths, filepath.Join(e.binaries.root, "config", "crd", "bases"))
	}
	if err := envtest.ReadCRDFiles(&options); err != nil {
		return nil, fmt.Errorf("reading CRDs: %w", err)
	}
	return options.CRDs, nil
}

// installCRDs returns when the apiserver serves them.
func installCRDs(config *rest.Config, crds []*apiextensionsv1.CustomResourceDefinition) error {
	var group errgroup.Group
	// Side by side, since the apiserver takes a third of a second to check a large one; not all at once, since each request has a
	// timeout.
	group.SetLimit(runtime.NumCPU())
	for _, crd := range crds {
		group.Go(func() error {
			return envtest.CreateCRDs(config, []*apiextensionsv1.CustomResourceDefinition{crd})
		})
	}
	if err := group.Wait(); err != nil {
		return fmt.Errorf("installing CRDs: %w", err)
	}
	err := envtest.WaitForCRDs(config, crds, envtest.CRDInstallOptions{MaxTime: startTimeout, PollInterval: pollInterval})
	if err != nil {
		return fmt.Errorf("waiting for the apiserver to serve the CRDs: %w", err)
	}
	return nil
}
