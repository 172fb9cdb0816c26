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

// status is what the phases found. What no phase touched stays as it was.
func (s *scope) status() *iter8v1alpha1.RoutingPolicyStatus {
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
	status.Conditions = conditions.Update(status.Conditions, s.policy.Generation, metav1.NewTime(s.now), s.conditions()...)
	return status
}

// rendered returns what the applied objects were made of.
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

// mirrors returns the mirrors of the routes as they are applied: of those that could not be applied now, the
// ones that stood before.
func (s *scope) mirrors() []iter8v1alpha1.Mirror {
	listed := map[apply.Key]bool{}
	for _, entry := range s.result.Inventory {
		listed[apply.KeyOf(entry)] = true
	}
	var mirrors []iter8v1alpha1.Mirror
	for _, step := range s.result.Steps {
		switch route := routes.Name(step.Key.Kind, step.Key.Name); {
		case !listed[step.Key]:
		case s.result.Applied[step.Key]:
			mirrors = append(mirrors, routes.Mirrors(step.Manifest)...)
		case step.Existing == nil: // nothing stands under that name
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

// conditions is the only place that makes a policy's conditions. Ready repeats the first problem, and so does Stalled or
// Reconciling; but what is tried again keeps the policy from being Stalled.
func (s *scope) conditions() []metav1.Condition {
	problems := s.problems()
	if len(problems) == 0 {
		problems = []report{{status: metav1.ConditionTrue, reason: iter8v1alpha1.ReasonSucceeded, message: s.applied()}}
	}
	ready := problems[0]
	wanted := make([]metav1.Condition, 0, len(phaseConditions)+2)
	for _, t := range phaseConditions {
		r, ok := s.reports[t]
		if !ok {
			r = report{status: metav1.ConditionUnknown, reason: iter8v1alpha1.ReasonSkipped, message: "not tried, because of " + ready.reason}
		}
		wanted = append(wanted, conditionOf(t, r))
	}
	wanted = append(wanted, conditionOf(iter8v1alpha1.ConditionReady, ready))
	progress := ready
	if i := slices.IndexFunc(problems, func(r report) bool { return r.recovery() == iter8v1alpha1.Retries }); i >= 0 {
		progress = problems[i]
	}
	if kind := progress.recovery().Condition(); kind != "" {
		wanted = append(wanted, metav1.Condition{Type: kind, Status: metav1.ConditionTrue, Reason: progress.reason, Message: progress.message})
	}
	return wanted
}

func conditionOf(kind string, r report) metav1.Condition {
	return metav1.Condition{Type: kind, Status: r.status, Reason: r.reason, Message: r.message}
}

// problems are what keeps the policy from being Ready, in the order of the phases.
func (s *scope) problems() []report {
	if s.interruption != nil {
		return []report{*s.interruption}
	}
	var problems []report
	for _, t := range phaseConditions {
		r := s.reports[t]
		if r.status == metav1.ConditionFalse || r.status == metav1.ConditionUnknown && t != iter8v1alpha1.ConditionAccepted { // a gateway's silence is no failure
			problems = append(problems, r)
		}
	}
	if s.stateUnknown != "" {
		problems = append(problems, report{status: metav1.ConditionFalse, reason: s.unknownBecause, message: s.stateUnknown})
	}
	if s.invalidWeights != "" {
		problems = append(problems, report{status: metav1.ConditionFalse, reason: iter8v1alpha1.ReasonInvalidWeight, message: s.invalidWeights})
	}
	return problems
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

// announce writes Events about what changed for traffic, and what went wrong.
func (r *Reconciler) announce(before, after *iter8v1alpha1.RoutingPolicy) {
	// What a policy begins with is no change.
	if was, is := before.Status.MirrorTargets, after.Status.MirrorTargets; was != is && before.Status.ObservedGeneration != 0 {
		note := "requests are mirrored to " + is
		if is == "" {
			note = "requests are no longer mirrored to " + was
		}
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, iter8v1alpha1.EventMirrorsChanged, "Apply", "%s", note)
	}
	if was, is := before.Status.Chart, after.Status.Chart; was != nil && is != nil && was.Digest != is.Digest && was.Name == is.Name {
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, iter8v1alpha1.EventChartChanged, "Resolve", "chart %s was version %s (%s), and is version %s (%s) now",
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
