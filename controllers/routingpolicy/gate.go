package routingpolicy

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

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
	r.gateByRules(s)
	return advance
}

// decide decides about the mirrors of routes in a state of the variants.
func (r *Reconciler) decide(s *scope, state desired.State, objects []*unstructured.Unstructured) mirrors.Decisions {
	return mirrors.Decide(r.decisionInput(s, state, objects))
}

func (r *Reconciler) decisionInput(s *scope, state desired.State, objects []*unstructured.Unstructured) mirrors.Input {
	input := mirrors.Input{Namespace: s.policy.Namespace}
	if s.subject != nil {
		input = state.Mirrors()
	}
	input.Manifests, input.Lacks = objects, r.lacks(s, objects)
	input.Withheld = append(r.withheldByOthers(s), s.withheld...)
	for _, standing := range r.standing(s) {
		for _, m := range asTheyStand(standing.object, s.policy.Namespace) {
			input.Standing = append(input.Standing, m.Mirror)
		}
	}
	return input
}

// withheldByOthers are the mirrors that others keep out: who alters them on the way to the cluster, and gateways.
func (r *Reconciler) withheldByOthers(s *scope) []mirrors.Withholding {
	return append(s.withheldAsAltered(), r.tried(s).refused...)
}

// withheldAsAltered are the mirrors that others took out or widened: they are tried again after a change of the spec, and with each
// interval.
func (s *scope) withheldAsAltered() []mirrors.Withholding {
	var withheld []mirrors.Withholding
	for _, m := range s.policy.Status.Mirrors {
		if left := s.alteredFor(m); left > 0 {
			s.retryAfter(left + time.Second) // what is kept of the time is whole seconds
			withheld = append(withheld, mirrors.Withholding{Route: m.Route, To: m.To, Reason: m.Reason, Message: alteration})
		}
	}
	return withheld
}

// alteredFor returns for how long a mirror of the status counts as altered yet.
func (s *scope) alteredFor(m iter8v1alpha1.Mirror) time.Duration {
	if m.Reason != iter8v1alpha1.ReasonAltered || m.Since == nil || s.policy.Status.ObservedGeneration != s.policy.Generation {
		return 0
	}
	return m.Since.Add(interval(s.policy)).Sub(s.now)
}

const alteration = "an admission policy or webhook changed it"

// withEveryVariant returns the manifests as they are to be applied once every variant is available.
func (r *Reconciler) withEveryVariant(s *scope) ([]*unstructured.Unstructured, outcome) {
	all := s.state.Available()
	manifests := s.manifests
	if !s.state.Stateless() {
		request, err := all.Request()
		if err == nil {
			manifests, err = r.Renders.Manifests(request)
		}
		switch {
		case errors.Is(err, render.ErrPending):
			return nil, hold
		case err != nil:
			return nil, s.fail(iter8v1alpha1.ConditionRendered, iter8v1alpha1.ReasonRenderFailed, fmt.Errorf("with every variant available: %w", err))
		}
		if violations := r.violations(s, manifests); len(violations) > 0 {
			return nil, s.fail(iter8v1alpha1.ConditionRendered, iter8v1alpha1.ReasonForbiddenManifest,
				fmt.Errorf("with every variant available: %s", strings.Join(violations, "; ")))
		}
	}
	gated, err := mirrors.Gate(manifests, r.decide(s, all, manifests))
	if err != nil {
		return nil, s.fail(iter8v1alpha1.ConditionRendered, iter8v1alpha1.ReasonInvalidMirror, fmt.Errorf("with every variant available: %w", s.state.Explained(err)))
	}
	return gated.Manifests, advance
}

// knowsStanding reports whether the kinds that are rendered can be read as they are, and it is known what stands of them and of those that
// were applied, in whatever version these are looked up.
func (r *Reconciler) knowsStanding(s *scope) bool {
	kinds, _ := apply.Interests(s.manifests, nil)
	kinds = slices.AppendSeq(kinds, maps.Values(r.watchedVersions(s, s.recorded())))
	return !slices.ContainsFunc(kinds, func(kind schema.GroupVersionKind) bool { return !r.Routes.State(kind, s.policy.Namespace).Synced })
}

// checkedDigest stands for what the objects with every mirror in them depend on.
func (s *scope) checkedDigest() string {
	chartDigest := ""
	if s.state.Chart != nil {
		chartDigest = s.state.Chart.Resolved.Digest
	}
	return "sha256:" + digestOf([]any{s.policy.UID, s.policy.Generation, s.subject.UID, s.subject.Generation, chartDigest})
}
