// Package dataplane runs what clients' requests go through and end at, in tests and in the demo: real Envoys, as sidecars and
// gateways under istiod and as the gateway of Envoy Gateway; servers in the place of Pods' containers; and callers.
//
//	Caller ── request ── Envoy ── request ── Pods (variant 1)
//	                       └───── copy ───── Pods (variant 2)
//
// Pods have addresses of their own and gateways fixed ports, hence the network namespace that Isolate makes.
package dataplane

import "errors"

// ErrNotIsolated is in the error of Isolate where this machine has no network namespace for this process.
var ErrNotIsolated = errors.New("no network namespace of its own (it takes Linux, and root or user namespaces)")

// PodNetwork holds the addresses of Pods, as kwok hands them out. In the namespace that Isolate makes all of them are this host's.
const PodNetwork = "10.244.0.0/16"

// ClientAddress is the last one that a Pod may have, and no Pod's: clients of a sidecar are there.
const ClientAddress = "10.244.255.254"
