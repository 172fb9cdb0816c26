package observe

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/fluxcd/cli-utils/pkg/kstatus/status"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/watch"
)

// object is what is kept of a watched resource: enough to judge it, and nothing else.
type object struct {
	metav1.ObjectMeta
	facts
	// full is the resource itself, kept only for the kinds that a readyWhen expression looks into.
	full *unstructured.Unstructured
}

// facts are what availability is made of; a change of anything else concerns nobody.
type facts struct {
	terminating bool
	// verdict is the judgement by the rule of the resource's kind.
	verdict verdict
	// conditions are status.conditions, by type.
	conditions map[string]condition
	// legacyFinalizer tells that Iter8's controller left its finalizer.
	legacyFinalizer bool
	// annotatedWeight is the annotation as it is written, nil without one, and weight what it says, nil where that is not valid.
	annotatedWeight *string
	weight          *int32
	// podLabels are those of a workload's Pods.
	podLabels map[string]string
	// byEndpoints is true of a Service with a selector, which is ready by its EndpointSlices.
	byEndpoints bool
	// service is the Service that an EndpointSlice belongs to, and ready whether it has a ready endpoint.
	service types.NamespacedName
	ready   bool
}

type condition struct {
	status, reason, message string
}

// verdict is a judgement of one resource.
type verdict struct {
	state   ResourceState
	message string
}

// The kinds that have a rule of their own. One that is in both tables is ready by both.
var (
	serviceKind       = schema.GroupKind{Kind: "Service"}
	endpointSliceKind = schema.GroupVersionKind{Group: "discovery.k8s.io", Version: "v1", Kind: "EndpointSlice"}

	conditionsOfKind = map[schema.GroupKind][]string{
		{Group: "apps", Kind: "Deployment"}:                    {"Available"}, // which it is at 0 replicas, too
		{Group: "serving.kserve.io", Kind: "InferenceService"}: {"Ready"},
		{Group: "serving.knative.dev", Kind: "Service"}:        {"Ready"},
	}
	// A workload in the middle of a rolling update is available all the same, so these count Pods in place
	// of asking kstatus, which would wait for the update's end.
	availablePodsOfKind = map[schema.GroupKind]string{
		{Group: "apps", Kind: "Deployment"}:  "availableReplicas",
		{Group: "apps", Kind: "StatefulSet"}: "availableReplicas",
		{Group: "apps", Kind: "ReplicaSet"}:  "availableReplicas",
		{Group: "apps", Kind: "DaemonSet"}:   "numberAvailable",
	}
	existingIsReady = map[schema.GroupKind]bool{
		{Kind: "ConfigMap"}: true,
		{Kind: "Secret"}:    true,
	}
)

// summarize is the transform of the informers.
func (o *Observer) summarize(target watch.Target, u *unstructured.Unstructured) *object {
	kept := &object{ObjectMeta: metav1.ObjectMeta{
		Name:            u.GetName(),
		Namespace:       u.GetNamespace(),
		UID:             u.GetUID(),
		ResourceVersion: u.GetResourceVersion(),
	}}
	if target.GroupVersionKind == endpointSliceKind {
		if service := u.GetLabels()[discoveryv1.LabelServiceName]; service != "" {
			kept.service = types.NamespacedName{Namespace: u.GetNamespace(), Name: service}
		}
		kept.ready = hasReadyEndpoint(u)
	}
	kept.terminating = u.GetDeletionTimestamp() != nil
	kept.legacyFinalizer = slices.Contains(u.GetFinalizers(), iter8v1alpha1.LegacyFinalizer)
	kept.annotatedWeight, kept.weight = WeightOf(u)
	kept.podLabels = PodLabelsOf(u)
	kept.conditions = conditionsOf(u)
	if target.Full {
		kept.full = u
		return kept
	}
	if target.GroupKind() == serviceKind {
		selector, _, _ := unstructured.NestedMap(u.Object, "spec", "selector")
		// An ExternalName Service has no endpoints, whatever selector it was left with.
		kind, _, _ := unstructured.NestedString(u.Object, "spec", "type")
		kept.byEndpoints = len(selector) > 0 && kind != string(corev1.ServiceTypeExternalName)
	}
	kept.verdict = o.judge(target.GroupKind(), kept, u)
	return kept
}

// judge applies the rule of the resource's kind. What a controller said of an earlier generation stands until
// it has looked at the present one: a change of the spec alone makes nothing unavailable.
func (o *Observer) judge(kind schema.GroupKind, kept *object, u *unstructured.Unstructured) verdict {
	if types, ok := o.conditions[kind]; ok {
		return judgeConditions(types, kept.conditions)
	}
	types, byConditions := conditionsOfKind[kind]
	if judged := judgeConditions(types, kept.conditions); judged.state != Ready {
		return judged
	}
	field, byPods := availablePodsOfKind[kind]
	switch {
	case byPods:
		return judgeAvailablePods(field, u)
	case byConditions, existingIsReady[kind], kind == serviceKind:
		return verdict{state: Ready}
	case kind == endpointSliceKind.GroupKind():
		return judgeEndpoints(kept.ready)
	}
	for _, t := range summaryConditions {
		if _, ok := kept.conditions[t]; ok {
			return judgeConditions([]string{t}, kept.conditions)
		}
	}
	return judgeStatus(u)
}

// summaryConditions are those by which a resource of any kind may say that it can be used; the first that it has counts.
var summaryConditions = []string{"Ready", "Available"}

func judgeAvailablePods(field string, u *unstructured.Unstructured) verdict {
	if n, _, _ := unstructured.NestedInt64(u.Object, "status", field); n > 0 {
		return verdict{state: Ready}
	}
	return verdict{NotReady, "has no available Pod"}
}

func judgeEndpoints(ready bool) verdict {
	if ready {
		return verdict{state: Ready}
	}
	return verdict{NotReady, "has no ready endpoint"}
}

func judgeConditions(types []string, conditions map[string]condition) verdict {
	for _, t := range types {
		c, ok := conditions[t]
		switch {
		case !ok:
			return verdict{NotReady, fmt.Sprintf("has no condition %s yet", t)}
		case c.status != string(metav1.ConditionTrue):
			return verdict{NotReady, strings.TrimSuffix(fmt.Sprintf("has condition %s %s: %s: %s", t, c.status, c.reason, c.message), ": ")}
		}
	}
	return verdict{state: Ready}
}

// judgeStatus asks kstatus, which takes an object that has no status for one that needs none: here it is one that its
// controller has not looked at yet.
func judgeStatus(u *unstructured.Unstructured) verdict {
	if fields, _, _ := unstructured.NestedMap(u.Object, "status"); len(fields) == 0 {
		return verdict{NotReady, "has no status yet"}
	}
	result, err := status.Compute(u)
	switch {
	case err != nil:
		return verdict{Unknown, "has a status that can't be judged: " + err.Error()}
	case result.Status == status.CurrentStatus:
		return verdict{state: Ready}
	case result.Status == status.UnknownStatus:
		return verdict{Unknown, "has a status that can't be judged: " + result.Message}
	default:
		return verdict{NotReady, fmt.Sprintf("is %s: %s", result.Status, result.Message)}
	}
}

func conditionsOf(u *unstructured.Unstructured) map[string]condition {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "conditions")
	if len(list) == 0 {
		return nil
	}
	conditions := make(map[string]condition, len(list))
	for _, item := range list {
		fields, ok := item.(map[string]any)
		if !ok {
			continue
		}
		text := func(key string) string { s, _ := fields[key].(string); return s }
		conditions[text("type")] = condition{status: text("status"), reason: text("reason"), message: text("message")}
	}
	return conditions
}

// PodLabelsOf returns the labels of a workload's Pods, and nil for anything else.
func PodLabelsOf(u *unstructured.Unstructured) map[string]string {
	labels, _, _ := unstructured.NestedStringMap(u.Object, "spec", "template", "metadata", "labels")
	return labels
}

// WeightOf returns the weight that a resource is annotated with, as it is written and as a number; the latter is nil where it is not
// a weight.
func WeightOf(u *unstructured.Unstructured) (annotated *string, weight *int32) {
	text, ok := u.GetAnnotations()[iter8v1alpha1.WeightAnnotation]
	if !ok {
		return nil, nil
	}
	parsed, err := strconv.ParseInt(text, 10, 32)
	if err != nil || parsed < 0 || parsed > iter8v1alpha1.MaxWeight {
		return &text, nil
	}
	n := int32(parsed)
	return &text, &n
}

// hasReadyEndpoint follows the API: an endpoint whose condition ready is unknown counts as ready.
func hasReadyEndpoint(slice *unstructured.Unstructured) bool {
	endpoints, _, _ := unstructured.NestedSlice(slice.Object, "endpoints")
	return slices.ContainsFunc(endpoints, func(item any) bool {
		endpoint, ok := item.(map[string]any)
		if !ok {
			return false
		}
		ready, found, err := unstructured.NestedBool(endpoint, "conditions", "ready")
		return err == nil && (!found || ready)
	})
}
