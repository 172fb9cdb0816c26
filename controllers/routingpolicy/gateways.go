package routingpolicy

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
)

// followGateways has the policy notified of the Gateways that its routes attach to, which are known from then on where a mirror
// depends on them.
func (r *Reconciler) followGateways(_ context.Context, s *scope) outcome {
	return r.followGatewaysOf(s, s.manifests)
}

func (r *Reconciler) followGatewaysOf(s *scope, objects []*unstructured.Unstructured) outcome {
	var attached []routes.Attachment
	mirrored := false
	for _, o := range objects {
		for _, gateway := range routes.Attachments(o, s.policy.Namespace) {
			if !slices.Contains(attached, gateway) {
				attached = append(attached, gateway)
			}
			mirrored = mirrored || len(routes.Mirrors(o)) > 0
		}
	}
	r.Gateways.Follow(s.name(), attached)
	if mirrored && r.Gateways.Pending(attached) {
		return hold
	}
	return advance
}

// lacks returns what the gateways of routes lack for their mirrors, and what controllers that report on those that stand do.
func (r *Reconciler) lacks(s *scope, objects []*unstructured.Unstructured) []mirrors.Lack {
	var lacks []mirrors.Lack
	for _, object := range objects {
		lacks = append(lacks, r.Gateways.Lacks(object, s.policy.Namespace)...)
	}
	for _, o := range r.standing(s) {
		for _, by := range o.existing.Reporters {
			lacks = append(lacks, mirrors.LacksOf(by.Name, routes.Name(o.kind.Kind, o.name.Name), by.Parent)...)
		}
	}
	return lacks
}
