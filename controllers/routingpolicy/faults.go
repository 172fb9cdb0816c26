package routingpolicy

import (
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
)

const (
	// faultRetry is how soon a policy that a fault holds up is tried again at the latest, spread over half as long again: no event tells of
	// the fault's end. The growing delays of the queue are for what lasts, such as rights that are missing.
	faultRetry = 10 * time.Second
	// quickTry is how long a try may take of which that is true: one that takes longer keeps others waiting each time.
	quickTry = 2 * time.Second
)

// passing are the reasons of faults that end by themselves.
var passing = []string{iter8v1alpha1.ReasonDiscoveryFailed, iter8v1alpha1.ReasonRenderUnavailable, iter8v1alpha1.ReasonApplyFailed}

// repeat has a policy reconciled again though no event tells: within seconds where a fault has cut the reconcile short, else once in a
// while, which costs no call where all is as it should be.
func (r *Reconciler) repeat(req ctrl.Request, s *scope) {
	switch {
	case r.enqueueAfter == nil:
	case s.faulty && r.clock().Sub(s.now) < quickTry:
		r.enqueueAfter(req, wait.Jitter(faultRetry, 0.5))
	case r.Resync > 0:
		r.enqueueAfter(req, wait.Jitter(r.Resync/2, 2))
	}
}

// isPassing reports whether a failure to apply or delete may end by itself.
func isPassing(f apply.Failure) bool {
	return slices.Contains(passing, f.Reason) || f.Reason == iter8v1alpha1.ReasonPruneFailed && f.Err != nil && !apierrors.IsForbidden(f.Err)
}
