package mirrors

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/gateway-api/pkg/features"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/conditions"
	"iter8.tools/operator/controllers/routes"
)

// How much the API keeps of a mirror's texts, in bytes.
const (
	maxMessage = 1024
	maxTarget  = 512
	maxMatch   = 4096
)

// verdict is what one mirror gets.
type verdict struct {
	site  routes.Site
	share float64
	// matches are those of the rules in which the mirror is to stand: several where its rule is split.
	matches []string
	// report is what is said of it, for the route as it was given.
	report Mirror
}

func (v verdict) stands() bool { return v.share > 0 }

// narrowed reports whether the mirror stands for less than it asks for.
func (v verdict) narrowed() bool { return v.stands() && v.share < v.site.Share.Percent }

// judge decides on each mirror of a rule; matches are what requests must match to be mirrored, in each part of the rule.
func (d Decisions) judge(route *unstructured.Unstructured, rule routes.Rule, matches []string) []verdict {
	verdicts := make([]verdict, 0, len(rule.Sites))
	standing := 0
	for _, site := range rule.Sites {
		v := verdict{site: site, share: site.Share.Percent, matches: matches, report: Mirror{
			Mirror: rule.Mirror(route, site), Path: site.Path.String(), Asked: site.Share.String(),
		}}
		v.report.Match = conditions.Truncate(strings.Join(matches, " or "), maxMatch)
		v.report.To = d.nameOf(site.To, d.namespaceOf(route))
		decision, applied := d.on(v.report.Mirror, site.To, d.namespaceOf(route))
		v.report.Variant, v.report.UnknownSince = join(decision.Variants), applied.UnknownSince
		d.bound(&v, decision)
		d.block(&v)
		if v.stands() {
			d.support(&v, standing)
		}
		if v.stands() {
			standing++
		}
		v.report.Percent = routes.Share{Percent: v.share}.String()
		verdicts = append(verdicts, v)
	}
	return verdicts
}

// nameOf returns how a target is reported: as Gate writes it, so that a mirror has one name, rendered and live.
func (d Decisions) nameOf(target routes.Destination, namespace string) string {
	target.Host = d.resolvable(target.Host, namespace)
	return conditions.Truncate(target.String(), maxTarget)
}

// bound narrows a mirror to what its variants allow.
func (d Decisions) bound(v *verdict, decision Decision) {
	if v.site.Share.Percent == 0 {
		v.limit(0, iter8v1alpha1.ReasonZeroPercent, "the mirror's own share is 0")
		return
	}
	if decision.Share < v.share {
		v.limit(decision.Share, decision.Reason, decision.Message)
	}
	if decision.Unknown == "" {
		return
	}
	d.boundByStanding(v, iter8v1alpha1.ReasonVariantStateUnknown, decision.Unknown)
}

// boundByStanding leaves a mirror no larger share than it has now, for a reason.
func (d Decisions) boundByStanding(v *verdict, reason, cause string) {
	if d.live {
		return // what is judged is what stands
	}
	wanted := routes.Share{Percent: v.share}.String()
	if stands := d.stands(*v); stands != wanted && percentOf(stands) < v.share {
		v.limit(percentOf(stands), reason, cause)
	}
}

// block takes a mirror out that is withheld for reasons of others.
func (d Decisions) block(v *verdict) {
	for _, w := range d.input.Withheld {
		if w.Reason == iter8v1alpha1.ReasonMirrorRefused && !v.stands() {
			continue // what gateways say of it is not why it is out
		}
		if (w.Route == "" || w.Route == v.report.Route) && (w.To == "" || d.identity(v.report.Route, w.To) == d.identity(v.report.Route, v.report.To)) {
			v.limit(0, w.Reason, w.Message)
			return
		}
	}
}

// support takes a mirror out that takes what a gateway of the route lacks; before says how many stand in the rule before it. Where it isn't
// known what the gateway lacks, the mirror has no larger share than it has now.
func (d Decisions) support(v *verdict, before int) {
	for _, lack := range d.input.Lacks {
		if lack.Route != v.report.Route || !v.takes(lack.Feature, before) {
			continue
		}
		if !lack.Unknown {
			v.limit(0, iter8v1alpha1.ReasonUnsupportedByGateway, lack.Message)
			return
		}
		d.boundByStanding(v, iter8v1alpha1.ReasonUnsupportedByGateway, lack.Message)
	}
}

// takes reports whether the mirror takes a feature of its gateway.
func (v *verdict) takes(feature features.FeatureName, before int) bool {
	return feature == features.SupportHTTPRouteRequestMirror ||
		feature == features.SupportHTTPRouteRequestMultipleMirrors && before > 0 ||
		feature == features.SupportHTTPRouteRequestPercentageMirror && v.share < everything
}

// limit narrows a mirror to a share, and says why.
func (v *verdict) limit(share float64, reason, cause string) {
	v.share = share
	message := fmt.Sprintf("no mirror to %s: %s", v.report.To, cause)
	if share > 0 {
		message = fmt.Sprintf("only %s%% of the requests are mirrored to %s: %s", routes.Share{Percent: share}, v.report.To, cause)
	}
	v.report.Reason, v.report.Message = reason, conditions.Truncate(message, maxMessage)
}
