package mirrors

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"iter8.tools/operator/controllers/routes"
)

// Without returns an object, rendered or live, without any mirror and without what says how much one gets; one that has neither is
// the very object that was given. Its rules are not split.
func Without(object *unstructured.Unstructured) *unstructured.Unstructured {
	g := gate{manifest: object, rules: routes.Rules(object)}
	if !mirrored(g.rules) {
		return object
	}
	rules := make([]gatedRule, 0, len(g.rules))
	verdicts := make([][]verdict, 0, len(g.rules))
	for _, rule := range g.rules {
		none := make([]verdict, 0, len(rule.Sites))
		for _, site := range rule.Sites {
			none = append(none, verdict{site: site})
		}
		left := g.rewrite(rule, none)
		if keys := mirrorKeys(left.fields); len(keys) > 0 { // shares without a mirror, and what isn't known here
			left.fields = copyOf(left.fields)
			for _, key := range keys {
				delete(left.fields, key)
			}
		}
		rules, verdicts = append(rules, left), append(verdicts, none)
	}
	return g.assemble(whole(rules), verdicts)
}
