package routingpolicy

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/desired"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/render"
)

// gate leaves in the manifests just the mirrors that may stand.
func (r *Reconciler) gate(_ context.Context, s *scope) outcome {
	s.decisions = r.decide(s, s.state, s.manifests)
	gated, err := mirrors.Gate(s.manifests, s.decisions)
	if err != nil {
		return s.fail(iter8v1alpha1.ConditionRendered, iter8v1alpha1.ReasonInvalidMirror, s.state.Explained(err))
	}
	s.gated = &gated
	return advance
}

// decide decides about the mirrors of routes in a state of the variants.
func (r *Reconciler) decide(s *scope, state desired.State, objects []*unstructured.Unstructured) mirrors.Decisions {
	input := mirrors.Input{Namespace: s.policy.Namespace}
	if s.subject != nil {
		input = state.Mirrors()
	}
	input.Manifests, input.Lacks = objects, r.lacks(s, objects)
	input.Withheld = append(s.withheldAsAltered(), s.withheld...)
	for _, standing := range r.standing(s) {
		for _, m := range asTheyStand(standing.object, s.policy.Namespace) {
			input.Standing = append(input.Standing, m.Mirror)
		}
	}
	return mirrors.Decide(input)
}

// withheldAsAltered are the mirrors that others took out or widened: they are tried again after a change of the spec, and with each
// interval.
func (s *scope) withheldAsAltered() []mirrors.Withholding {
	if s.policy.Status.ObservedGeneration != s.policy.Generation {
		return nil
	}
	var withheld []mirrors.Withholding
	for _, m := range s.policy.Status.Mirrors {
		if m.Reason != iter8v1alpha1.ReasonAltered || m.Since == nil {
			continue
		}
		if left := m.Since.Add(interval(s.policy)).Sub(s.now); left > 0 {
			s.retryAfter(left + time.Second) // what is kept of the time is whole seconds
			withheld = append(withheld, mirrors.Withholding{Route: m.Route, To: m.To, Reason: m.Reason, Message: alteration})
		}
	}
	return withheld
}

const alteration = "an admission policy or webhook changed it"

// checkTimeout is how long a check may take. One that takes longer is made again.
const checkTimeout = 10 * time.Second

// check has the apiserver check the objects with all the mirrors that they have once every variant is available, so that what it
// refuses is refused when the spec comes and not when a variant does. What it has accepted once is not checked again. What Iter8's
// ConfigMaps render is not checked at all: it goes on in each state in which it did.
func (r *Reconciler) check(ctx context.Context, s *scope) outcome {
	digest := s.checkedDigest()
	if s.policy.Status.Checked == digest || s.owner().ConvertedFrom != "" {
		s.checked = digest
		return advance
	}
	all := s.state.Available()
	manifests := s.manifests
	if !s.state.Stateless() {
		request, err := all.Request()
		if err == nil {
			manifests, err = r.Renders.Manifests(request)
		}
		switch {
		case errors.Is(err, render.ErrPending):
			return hold
		case err != nil:
			return s.fail(iter8v1alpha1.ConditionRendered, iter8v1alpha1.ReasonRenderFailed, fmt.Errorf("with every variant available: %w", err))
		}
		if violations := r.violations(s, manifests); len(violations) > 0 {
			return s.fail(iter8v1alpha1.ConditionRendered, iter8v1alpha1.ReasonForbiddenManifest,
				fmt.Errorf("with every variant available: %s", strings.Join(violations, "; ")))
		}
	}
	gated, err := mirrors.Gate(manifests, r.decide(s, all, manifests))
	if err != nil {
		return s.fail(iter8v1alpha1.ConditionRendered, iter8v1alpha1.ReasonInvalidMirror, fmt.Errorf("with every variant available: %w", s.state.Explained(err)))
	}
	account, err := r.Accounts.For(s.policy.Namespace, s.policy.Spec.ServiceAccountName)
	if err != nil {
		return s.fail(iter8v1alpha1.ConditionApplied, iter8v1alpha1.ReasonApplyFailed, err)
	}
	// What may not stand doesn't wait for the answers.
	withdraw := sync.OnceFunc(func() { r.withdraw(ctx, s) })
	bounded, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	request := apply.Request{Owner: s.owner(), Manifests: gated.Manifests, Inventory: s.recorded(), Account: account}
	switch checked, refused := r.Executor.Check(bounded, request, s.gated.Manifests, withdraw); {
	case refused != nil:
		s.retryAfter(interval(s.policy))
		return s.fail(iter8v1alpha1.ConditionApplied, refused.Reason, errors.New(refused.Message))
	case checked:
		s.checked = digest
	default:
		s.retryAfter(interval(s.policy))
	}
	return advance
}

// checkedDigest stands for what the objects with every mirror in them depend on.
func (s *scope) checkedDigest() string {
	chartDigest := ""
	if s.state.Chart != nil {
		chartDigest = s.state.Chart.Resolved.Digest
	}
	return "sha256:" + digestOf([]any{s.policy.UID, s.policy.Generation, s.subject.UID, s.subject.Generation, chartDigest})
}
