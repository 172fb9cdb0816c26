package routingpolicy

import (
	"maps"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
)

// gateByRules has mirrors go by the DestinationRules that stand as well, where these define a subset otherwise than what is rendered: until
// the last write to the rule, which may fail, copies go to the Pods of both.
func (r *Reconciler) gateByRules(s *scope) {
	rules := r.rulesBefore(s)
	if len(rules) == 0 {
		return
	}
	decisions := r.decide(s, s.state, slices.Concat(s.manifests, rules))
	gated, err := mirrors.Gate(s.manifests, decisions)
	if err != nil {
		return // no error depends on the decisions
	}
	s.untilRules = !slices.EqualFunc(gated.Mirrors, s.gated.Mirrors, func(a, b mirrors.Mirror) bool { return a.Percent == b.Percent })
	s.decisions, s.gated = decisions, &gated
}

// rulesBefore returns the DestinationRules of the policy that stand and define a subset otherwise than what is rendered, or that isn't
// rendered any more.
func (r *Reconciler) rulesBefore(s *scope) []*unstructured.Unstructured {
	rendered := map[routes.Subset]map[string]string{}
	for _, m := range s.manifests {
		for _, subset := range routes.Subsets(m, s.policy.Namespace) {
			rendered[subset.Subset] = subset.Labels
		}
	}
	var rules []*unstructured.Unstructured
	for _, o := range r.standing(s) {
		if slices.ContainsFunc(routes.Subsets(o.object, s.policy.Namespace), func(subset routes.SubsetDefinition) bool {
			labels, stays := rendered[subset.Subset]
			return !stays || !maps.Equal(labels, subset.Labels)
		}) {
			rules = append(rules, o.object)
		}
	}
	return rules
}
