package mirrors

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/routes"
)

// everything is the share of all requests, in percent.
const everything = 100

// Decision is what mirrors to one target may have.
type Decision struct {
	// Share in percent that they may have at most: 0 to 100.
	Share float64
	// Unknown says why the state of a variant isn't known; then they may have no more than what stands. It is empty where the
	// states are known, and where they may not stand anyway.
	Unknown string
	// Variants by which the mirrors go, in the Subject's order: those that list the target, else in built-in charts those that
	// trigger; none where they are left as rendered.
	Variants []string
	// Reason and Message are the cause where they may have less than all; Message names the resource or the weight.
	Reason, Message string
}

// Decisions are what Decide decided. They hold for every route of the policy, rendered or live.
type Decisions struct {
	input    Input
	subsets  map[routes.Subset][]labels
	standing map[standingKey]string
	// live: what is judged stands.
	live bool
}

// standingKey identifies a mirror across states; a wider match is another mirror.
type standingKey struct{ route, match, to string }

// keyOf returns the key of a mirror, as the status shows it.
func (d Decisions) keyOf(route, match, to string) standingKey {
	return standingKey{route, match, d.identity(route, to)}
}

// Decide decides on the mirrors of a policy. What it is given must not be changed as long as the Decisions are used.
func Decide(input Input) Decisions {
	d := Decisions{input: input, subsets: subsetsOf(input.Manifests, input.Namespace), standing: map[standingKey]string{}}
	for _, m := range input.Standing {
		key := d.keyOf(m.Route, m.Match, m.To)
		if stands, ok := d.standing[key]; !ok || percentOf(m.Percent) > percentOf(stands) {
			d.standing[key] = m.Percent
		}
	}
	return d
}

// percentOf reads a percentage of the status; what isn't one is nothing.
func percentOf(text string) float64 {
	percent, err := strconv.ParseFloat(text, 64)
	if err != nil || percent < 0 || percent > everything {
		return 0
	}
	return percent
}

// Withholding returns the same decisions, but that some mirrors may not stand.
func (d Decisions) Withholding(some []Withholding) Decisions {
	d.input.Withheld = append(slices.Clone(some), d.input.Withheld...)
	return d
}

// Of returns the decision on a target of a route in a namespace; an empty one means the policy's.
func (d Decisions) Of(target routes.Destination, namespace string) Decision {
	if namespace == "" {
		namespace = d.input.Namespace
	}
	owners := d.ownersOf(target, namespace)
	if len(owners) == 0 && d.input.BuiltIn {
		return by(filter(d.input.Variants, func(v Variant) bool { return v.Triggers }))
	}
	decision := by(owners)
	if d.input.BuiltIn {
		decision.weigh(owners)
	}
	return decision
}

// on returns the decision on a mirror of a route in a namespace. One that stands, and whose target no variant lists, goes by what it
// was applied for.
func (d Decisions) on(m iter8v1alpha1.Mirror, target routes.Destination, namespace string) (Decision, Applied) {
	if !d.live || len(d.ownersOf(target, namespace)) > 0 {
		return d.Of(target, namespace), Applied{}
	}
	for _, applied := range d.input.Applied {
		if applied.Route == m.Route && d.identity(m.Route, applied.To) == d.identity(m.Route, m.To) {
			return by(applied.Variants), applied
		}
	}
	return d.Of(target, namespace), Applied{}
}

// by returns the decision on a target by the states of variants.
func by(takes []Variant) Decision {
	decision := Decision{Share: everything, Variants: names(takes)}
	switch unavailable, lost, kept := inState(takes, NotAvailable), inState(takes, Unknown), inState(takes, UnknownAvailable); {
	case len(unavailable) > 0:
		decision.withhold(iter8v1alpha1.ReasonVariantNotAvailable, explain(unavailable, "is not available"))
	case len(lost) > 0:
		decision.withhold(iter8v1alpha1.ReasonVariantStateUnknown, explain(lost, "can't be judged"))
	case len(kept) > 0:
		decision.Unknown = explain(kept, "can't be judged")
	}
	return decision
}

func (d *Decision) withhold(reason, message string) {
	d.Share, d.Unknown, d.Reason, d.Message = 0, "", reason, message
}

// weigh bounds the share by the least of the variants' weights.
func (d *Decision) weigh(variants []Variant) {
	for _, v := range variants {
		if v.Weight == nil {
			continue
		}
		weight, ok := v.Weight.percent()
		switch {
		case !ok:
			d.withhold(iter8v1alpha1.ReasonInvalidWeight, fmt.Sprintf("the weight of variant %s must be a whole number from 0 to 100, and is %q (%s)",
				v.Name, excerpt(v.Weight.Text), v.Weight.Source))
			return
		case weight < d.Share:
			d.Share = weight
			d.Reason = iter8v1alpha1.ReasonLimitedByWeight
			d.Message = fmt.Sprintf("the weight of variant %s is %s (%s)", v.Name, v.Weight.Text, v.Weight.Source)
		}
	}
}

// percent returns the weight, and reports whether it is a whole number from 0 to 100, in digits and nothing else.
func (w Weight) percent() (float64, bool) {
	for _, r := range w.Text {
		if r < '0' || r > '9' {
			return 0, false
		}
	}
	weight, err := strconv.Atoi(w.Text)
	return float64(weight), err == nil && weight <= everything
}

func inState(variants []Variant, state State) []Variant {
	return filter(variants, func(v Variant) bool { return v.State == state })
}

// explain joins why variants aren't available; those without a message get one with the given predicate.
func explain(variants []Variant, predicate string) string {
	messages := make([]string, 0, len(variants))
	for _, v := range variants {
		message := v.Message
		if message == "" {
			message = fmt.Sprintf("variant %s %s", v.Name, predicate)
		}
		if !slices.Contains(messages, message) {
			messages = append(messages, message)
		}
	}
	return strings.Join(messages, "; ")
}

// excerpt of a text that somebody else wrote.
func excerpt(text string) string {
	const limit = 32
	if len(text) <= limit {
		return text
	}
	return strings.ToValidUTF8(text[:limit], "") + "..."
}

// names returns the names of variants but for one that the Subject doesn't have.
func names(variants []Variant) []string {
	var all []string
	for _, v := range variants {
		if v.Name != "" {
			all = append(all, v.Name)
		}
	}
	return all
}

func filter(variants []Variant, keep func(Variant) bool) []Variant {
	var kept []Variant
	for _, v := range variants {
		if keep(v) {
			kept = append(kept, v)
		}
	}
	return kept
}

// stands returns the percentage at which a mirror stands: where its rule is split, the least that it has in one of the parts.
func (d Decisions) stands(v verdict) string {
	if percent, ok := d.standing[d.keyOf(v.report.Route, v.report.Match, v.report.To)]; ok {
		return percent
	}
	least := ""
	for _, match := range v.matches {
		percent, ok := d.standing[d.keyOf(v.report.Route, match, v.report.To)]
		if !ok {
			return "0"
		}
		if least == "" || percentOf(percent) < percentOf(least) {
			least = percent
		}
	}
	return cmp.Or(least, "0")
}

// namespaceOf returns the namespace of a route.
func (d Decisions) namespaceOf(route *unstructured.Unstructured) string {
	if namespace := route.GetNamespace(); namespace != "" {
		return namespace
	}
	return d.input.Namespace
}

func join(texts []string) string { return strings.Join(texts, ", ") }
