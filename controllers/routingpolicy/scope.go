package routingpolicy

import (
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/chart"
	"iter8.tools/operator/controllers/observe"
	"iter8.tools/operator/controllers/reason"
	"iter8.tools/operator/controllers/render"
)

// outcome is how a phase ends.
type outcome int

const (
	// proceed: the next phase follows.
	proceed outcome = iota
	// done: nothing more is to be done for this state; the status is written.
	done
	// await: the state isn't known yet, and an event will tell; nothing is written.
	await
)

// scope carries what the phases of one reconcile find out. Each field is set by the phase of its name.
type scope struct {
	policy *iter8v1alpha1.RoutingPolicy

	subject     *iter8v1alpha1.Subject
	observation observe.Observation
	// variants are the states to render.
	variants []render.Variant
	// unknown says which triggering variants can't be judged, and why; unread, that the resources of one have
	// never been read.
	unknown string
	unread  bool

	chart     *chart.Chart
	manifests []*unstructured.Unstructured

	// steps and result are what was planned and what came of it.
	steps  []apply.Step
	result *apply.Result

	// withheld is why not all was applied that was rendered at first; nil where it was.
	withheld *finding

	// stopped is the first thing that keeps the policy from being done as a whole; nil when nothing does.
	stopped *finding
	// found are the conditions of the phases that ran, by type.
	found map[string]finding
	// retry is returned to have the reconcile repeated, with growing delays.
	retry error
	// again asks for a repetition after a while, where no event would tell that something has become possible.
	again time.Duration
}

// finding is what a phase has to say: why it failed, that it didn't, or that it is open whether it will.
type finding struct {
	failed, open    bool
	reason, message string
	// reported: a gateway gave the reason, which may have the name of one of iter8v1alpha1.Reasons and is none of them.
	reported bool
}

// recovery is how what was found ends.
func (f finding) recovery() iter8v1alpha1.Recovery {
	if f.reported {
		return iter8v1alpha1.Waits // the gateway's next report is an event
	}
	r, _ := iter8v1alpha1.LookupReason(f.reason)
	return r.Recovery
}

func newScope(policy *iter8v1alpha1.RoutingPolicy) *scope {
	return &scope{policy: policy, found: map[string]finding{}}
}

// stop records why the policy can't be done as a whole, or isn't meant to be.
func (s *scope) stop(name, message string) outcome {
	f := finding{reason: name, message: message}
	f.failed = f.recovery() != iter8v1alpha1.NoRecovery
	f.open = !f.failed
	s.stopped = &f
	return done
}

// fail records that the phase of a condition failed, for the reason that the error carries, or else the one that is given; a
// reason that Retries has the reconcile repeated. Charts are the exception: chart.Sources tries these again.
func (s *scope) fail(condition, otherwise string, err error) outcome {
	f := finding{failed: true, reason: otherwise, message: err.Error()}
	if name, ok := reason.Of(err); ok {
		f.reason = name
	}
	s.found[condition] = f
	if f.recovery() == iter8v1alpha1.Retries && condition != iter8v1alpha1.ConditionChartResolved {
		s.retry = err
	}
	return done
}

// succeed records that the phase of a condition is through.
func (s *scope) succeed(condition, name, message string) outcome {
	s.found[condition] = finding{reason: name, message: message}
	return proceed
}

func (s *scope) owner() apply.Owner {
	return apply.Owner{Namespace: s.policy.Namespace, Name: s.policy.Name, UID: s.policy.UID,
		ConvertedFrom: s.policy.Annotations[iter8v1alpha1.ConvertedFromAnnotation]}
}

func (s *scope) name() types.NamespacedName {
	return types.NamespacedName{Namespace: s.policy.Namespace, Name: s.policy.Name}
}

// renders tells whether some manifest is of a kind.
func (s *scope) renders(kind schema.GroupVersionKind) bool {
	return slices.ContainsFunc(s.manifests, func(m *unstructured.Unstructured) bool { return m.GroupVersionKind() == kind })
}

// blind tells whether the chart looks at the labels of Pods and these can't be read: then a variant that merely
// can't be judged would look like one without Pods, and what is applied for it would go.
func (s *scope) blind() bool {
	return s.unread && s.chart.Helm.Metadata.Annotations[iter8v1alpha1.ChartUsesAnnotation] == iter8v1alpha1.ChartUsesPodLabels
}

// subjectName gives the Subject that a policy refers to.
func subjectName(policy *iter8v1alpha1.RoutingPolicy) types.NamespacedName {
	namespace := policy.Spec.SubjectRef.Namespace
	if namespace == "" {
		namespace = policy.Namespace
	}
	return types.NamespacedName{Namespace: namespace, Name: policy.Spec.SubjectRef.Name}
}
