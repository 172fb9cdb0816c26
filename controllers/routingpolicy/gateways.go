package routingpolicy

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
)

// followGateways has the policy notified of the Gateways that its routes attach to, as they are rendered and as they stand. Those of
// what is rendered are known from then on where a mirror depends on them.
func (r *Reconciler) followGateways(_ context.Context, s *scope) outcome {
	return r.followGatewaysOf(s, s.manifests, objectsOf(r.standing(s)))
}

// followGatewaysOf follows the Gateways of objects, and of further ones that don't wait for theirs to be known.
func (r *Reconciler) followGatewaysOf(s *scope, objects, further []*unstructured.Unstructured) outcome {
	attached := s.attachments(objects)
	r.Gateways.Follow(s.name(), union(attached, s.attachments(further)))
	mirrored := slices.ContainsFunc(objects, func(o *unstructured.Unstructured) bool {
		return len(routes.Attachments(o, s.policy.Namespace)) > 0 && len(routes.Mirrors(o)) > 0
	})
	if mirrored && r.Gateways.Pending(attached) {
		return hold
	}
	return advance
}

// attachments returns what objects attach to, each once.
func (s *scope) attachments(objects []*unstructured.Unstructured) []routes.Attachment {
	var attached []routes.Attachment
	for _, o := range objects {
		attached = union(attached, routes.Attachments(o, s.policy.Namespace))
	}
	return attached
}

// union returns a list, and what it lacks of another one.
func union(all, further []routes.Attachment) []routes.Attachment {
	for _, attachment := range further {
		if !slices.Contains(all, attachment) {
			all = append(all, attachment)
		}
	}
	return all
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
