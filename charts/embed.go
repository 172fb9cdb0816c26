// Package charts holds the policy charts that are built into the operator: those that a RoutingPolicy gets when its
// chart names no repository. Each is a directory of FS, as it is in this directory of the source tree.
//
// The chart that installs the operator, iter8-operator, is not among them.
package charts

import "embed"

// FS holds one directory for each built-in chart, named after it.
//
//go:embed all:mirror all:mirror-istio
var FS embed.FS
