package routingpolicy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/conditions"
	"iter8.tools/operator/controllers/observe"
	"iter8.tools/operator/controllers/routes"
)

// phaseConditions are in the order of the phases that they report.
var phaseConditions = []string{
	iter8v1alpha1.ConditionChartResolved,
	iter8v1alpha1.ConditionRendered,
	iter8v1alpha1.ConditionApplied,
	iter8v1alpha1.ConditionAccepted,
}

// What the API allows of status.mirrors and status.mirrorTargets.
const (
	maxMirrors = 1024
	maxTargets = 4096
	// maxMirrorsSize is how many bytes the mirrors may have as JSON. A cluster stores objects of 1.5 MiB at most, and a
	// small route can repeat a long match for each of many mirrors.
	maxMirrorsSize = 128 << 10
)

// stalled are the reasons that nothing but a change of the policy, or of an object that it refers to, ends.
var stalled = map[string]bool{
	iter8v1alpha1.ReasonSubjectInvalid:          true,
	iter8v1alpha1.ReasonUnknownVariant:          true,
	iter8v1alpha1.ReasonCrossNamespaceReference: true,
	iter8v1alpha1.ReasonUnsupportedRepository:   true,
	iter8v1alpha1.ReasonChartNotFound:           true,
	iter8v1alpha1.ReasonVersionNotFound:         true,
	iter8v1alpha1.ReasonInvalidVersion:          true,
	iter8v1alpha1.ReasonForbiddenAddress:        true,
	iter8v1alpha1.ReasonTooLarge:                true,
	iter8v1alpha1.ReasonInvalidIndex:            true,
	iter8v1alpha1.ReasonInvalidChart:            true,
	iter8v1alpha1.ReasonUnverified:              true,
	iter8v1alpha1.ReasonInvalidValues:           true,
	iter8v1alpha1.ReasonRenderFailed:            true,
	iter8v1alpha1.ReasonRenderLimit:             true,
	iter8v1alpha1.ReasonNonDeterministic:        true,
	iter8v1alpha1.ReasonForbiddenManifest:       true,
	iter8v1alpha1.ReasonOwnershipConflict:       true,
	iter8v1alpha1.ReasonRejected:                true,
	iter8v1alpha1.ReasonUnsupportedByGateway:    true,
	iter8v1alpha1.ReasonUnsupportedByCluster:    true,
}

// finish makes the status from what the phases found; now is the time of whatever changed. What no phase
// touched stays as it was.
func (s *scope) finish(now metav1.Time) *iter8v1alpha1.RoutingPolicyStatus {
	status := s.policy.Status.DeepCopy()
	status.ObservedGeneration = s.policy.Generation
	if s.result != nil {
		status.Applied = s.result.Inventory
		mirrors := s.mirrors()
		status.Mirrors = bounded(mirrors)
		status.MirrorTargets = conditions.Truncate(routes.Targets(mirrors), maxTargets)
		if len(s.result.Failures) == 0 {
			status.Chart, status.Variants = s.rendered()
		}
	}
	status.Conditions = conditions.Update(status.Conditions, s.policy.Generation, now, s.conditions()...)
	return status
}

// rendered gives what the applied objects were made of.
func (s *scope) rendered() (*iter8v1alpha1.ResolvedChart, []iter8v1alpha1.RenderedVariant) {
	var variants []iter8v1alpha1.RenderedVariant
	for _, v := range s.variants {
		variants = append(variants, iter8v1alpha1.RenderedVariant{Name: v.Name, Available: v.Available})
	}
	if s.chart == nil {
		return nil, variants
	}
	resolved := s.chart.Resolved
	return &resolved, variants
}

// mirrors gives the mirrors of the routes as they are applied: of those that could not be applied now, the
// ones that stood before.
func (s *scope) mirrors() []iter8v1alpha1.Mirror {
	listed := map[apply.Key]bool{}
	for _, entry := range s.result.Inventory {
		listed[apply.KeyOf(entry)] = true
	}
	var mirrors []iter8v1alpha1.Mirror
	for _, step := range s.steps {
		switch route := routes.Name(step.Key.Kind, step.Key.Name); {
		case !listed[step.Key]:
		case s.result.Applied[step.Key]:
			mirrors = append(mirrors, routes.Mirrors(step.Manifest)...)
		default:
			for _, m := range s.policy.Status.Mirrors {
				if m.Route == route {
					mirrors = append(mirrors, m)
				}
			}
		}
	}
	return mirrors
}

// bounded returns as many of the mirrors as a status can hold.
func bounded(mirrors []iter8v1alpha1.Mirror) []iter8v1alpha1.Mirror {
	size := 0
	for i, m := range mirrors {
		data, err := json.Marshal(m)
		if size += len(data); err != nil || i == maxMirrors || size > maxMirrorsSize {
			return mirrors[:i]
		}
	}
	return mirrors
}

// conditions is the only place that makes a policy's conditions.
func (s *scope) conditions() []metav1.Condition {
	ready := s.summary()
	wanted := make([]metav1.Condition, 0, len(phaseConditions)+2)
	for _, t := range phaseConditions {
		c := metav1.Condition{Type: t, Status: metav1.ConditionUnknown, Reason: iter8v1alpha1.ReasonSkipped,
			Message: "not tried, because of " + ready.Reason}
		if f, ok := s.found[t]; ok {
			c.Status, c.Reason, c.Message = statusOf(f), f.reason, f.message
		}
		wanted = append(wanted, c)
	}
	wanted = append(wanted, ready)
	switch {
	case ready.Status == metav1.ConditionTrue, s.stopped != nil && s.stopped.reason == iter8v1alpha1.ReasonSuspended:
	case stalled[ready.Reason] && !s.refused(ready):
		wanted = append(wanted, metav1.Condition{Type: iter8v1alpha1.ConditionStalled, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message})
	default:
		wanted = append(wanted, metav1.Condition{Type: iter8v1alpha1.ConditionReconciling, Status: metav1.ConditionTrue, Reason: ready.Reason, Message: ready.Message})
	}
	return wanted
}

// refused tells whether Ready repeats what a gateway said, whose reasons may have the names of ours.
func (s *scope) refused(ready metav1.Condition) bool {
	accepted := s.found[iter8v1alpha1.ConditionAccepted]
	return accepted.failed && accepted.reason == ready.Reason && accepted.message == ready.Message
}

func statusOf(f finding) metav1.ConditionStatus {
	switch {
	case f.failed:
		return metav1.ConditionFalse
	case f.open:
		return metav1.ConditionUnknown
	default:
		return metav1.ConditionTrue
	}
}

// summary is the condition Ready: the first thing that went wrong, or what stands.
func (s *scope) summary() metav1.Condition {
	ready := func(status metav1.ConditionStatus, reason, message string) metav1.Condition {
		return metav1.Condition{Type: iter8v1alpha1.ConditionReady, Status: status, Reason: reason, Message: message}
	}
	if s.stopped != nil {
		if s.stopped.reason == iter8v1alpha1.ReasonSuspended {
			return ready(metav1.ConditionUnknown, s.stopped.reason, s.stopped.message)
		}
		return ready(metav1.ConditionFalse, s.stopped.reason, s.stopped.message)
	}
	for _, t := range phaseConditions {
		switch f := s.found[t]; {
		case f.failed:
			return ready(metav1.ConditionFalse, f.reason, f.message)
		case f.open && t != iter8v1alpha1.ConditionAccepted: // the gateway's silence is no failure
			return ready(metav1.ConditionUnknown, f.reason, f.message)
		}
	}
	if s.unknown != "" {
		return ready(metav1.ConditionFalse, s.whyUnknown(), s.unknown)
	}
	return ready(metav1.ConditionTrue, iter8v1alpha1.ReasonSucceeded, s.applied())
}

// applied says what stands, and for which state of the triggering variants.
func (s *scope) applied() string {
	states := make([]string, 0, len(s.variants))
	for _, v := range s.variants {
		if trigger := s.policy.Spec.Trigger; trigger == nil || slices.Contains(trigger.Variants, v.Name) {
			states = append(states, v.Name+" "+availability(v.Available))
		}
	}
	return fmt.Sprintf("%s applied for %s", count(len(s.manifests), "object"), strings.Join(states, ", "))
}

// whyUnknown is the reason where a variant can't be judged: that the Subject can't work as it stands, or not.
func (s *scope) whyUnknown() string {
	for _, v := range s.observation.Variants {
		for _, problem := range v.Problems {
			if problem.State == observe.Invalid {
				return iter8v1alpha1.ReasonSubjectInvalid
			}
		}
	}
	return iter8v1alpha1.ReasonVariantUnknown
}

// announce tells in Events what changed for traffic, and what went wrong.
func (r *Reconciler) announce(before, after *iter8v1alpha1.RoutingPolicy) {
	// What a policy begins with is no change.
	if was, is := before.Status.MirrorTargets, after.Status.MirrorTargets; was != is && before.Status.ObservedGeneration != 0 {
		note := "requests are mirrored to " + is
		if is == "" {
			note = "requests are no longer mirrored to " + was
		}
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, "MirrorsChanged", "Apply", "%s", note)
	}
	if was, is := before.Status.Chart, after.Status.Chart; was != nil && is != nil && was.Digest != is.Digest && was.Name == is.Name {
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, "ChartChanged", "Resolve", "chart %s was version %s (%s), and is version %s (%s) now",
			is.Name, was.Version, was.Digest, is.Version, is.Digest)
	}
	was := meta.FindStatusCondition(before.Status.Conditions, iter8v1alpha1.ConditionReady)
	is := meta.FindStatusCondition(after.Status.Conditions, iter8v1alpha1.ConditionReady)
	if is.Status == metav1.ConditionFalse && is.Reason != iter8v1alpha1.ReasonSubjectNotFound && (was == nil || was.Reason != is.Reason) {
		r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, conditions.Truncate(is.Reason, maxReason), "Reconcile", "%s", conditions.Truncate(is.Message, maxNote))
	}
}

// What the API allows of an Event's reason and note, in bytes.
const (
	maxReason = 128
	maxNote   = 1024
)
