package routingpolicy

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/routes"
)

// routeBefore is a route as it stood before a reconcile wrote anything; the zero value is one that didn't stand, or could not be read.
type routeBefore struct {
	// said is what its gateways said of it then, and accepted whether they had accepted it when they last reported on it, by the status.
	said     routes.Verdict
	accepted bool
	// filters are digests of those that mirror, by their target, in whatever rules their own are split into.
	filters map[string][]string
}

// before returns what counts of an object for the trials of mirrors.
func (s *scope) before(o standing) routeBefore {
	return routeBefore{said: o.existing.Reported, accepted: s.acceptedLast(apply.Key{GroupKind: o.kind.GroupKind(), Name: o.name.Name}, o),
		filters: filtersOf(o.object, s.policy.Namespace)}
}

// filtersOf returns a digest of each different filter that mirrors, by its target, sorted.
func filtersOf(object *unstructured.Unstructured, namespace string) map[string][]string {
	fields := map[string]map[string]any{}
	for _, rule := range routes.Rules(object) {
		for _, site := range rule.Sites {
			fields[site.Path.String()] = site.Fields
		}
	}
	filters := map[string][]string{}
	for _, m := range asTheyStand(object, namespace) {
		if !m.Withheld() {
			filters[m.To] = append(filters[m.To], digestOf([]any{m.Percent, fields[m.Path]}))
		}
	}
	for to, digests := range filters {
		slices.Sort(digests)
		filters[to] = slices.Compact(digests)
	}
	return filters
}

// mirrors reports whether the route had a mirror to a target.
func (r routeBefore) mirrors(to string) bool { return len(r.filters[to]) > 0 }

// acceptedWithout reports whether the gateways had accepted the route before a mirror came into it, or became what it is. What they said of
// it already, where the status doesn't tell of it yet, is no word on that.
func (r routeBefore) acceptedWithout(m iter8v1alpha1.Mirror, filters []string) bool {
	if slices.Equal(r.filters[m.To], filters) || r.said.Status == metav1.ConditionUnknown {
		return r.accepted
	}
	return r.said.Status == metav1.ConditionTrue
}

// acceptedLast reports whether the gateways accepted an object when they last reported on it, by the status.
func (s *scope) acceptedLast(key apply.Key, o standing) bool {
	return slices.ContainsFunc(s.policy.Status.Applied, func(entry iter8v1alpha1.AppliedObject) bool {
		return apply.KeyOf(entry) == key && entry.UID == o.existing.UID && entry.Accepted
	})
}

// noteAcceptance keeps which objects the gateways accepted when they last reported on them: a later write, of which they have said nothing
// yet, changes nothing of that.
func (s *scope) noteAcceptance(all []standing) {
	s.accepted = map[apply.Key]bool{}
	for _, o := range all {
		key := apply.Key{GroupKind: o.kind.GroupKind(), Name: o.name.Name}
		switch o.existing.Reported.Status {
		case metav1.ConditionTrue:
			s.accepted[key] = true
		case metav1.ConditionUnknown:
			s.accepted[key] = s.acceptedLast(key, o)
		case metav1.ConditionFalse:
			s.accepted[key] = false
		}
	}
}

// withAcceptance returns an inventory that says of each object whether it is accepted; of one that could not be read it says what it said.
func (s *scope) withAcceptance(inventory []iter8v1alpha1.AppliedObject) []iter8v1alpha1.AppliedObject {
	told := slices.Clone(inventory)
	for i, entry := range told {
		accepted, known := s.accepted[apply.KeyOf(entry)]
		if !known {
			accepted = slices.ContainsFunc(s.policy.Status.Applied, func(was iter8v1alpha1.AppliedObject) bool {
				return apply.KeyOf(was) == apply.KeyOf(entry) && was.UID == entry.UID && was.Accepted
			})
		}
		told[i].Accepted = accepted
	}
	return told
}
