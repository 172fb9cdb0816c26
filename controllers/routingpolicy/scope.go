package routingpolicy

import (
	"context"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/desired"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/observe"
	"iter8.tools/operator/controllers/reason"
	"iter8.tools/operator/controllers/render"
)

// outcome is how a phase ends.
type outcome int

const (
	// advance: the next phase follows.
	advance outcome = iota
	// withdraw: there is nothing to render, and what was applied is to go.
	withdraw
	// conclude: no later phase can make anything of this state; the status is written.
	conclude
	// hold: the state isn't known yet, and an event will tell; nothing is written.
	hold
)

// phase is a step of a reconcile.
type phase func(context.Context, *scope) outcome

// scope carries what the phases of one reconcile find out. Each field is set by the phase of its name.
type scope struct {
	policy *iter8v1alpha1.RoutingPolicy
	// lives reports whether another policy of the namespace exists, by its name and uid.
	lives func(string, types.UID) bool
	// now is when the reconcile began, and due when it is to be repeated though no event tells; zero for never.
	now, due time.Time
	// faulty: a fault that ends by itself has cut the reconcile short.
	faulty bool
	// err is returned to have the reconcile repeated, with growing delays.
	err error

	// unlisted are objects that the policy controls and its inventory lacks.
	unlisted []iter8v1alpha1.AppliedObject

	subject     *iter8v1alpha1.Subject
	observation observe.Observation
	// subjectGone: there was one, for which all that stands was applied.
	subjectGone bool
	// state is what the manifests and the mirrors in them depend on, and known what the status keeps of its variants.
	state desired.State
	known []iter8v1alpha1.KnownVariant
	// stateUnknown says which variants can't be judged, and why, and unknownBecause is the reason.
	stateUnknown, unknownBecause string
	// withheld are mirrors that may not stand whatever the variants' states.
	withheld []mirrors.Withholding
	// trials are those of the mirrors as they were when this began; nil until they are looked at.
	trials *trials
	// accepted says of the objects that stand whether the gateways accepted them when they last reported on them.
	accepted map[apply.Key]bool

	// requested is what is to be rendered.
	requested render.Request
	// manifests are as they were rendered, and gated as they are to be applied; nil where it didn't come to that.
	manifests []*unstructured.Unstructured
	gated     *mirrors.Gated
	// decisions are those by which they were gated.
	decisions mirrors.Decisions
	// untilRules: they are withheld or narrowed by DestinationRules as these stood.
	untilRules bool
	// inputs is the digest of what the applied objects were made of; empty where not all of them are applied.
	inputs string
	// checked is the digest of what the apiserver has accepted with every variant available.
	checked string
	// result is what came of applying; nil where it wasn't tried.
	result *apply.Result
	// objects are those that stand, as they were read of what the cache has.
	objects map[*apply.Existing]*unstructured.Unstructured
	// unwatched are the objects that stand and were read, since their kind can't be watched; unread are the routes of which not even
	// that was possible.
	unwatched []standing
	unread    map[string]bool
	// seenUnknown says since when something isn't known by the reconciles before, and unknown is that for those to come.
	seenUnknown, unknown map[string]time.Time
	// unobserved is since when the variants for which mirrors that stand were applied aren't observed.
	unobserved map[targetKey]*metav1.Time
	// decided are the percentages that mirrors which stand may have, but for those that could not be edited, and edited the routes that
	// were.
	decided map[mirrorKey]float64
	edited  map[string]bool
	// editFailed is why mirrors of a suspended policy could not be taken out; nil where they could.
	editFailed *report
	// withdrawn are the mirrors that were taken out of what stands, beside what was applied.
	withdrawn []mirrors.Mirror
	// mirrors are what the status is to say of them.
	mirrors []iter8v1alpha1.Mirror

	// warnings are those that the status is to have, where warned says that they were looked for; else it keeps those that it has.
	warnings []iter8v1alpha1.Warning
	warned   bool

	// unorphaned: some object that is to stay when the policy is gone would still go with it.
	unorphaned bool
	// suspended says that the policy is suspended, and what that comes to; empty where it isn't.
	suspended string
	// contended says about which objects others fight with the policy; empty while none do.
	contended string
	// interruption is why the policy as a whole can't be brought about; nil where it can.
	interruption *report
	// reports are those of the phases that ran, by the type of their condition.
	reports map[string]report
}

// report is what a phase says in its condition.
type report struct {
	status          metav1.ConditionStatus
	reason, message string
	// byGateway: a gateway wrote the reason, which may have the name of one of iter8v1alpha1.Reasons and is not one of them.
	byGateway bool
	// before: it was reported before the policy was suspended, at a generation.
	before     bool
	generation int64
}

// recovery is how what is reported ends.
func (r report) recovery() iter8v1alpha1.Recovery {
	switch {
	case r.before:
		return iter8v1alpha1.Stalls // until the policy is resumed
	case r.byGateway:
		return iter8v1alpha1.Waits // the gateway's next report is an event
	}
	row, _ := iter8v1alpha1.LookupReason(r.reason)
	return row.Recovery
}

func newScope(policy *iter8v1alpha1.RoutingPolicy, now time.Time) *scope {
	return &scope{policy: policy, now: now, reports: map[string]report{}, objects: map[*apply.Existing]*unstructured.Unstructured{},
		unobserved: map[targetKey]*metav1.Time{}, unknown: map[string]time.Time{},
		decided: map[mirrorKey]float64{}, edited: map[string]bool{}}
}

// interrupt records why the policy as a whole can't be brought about.
func (s *scope) interrupt(name, message string) outcome {
	s.interruption = &report{status: metav1.ConditionFalse, reason: name, message: message}
	return conclude
}

// fail records that the phase of a condition failed, for the reason that the error carries, or else the one that is given; a
// reason that Retries has the reconcile repeated. Charts are the exception: chart.Sources tries these again.
func (s *scope) fail(condition, otherwise string, err error) outcome {
	r := report{status: metav1.ConditionFalse, reason: otherwise, message: err.Error()}
	if name, ok := reason.Of(err); ok {
		r.reason = name
	}
	s.reports[condition] = r
	if r.recovery() == iter8v1alpha1.Retries && condition != iter8v1alpha1.ConditionChartResolved {
		s.err = err
		s.faulty = s.faulty || slices.Contains(passing, r.reason)
	}
	return conclude
}

// succeed records that the phase of a condition is through.
func (s *scope) succeed(condition, name, message string) outcome {
	s.reports[condition] = report{status: metav1.ConditionTrue, reason: name, message: message}
	return advance
}

// retryAfter has the reconcile repeated after a while, or sooner where that was asked for.
func (s *scope) retryAfter(d time.Duration) {
	if at := s.now.Add(d); s.due.IsZero() || at.Before(s.due) {
		s.due = at
	}
}

// end is how the reconcile ends.
func (s *scope) end() (ctrl.Result, error) {
	if s.due.IsZero() {
		return ctrl.Result{}, s.err
	}
	return ctrl.Result{RequeueAfter: s.due.Sub(s.now)}, s.err
}

// deleted reports whether the policy is being deleted.
func (s *scope) deleted() bool { return !s.policy.DeletionTimestamp.IsZero() }

// orphans reports whether what is applied is to stay when the policy is gone.
func (s *scope) orphans() bool {
	return s.policy.Spec.DeletionPolicy == iter8v1alpha1.DeletionOrphan || s.abandons()
}

// abandons reports whether the policy is being deleted without what it owns: kubectl delete --cascade=orphan.
func (s *scope) abandons() bool { return abandons(s.policy) }

func (s *scope) owner() apply.Owner {
	return apply.Owner{Namespace: s.policy.Namespace, Name: s.policy.Name, UID: s.policy.UID,
		ConvertedFrom: s.policy.Annotations[iter8v1alpha1.ConvertedFromAnnotation], Lives: s.lives,
		Deletion: s.policy.Spec.DeletionPolicy}
}

func (s *scope) name() types.NamespacedName {
	return types.NamespacedName{Namespace: s.policy.Namespace, Name: s.policy.Name}
}

// renders reports whether some manifest is of a kind.
func (s *scope) renders(kind schema.GroupVersionKind) bool {
	return slices.ContainsFunc(s.manifests, func(m *unstructured.Unstructured) bool { return m.GroupVersionKind() == kind })
}

// rendersObject reports whether some manifest is of an object, in whatever version.
func (s *scope) rendersObject(key apply.Key) bool {
	return slices.ContainsFunc(s.manifests, func(m *unstructured.Unstructured) bool {
		return m.GroupVersionKind().GroupKind() == key.GroupKind && m.GetName() == key.Name
	})
}
