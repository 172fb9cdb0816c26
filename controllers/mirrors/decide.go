package mirrors

import (
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
	// Variants that the target belongs to, in the Subject's order; none where no variant lists it.
	Variants []string
	// Reason and Message are the cause where they may have less than all; Message names the resource or the weight.
	Reason, Message string
}

// Decisions are what Decide decided. They hold for every route of the policy, rendered or live.
type Decisions struct {
	input    Input
	subsets  map[subset][]labels
	standing map[standingKey]string
	// live: what is judged stands.
	live bool
}

// standingKey identifies a mirror across states; a wider match is another mirror.
type standingKey struct{ route, match, to string }

// Decide decides on the mirrors of a policy. What it is given must not be changed as long as the Decisions are used.
func Decide(input Input) Decisions {
	if input.ClusterDomain == "" {
		input.ClusterDomain = "cluster.local"
	}
	d := Decisions{input: input, subsets: subsetsOf(input.Manifests, input.Namespace), standing: map[standingKey]string{}}
	for _, m := range input.Standing {
		key := standingKey{m.Route, m.Match, m.To}
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
	takes := owners
	if len(owners) == 0 && d.input.BuiltIn {
		takes = filter(d.input.Variants, func(v Variant) bool { return v.Triggers })
	}
	decision := Decision{Share: everything, Variants: names(owners)}
	switch unavailable, lost, kept := inState(takes, NotAvailable), inState(takes, Unknown), inState(takes, UnknownAvailable); {
	case len(unavailable) > 0:
		decision.withhold(iter8v1alpha1.ReasonVariantNotAvailable, explain(unavailable, "is not available"))
	case len(lost) > 0:
		decision.withhold(iter8v1alpha1.ReasonVariantStateUnknown, explain(lost, "can't be judged"))
	case len(kept) > 0:
		decision.Unknown = explain(kept, "can't be judged")
	}
	if d.input.BuiltIn {
		decision.weigh(owners)
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

func names(variants []Variant) []string {
	var all []string
	for _, v := range variants {
		all = append(all, v.Name)
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

// stands returns the percentage at which a mirror stands.
func (d Decisions) stands(m iter8v1alpha1.Mirror) string {
	if d.live {
		return m.Percent
	}
	if percent, ok := d.standing[standingKey{m.Route, m.Match, m.To}]; ok {
		return percent
	}
	return "0"
}

// namespaceOf returns the namespace of a route.
func (d Decisions) namespaceOf(route *unstructured.Unstructured) string {
	if namespace := route.GetNamespace(); namespace != "" {
		return namespace
	}
	return d.input.Namespace
}

func join(texts []string) string { return strings.Join(texts, ", ") }
