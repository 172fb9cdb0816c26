package routingpolicy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/conditions"
)

// announce writes Events about what changed for traffic, and what went wrong.
func (r *Reconciler) announce(before, after *iter8v1alpha1.RoutingPolicy) {
	// What a policy begins with is no change.
	if was, is := before.Status.MirrorTargets, after.Status.MirrorTargets; was != is && before.Status.ObservedGeneration > 0 {
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, iter8v1alpha1.EventMirrorsChanged, "Apply", "%s",
			conditions.Truncate(mirrorsChanged(before.Status, after.Status), maxNote))
	}
	if was, is := before.Status.Chart, after.Status.Chart; was != nil && is != nil && was.Digest != is.Digest && was.Name == is.Name {
		r.Recorder.Eventf(after, nil, corev1.EventTypeNormal, iter8v1alpha1.EventChartChanged, "Resolve", "chart %s was version %s (%s), and is version %s (%s) now",
			is.Name, was.Version, was.Digest, is.Version, is.Digest)
	}
	if fresh := newWarnings(before.Status.Warnings, after.Status.Warnings); len(fresh) > 0 {
		r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, iter8v1alpha1.ReasonParentSelectsVariant, "Look", "%s", conditions.Truncate(strings.Join(fresh, "; "), maxNote))
	}
	was := meta.FindStatusCondition(before.Status.Conditions, iter8v1alpha1.ConditionReady)
	is := meta.FindStatusCondition(after.Status.Conditions, iter8v1alpha1.ConditionReady)
	if is != nil && is.Status == metav1.ConditionFalse && !unannounced[is.Reason] && (was == nil || was.Reason != is.Reason) {
		r.Recorder.Eventf(after, nil, corev1.EventTypeWarning, conditions.Truncate(is.Reason, maxReason), "Reconcile", "%s", conditions.Truncate(is.Message, maxNote))
	}
}

// unannounced are reasons of which there is no Event: what follows from a deletion is told by that, and a namespace that is being deleted takes no
// Events.
var unannounced = map[string]bool{iter8v1alpha1.ReasonSubjectNotFound: true, iter8v1alpha1.ReasonNamespaceTerminating: true}

// What the API allows of an Event's reason and note, in bytes.
const (
	maxReason = 128
	maxNote   = 1024
)

// mirrorsChanged says where to requests are mirrored, and why some mirrors went or became smaller.
func mirrorsChanged(before, after iter8v1alpha1.RoutingPolicyStatus) string {
	note := "requests are mirrored to " + after.MirrorTargets
	if after.MirrorTargets == "" {
		note = "requests are no longer mirrored to " + before.MirrorTargets
	}
	var why []string
	for _, was := range before.Mirrors {
		if was.State == iter8v1alpha1.MirrorWithheld {
			continue
		}
		message := whyLess(was, after)
		if after.MirrorTargets == "" {
			message = strings.TrimPrefix(message, "no mirror to "+was.To+": ")
		}
		if message != "" && !slices.Contains(why, message) {
			why = append(why, message)
		}
	}
	switch {
	case len(why) == 0:
		return note
	case after.MirrorTargets == "":
		return note + ": " + strings.Join(why, "; ")
	default:
		return note + "; " + strings.Join(why, "; ")
	}
}

// newWarnings returns the messages of the warnings that weren't there before.
func newWarnings(before, after []iter8v1alpha1.Warning) []string {
	var fresh []string
	for _, w := range after {
		if !slices.ContainsFunc(before, func(was iter8v1alpha1.Warning) bool { return sameWarning(was, w) }) {
			fresh = append(fresh, w.Message)
		}
	}
	return fresh
}

// whyLess says why a mirror that stood is gone, or has become smaller; "" where it isn't.
func whyLess(was iter8v1alpha1.Mirror, after iter8v1alpha1.RoutingPolicyStatus) string {
	is := slices.IndexFunc(after.Mirrors, func(m iter8v1alpha1.Mirror) bool { return keyOf(m) == keyOf(was) })
	switch {
	case is >= 0 && after.Mirrors[is].State != iter8v1alpha1.MirrorWithheld && percentOf(after.Mirrors[is]) >= percentOf(was):
		return ""
	case is >= 0:
		return after.Mirrors[is].Message
	case slices.ContainsFunc(after.Mirrors, func(m iter8v1alpha1.Mirror) bool {
		return m.To == was.To && m.State != iter8v1alpha1.MirrorWithheld
	}):
		return "" // by another route or rule
	}
	why := "it is no longer asked for"
	if c := meta.FindStatusCondition(after.Conditions, iter8v1alpha1.ConditionReady); c != nil && c.Reason == iter8v1alpha1.ReasonSubjectNotFound {
		why = c.Message
	}
	return fmt.Sprintf("no mirror to %s: %s", was.To, why)
}

// announceDeleted writes an Event about each object that was deleted. Each names its object, else the first would stand for all.
func (r *Reconciler) announceDeleted(s *scope, deleted []apply.Step) {
	why := "it is no longer rendered"
	if s.subjectGone {
		why = fmt.Sprintf("Subject %s was deleted", cmp.Or(s.observedName(), s.policy.Spec.SubjectRef.Name))
	}
	for _, step := range deleted {
		object := &unstructured.Unstructured{}
		object.SetGroupVersionKind(step.Watched)
		object.SetNamespace(s.policy.Namespace)
		object.SetName(step.Key.Name)
		object.SetUID(step.Existing.UID)
		r.Recorder.Eventf(s.policy, object, corev1.EventTypeWarning, iter8v1alpha1.EventRouteDeleted, "Delete", "%s",
			conditions.Truncate(fmt.Sprintf("%s %s is deleted, since %s", step.Key.Kind, step.Key.Name, why), maxNote))
	}
}

// observedName is the name of the Subject for which what stands was applied.
func (s *scope) observedName() string {
	if known := s.policy.Status.Subject; known != nil {
		return known.Name
	}
	return ""
}
