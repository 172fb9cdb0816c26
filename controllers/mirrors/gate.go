package mirrors

import (
	"maps"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
)

// Gated is what Gate returns.
type Gated struct {
	// Manifests in the order in which they were given, with the mirrors that may stand and no others. Those without mirrors
	// are the very ones that were given.
	Manifests []*unstructured.Unstructured
	// Mirrors are all that the manifests ask for, in their order.
	Mirrors []Mirror
}

// Gate returns manifests with just the mirrors that may stand, each at the share that it may have. What isn't a mirror stays
// as it is, but for two things: a mirror in the filters of a rule's only backendRef is lifted to the rule, where it means the
// same and gateways know it; and rules are split by methods, where Input.SafeMethodsOnly asks for that. A mirror's host of the
// form NAME.NAMESPACE is written as NAME where a variant lists that Service and NAMESPACE is the route's own, since Istio
// wouldn't find it.
//
// Mirrors that can't work whatever the variants' states are an error of type Errors, and so are those of a route that can't be
// split. It doesn't depend on which mirrors may stand.
func Gate(manifests []*unstructured.Unstructured, decisions Decisions) (Gated, error) {
	var gated Gated
	var problems Errors
	for _, manifest := range manifests {
		g := gate{decisions: decisions, manifest: manifest, rules: routes.Rules(manifest)}
		if found := g.problems(); len(found) > 0 {
			problems = append(problems, found...)
			continue
		}
		gated.Manifests = append(gated.Manifests, g.run())
		gated.Mirrors = append(gated.Mirrors, g.report...)
	}
	if len(problems) > 0 {
		return Gated{}, problems
	}
	return gated, nil
}

// gate gates one manifest.
type gate struct {
	decisions Decisions
	manifest  *unstructured.Unstructured
	rules     []routes.Rule
	report    []Mirror
}

// gatedRule is a rule with the mirrors that may stand.
type gatedRule struct {
	fields   map[string]any
	mirrored bool
}

func (g *gate) problems() Errors {
	if !mirrored(g.rules) {
		return nil
	}
	problems := validate(g.manifest, g.rules)
	if len(problems) == 0 && g.decisions.input.SafeMethodsOnly {
		_, problems = g.split(g.ungated())
	}
	return problems
}

// mirrored reports whether some rule has a mirror, or a share for one.
func mirrored(rules []routes.Rule) bool {
	for _, rule := range rules {
		if len(rule.Sites) > 0 || len(mirrorKeys(rule.Fields)) > 0 {
			return true
		}
	}
	return false
}

func (g *gate) run() *unstructured.Unstructured {
	if !mirrored(g.rules) {
		return g.manifest
	}
	matches := g.matches()
	gated := make([]gatedRule, 0, len(g.rules))
	verdicts := make([][]verdict, 0, len(g.rules))
	for i, rule := range g.rules {
		judged := g.decisions.judge(g.manifest, rule, matches[i])
		gated = append(gated, g.rewrite(rule, judged))
		verdicts = append(verdicts, judged)
	}
	parts := whole(gated)
	if g.decisions.input.SafeMethodsOnly {
		parts, _ = g.split(gated) // what can't be split is a problem of the manifest as it was given
	}
	return g.assemble(parts, verdicts)
}

// rewrite returns a rule with the mirrors that may stand.
func (g *gate) rewrite(rule routes.Rule, verdicts []verdict) gatedRule {
	if len(verdicts) == 0 {
		return gatedRule{fields: rule.Fields}
	}
	fields := copyOf(rule.Fields)
	if isIstio(g.manifest) {
		g.decisions.gateIstio(fields, verdicts, g.decisions.namespaceOf(g.manifest))
	} else {
		gateFilters(fields, verdicts)
	}
	stands := false
	for _, v := range verdicts {
		stands = stands || v.stands()
	}
	return gatedRule{fields, stands}
}

// ungated are the rules as if every mirror might stand.
func (g *gate) ungated() []gatedRule {
	all := make([]gatedRule, 0, len(g.rules))
	for _, rule := range g.rules {
		verdicts := make([]verdict, 0, len(rule.Sites))
		for _, site := range rule.Sites {
			verdicts = append(verdicts, verdict{site: site, share: everything})
		}
		asked := g.rewrite(rule, verdicts)
		asked.mirrored = len(rule.Sites) > 0
		all = append(all, asked)
	}
	return all
}

// matches returns for each rule what requests must match to be mirrored, in each of its parts.
func (g *gate) matches() [][]string {
	matches := make([][]string, len(g.rules))
	for i, rule := range g.rules {
		matches[i] = []string{rule.Match()}
	}
	if !g.decisions.input.SafeMethodsOnly {
		return matches
	}
	parts, _ := g.split(g.ungated())
	for i, of := range parts {
		matches[i] = mirroredMatches(g.manifest, of)
	}
	return matches
}

// assemble puts rules together, and reports on their mirrors.
func (g *gate) assemble(parts [][]gatedRule, verdicts [][]verdict) *unstructured.Unstructured {
	manifest := &unstructured.Unstructured{Object: copyOf(g.manifest.Object)}
	spec := copyOf(fieldsOf(manifest.Object["spec"]))
	manifest.Object["spec"] = spec
	field, _ := g.rules[0].Path[1].(string)
	given := itemsOf(spec[field])
	rules := make([]any, 0, len(given))
	first := len(g.report)
	for i, of := range parts {
		for _, v := range verdicts[i] {
			g.report = append(g.report, v.report)
		}
		for _, part := range of {
			if part.fields == nil { // not an object, which isn't ours to judge
				rules = append(rules, given[i])
				continue
			}
			rules = append(rules, part.fields)
		}
	}
	spec[field] = rules
	// Nothing of the copy is shared with what was given.
	manifest = manifest.DeepCopy()
	g.place(manifest, parts, verdicts, g.report[first:])
	return manifest
}

// place says in the report where the mirrors stand that do.
func (g *gate) place(manifest *unstructured.Unstructured, parts [][]gatedRule, verdicts [][]verdict, report []Mirror) {
	rules, next := routes.Rules(manifest), 0
	for i, of := range parts {
		entries := report[:len(verdicts[i])]
		report = report[len(verdicts[i]):]
		for range of {
			sites := rules[next].Sites
			next++
			if len(sites) == 0 {
				continue
			}
			at := 0
			for j, v := range verdicts[i] {
				if v.stands() {
					entries[j].Places = append(entries[j].Places, sites[at].Path.String())
					at++
				}
			}
		}
		for j, v := range verdicts[i] {
			if v.stands() && len(entries[j].Places) == 0 {
				v.limit(0, iter8v1alpha1.ReasonNoSafeMethods, "only GET, HEAD and OPTIONS are to be mirrored, and its rule matches none of them")
				v.report.Percent = "0"
				entries[j] = v.report
			}
		}
	}
}

// whole are rules that aren't split.
func whole(rules []gatedRule) [][]gatedRule {
	parts := make([][]gatedRule, 0, len(rules))
	for _, rule := range rules {
		parts = append(parts, []gatedRule{rule})
	}
	return parts
}

// copyOf returns a copy of an object's own fields, which may be changed; what these hold is shared.
func copyOf(fields map[string]any) map[string]any {
	if fields == nil {
		return map[string]any{}
	}
	return maps.Clone(fields)
}

func isIstio(route *unstructured.Unstructured) bool {
	return route.GroupVersionKind().Group == istioGroup
}
