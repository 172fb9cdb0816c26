package routes

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/intstr"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// Verdict is what those who are to route by an object say of it. The zero value is that of an object of which
// nobody says anything, by its kind.
type Verdict struct {
	// Status is False as soon as somebody refuses the object or a part of it, and True once all have accepted
	// the whole of it as it is now.
	Status metav1.ConditionStatus
	// Reason is the gateway's own where the status is False, else one of the API's for the condition Accepted.
	Reason string
	// Message names the object and who said what.
	Message string
}

// Acceptance reads the status of a routing object.
func Acceptance(object *unstructured.Unstructured) Verdict {
	switch object.GroupVersionKind().Group {
	case gatewayv1.GroupName:
		return acceptedByParents(object, false)
	case istioGroup:
		return acceptedByIstio(object)
	default:
		return Verdict{}
	}
}

// Reported is the Acceptance by those alone that have ever reported on the object: one of several parents may be of a kind of which no
// controller reports. Where none has, it is the Acceptance.
func Reported(object *unstructured.Unstructured) Verdict {
	if object.GroupVersionKind().Group == gatewayv1.GroupName {
		return acceptedByParents(object, true)
	}
	return Acceptance(object)
}

// Worst gives the verdict on several objects together.
func Worst(verdicts []Verdict) Verdict {
	var worst Verdict
	var messages []string
	for _, v := range verdicts {
		switch {
		case v.Status == "" || severity[v.Status] < severity[worst.Status]:
			continue
		case v.Status != worst.Status:
			worst, messages = v, nil
		}
		messages = append(messages, v.Message)
	}
	worst.Message = strings.Join(messages, "; ")
	return worst
}

var severity = map[metav1.ConditionStatus]int{metav1.ConditionTrue: 1, metav1.ConditionUnknown: 2, metav1.ConditionFalse: 3}

// acceptedByParents reads status.parents, in which every parent of a route is to report on its own. What those say that do may be asked for
// alone.
func acceptedByParents(object *unstructured.Unstructured, reportedOnly bool) Verdict {
	var parentRefs []gatewayv1.ParentReference
	var reports []gatewayv1.RouteParentStatus
	if err := errors.Join(decode(object, &parentRefs, "spec", "parentRefs"), decode(object, &reports, "status", "parents")); err != nil {
		return unreadable(object, err)
	}
	about, namespace := title(object), object.GetNamespace()
	if len(parentRefs) == 0 {
		return Verdict{metav1.ConditionUnknown, iter8v1alpha1.ReasonNotReported, about + " names no parentRefs, so no gateway reports on it"}
	}
	verdicts, silent := make([]Verdict, 0, len(parentRefs)), []Verdict{}
	for _, ref := range parentRefs {
		parent := parentOf(ref, namespace)
		reported := false
		for _, report := range reports {
			if parentOf(report.ParentRef, namespace) == parent {
				reported = true
				verdicts = append(verdicts, acceptedBy(about, parent, report.Conditions, object.GetGeneration()))
			}
		}
		if !reported {
			silent = append(silent, awaited(about, parent.String()))
		}
	}
	if !reportedOnly || len(verdicts) == 0 {
		verdicts = append(verdicts, silent...)
	}
	return Worst(verdicts)
}

// acceptedBy reads what one controller says of one parent.
func acceptedBy(about string, by parent, reported []metav1.Condition, generation int64) Verdict {
	for _, wanted := range []gatewayv1.RouteConditionType{gatewayv1.RouteConditionAccepted, gatewayv1.RouteConditionResolvedRefs} {
		c := meta.FindStatusCondition(reported, string(wanted))
		switch {
		case c == nil || c.ObservedGeneration < generation || c.Status == metav1.ConditionUnknown:
			return awaited(about, by.String())
		case c.Status != metav1.ConditionTrue:
			return refused(about, by.String(), *c)
		}
	}
	// A part of the route is left out, and that may be the mirror.
	if c := meta.FindStatusCondition(reported, string(gatewayv1.RouteConditionPartiallyInvalid)); c != nil && c.Status == metav1.ConditionTrue {
		return refused(about, by.String(), *c)
	}
	return Verdict{metav1.ConditionTrue, iter8v1alpha1.ReasonAccepted, fmt.Sprintf("%s accepted by %s", about, by)}
}

func awaited(about, by string) Verdict {
	return Verdict{metav1.ConditionUnknown, iter8v1alpha1.ReasonAwaitingReport, fmt.Sprintf("%s: %s has not reported on it as it is now", about, by)}
}

func refused(about, by string, c metav1.Condition) Verdict {
	return Verdict{metav1.ConditionFalse, c.Reason, strings.TrimSuffix(fmt.Sprintf("%s: %s says %s %s: %s: %s", about, by, c.Type, c.Status, c.Reason, c.Message), ": ")}
}

func unreadable(object *unstructured.Unstructured, err error) Verdict {
	return Verdict{metav1.ConditionUnknown, iter8v1alpha1.ReasonAwaitingReport, fmt.Sprintf("%s has a status that can't be read: %s", title(object), err)}
}

func title(object *unstructured.Unstructured) string {
	return object.GetKind() + " " + object.GetName()
}

// acceptedByIstio reads what Istio writes into the status of its own kinds. Without its analysis being turned
// on, which is the default, it writes nothing.
func acceptedByIstio(object *unstructured.Unstructured) Verdict {
	var status istioStatus
	if err := decode(object, &status, "status"); err != nil {
		return unreadable(object, err)
	}
	const istio = "Istio"
	about, generation := title(object), object.GetGeneration()
	if len(status.Conditions) == 0 && len(status.ValidationMessages) == 0 && status.ObservedGeneration == nil {
		return Verdict{metav1.ConditionUnknown, iter8v1alpha1.ReasonNotReported, about + ": Istio reports nothing on it"}
	}
	if observed := status.ObservedGeneration; observed != nil && int64(observed.IntValue()) < generation {
		return awaited(about, istio)
	}
	for _, m := range status.ValidationMessages {
		if m.Level == "ERROR" {
			return Verdict{metav1.ConditionFalse, reasonOf(m.Type.Name), strings.TrimSuffix(fmt.Sprintf("%s: Istio says %s: %s: %s", about, m.Type.Code, m.Type.Name, m.DocumentationURL), ": ")}
		}
	}
	for _, c := range status.Conditions {
		switch {
		case c.ObservedGeneration != nil && int64(c.ObservedGeneration.IntValue()) < generation:
			return awaited(about, istio)
		case c.Status == string(metav1.ConditionFalse):
			return refused(about, istio, metav1.Condition{Type: c.Type, Status: metav1.ConditionFalse, Reason: reasonOf(c.Reason), Message: c.Message})
		case c.Status != string(metav1.ConditionTrue):
			return awaited(about, istio)
		}
	}
	return Verdict{metav1.ConditionTrue, iter8v1alpha1.ReasonAccepted, about + " accepted by Istio"}
}

// istioStatus is Istio's own shape of a status.
type istioStatus struct {
	Conditions         []istioCondition    `json:"conditions"`
	ValidationMessages []validationMessage `json:"validationMessages"`
	ObservedGeneration *intstr.IntOrString `json:"observedGeneration"`
}

// istioCondition is one of Istio's own shape.
type istioCondition struct {
	Type               string              `json:"type"`
	Status             string              `json:"status"`
	Reason             string              `json:"reason"`
	Message            string              `json:"message"`
	ObservedGeneration *intstr.IntOrString `json:"observedGeneration"`
}

// validationMessage is a finding of Istio's analysis.
type validationMessage struct {
	Type             messageType `json:"type"`
	Level            level       `json:"level"`
	DocumentationURL string      `json:"documentationUrl"`
}

type messageType struct {
	Name string `json:"name"`
	Code string `json:"code"`
}

// What the API takes for a condition's reason.
const maxReason = 1024

var reasonPattern = regexp.MustCompile(`^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$`)

// reasonOf gives Istio's reason, where a condition of ours can have it.
func reasonOf(given string) string {
	if len(given) <= maxReason && reasonPattern.MatchString(given) {
		return given
	}
	return iter8v1alpha1.ReasonNotAccepted
}

// level is a name, or for some of Istio's versions its number.
type level string

func (l *level) UnmarshalJSON(data []byte) error {
	if string(data) == "3" {
		*l = "ERROR"
		return nil
	}
	var name string
	if err := json.Unmarshal(data, &name); err != nil {
		return nil //nolint:nilerr // another number, of a lower level
	}
	*l = level(name)
	return nil
}
