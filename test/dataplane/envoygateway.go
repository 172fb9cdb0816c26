package dataplane

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"iter8.tools/operator/test/env"
)

const (
	// EnvoyGatewayNamespace is where Envoy Gateway believes to run, and keeps its certificates and the Deployment of Envoy.
	EnvoyGatewayNamespace = "envoy-gateway-system"
	// EnvoyGatewayClass is the name of its GatewayClass.
	EnvoyGatewayClass = "eg"
	// GatewayNamespace is the namespace of the Gateway.
	GatewayNamespace = "gateways"
	// GatewayName is the name of the Gateway, to which routes of all namespaces may attach, each with a hostname of its own.
	GatewayName = "gateway"
)

const (
	// gatewayAddress is where Envoy takes requests: Envoy Gateway adds 10000 to a privileged port of a Gateway.
	gatewayAddress = "127.0.0.1:10080"
	// conditionTimeout is how long Envoy Gateway may take for any one thing that is waited for.
	conditionTimeout = time.Minute
	// conditionInterval is the pace at which the cluster is asked for it.
	conditionInterval = 25 * time.Millisecond
)

//go:embed envoygateway.yaml
var envoyGatewayObjects []byte

// EnvoyGateway is Envoy Gateway's controller, and the Envoy that is the data plane of its one Gateway.
//
//	Gateway, HTTPRoutes ── controller ── xDS ──────────────────── Envoy ── Pods
//	                            └─────── Deployment ── its Pod ─────┘
//	                                                (arguments)
type EnvoyGateway struct {
	// Envoy is the data plane.
	Envoy *Envoy
	// Address is where clients send requests, as host:port. The host that a request names decides on its route.
	Address string

	env *env.Environment
	// root is the controller's root folder.
	root       string
	controller *env.Process
}

// StartEnvoyGateway runs Envoy Gateway as a cluster administrator, with a Gateway, and returns when requests to the Gateway are
// taken. Ports are fixed, and those of Envoy and of its controller are on the same host: a program starts it once, after Isolate. The
// Environment needs Options.EnvoyGatewayCRDs and Options.Workloads. What is still running when the Environment stops is killed.
func StartEnvoyGateway(ctx context.Context, e *env.Environment) (*EnvoyGateway, error) {
	g := &EnvoyGateway{Address: gatewayAddress, env: e}
	for _, step := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"making its root folder", g.makeRoot},
		{"creating its Gateway", g.createObjects},
		{"making its certificates", g.makeCertificates},
		{"starting its controller", g.startController},
		{"starting its data plane", g.startDataPlane},
		{"waiting for its Gateway", g.waitProgrammed},
	} {
		if err := step.do(ctx); err != nil {
			return nil, fmt.Errorf("starting Envoy Gateway: %s: %w", step.what, err)
		}
	}
	return g, nil
}

// RestartController kills the controller, starts another one, and returns when that one is ready.
func (g *EnvoyGateway) RestartController(ctx context.Context) error {
	g.controller.Kill()
	if err := g.startController(ctx); err != nil {
		return fmt.Errorf("starting the controller of Envoy Gateway again: %w", err)
	}
	return nil
}

// RestartEnvoy kills Envoy if it is there, has another one take its place, and returns when that one takes requests.
func (g *EnvoyGateway) RestartEnvoy(ctx context.Context) error {
	g.Envoy.Kill()
	err := g.Envoy.Restart(ctx)
	if err == nil {
		err = g.waitListening(ctx)
	}
	if err != nil {
		return fmt.Errorf("starting the Envoy of Envoy Gateway again: %w", err)
	}
	return nil
}

func (g *EnvoyGateway) createObjects(ctx context.Context) error {
	decoder := utilyaml.NewYAMLOrJSONDecoder(bytes.NewReader(envoyGatewayObjects), len(envoyGatewayObjects))
	for {
		var object unstructured.Unstructured
		err := decoder.Decode(&object)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err == nil {
			err = g.env.Client().Create(ctx, &object)
		}
		if err != nil {
			return err
		}
	}
}

// waitListening waits until Envoy takes connections of clients.
func (g *EnvoyGateway) waitListening(ctx context.Context) error {
	return g.Envoy.WaitReady(ctx, func(ctx context.Context) bool {
		connection, err := new(net.Dialer).DialContext(ctx, "tcp", g.Address)
		return err == nil && connection.Close() == nil
	})
}

func (g *EnvoyGateway) waitProgrammed(ctx context.Context) error {
	var gateway gatewayv1.Gateway
	return waitFor(ctx, "Gateway "+GatewayNamespace+"/"+GatewayName+" to be programmed", func(ctx context.Context) (bool, error) {
		err := g.env.Client().Get(ctx, client.ObjectKey{Namespace: GatewayNamespace, Name: GatewayName}, &gateway)
		return meta.IsStatusConditionTrue(gateway.Status.Conditions, string(gatewayv1.GatewayConditionProgrammed)), err
	})
}

// waitFor waits until a condition holds, and says in its error what was waited for.
func waitFor(ctx context.Context, what string, condition wait.ConditionWithContextFunc) error {
	if err := wait.PollUntilContextTimeout(ctx, conditionInterval, conditionTimeout, true, condition); err != nil {
		return fmt.Errorf("waiting for %s: %w", what, err)
	}
	return nil
}
