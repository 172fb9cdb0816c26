package routingpolicy

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/apply"
	"iter8.tools/operator/controllers/mirrors"
	"iter8.tools/operator/controllers/routes"
)

// unchanged ends the reconcile where what stands is what would be applied: it was made of the same inputs, by the same operator, and
// nothing has touched it since. Then nothing is rendered: after a restart no more than at any other time.
//
//	inputs of the render ─┐
//	inputs of the gate ───┤
//	the operator itself ──┼─► digests == status.inputs ┐
//	what gateways lack ───┤                            ├─► unchanged
//	mirrors and inventory ┘                            │
//	uid, generation, labels and annotations of each object == status.applied ┘
func (r *Reconciler) unchanged(ctx context.Context, s *scope) outcome {
	own := r.inputsDigest(s)
	inputs, ok := unsealed(s.policy.Status)
	if !ok || !strings.HasPrefix(inputs, own+"+") || s.policy.Status.Checked != s.checkedDigest() {
		return advance
	}
	for _, m := range s.policy.Status.Mirrors {
		if m.Reason != iter8v1alpha1.ReasonAltered {
			continue
		}
		if s.alteredFor(m) <= 0 || isPutBack(m) && r.untilPutOut(s, m) <= 0 {
			return advance // to be tried again, though nothing has changed
		}
	}
	// With these inputs what is rendered is what stands: following that is following the same as before.
	if r.followRoutes(ctx, s) == hold {
		return hold
	}
	standing := r.standing(s)
	if len(standing) != len(s.policy.Status.Applied) || !slices.EqualFunc(standing, s.policy.Status.Applied, intact) {
		return advance
	}
	for _, kind := range r.kinds(s, s.policy.Status.Applied) { // in the version that was applied, and that in which it is looked up
		if state := r.Routes.State(kind, s.policy.Namespace); !state.Synced || state.Err != nil {
			return advance
		}
	}
	objects := objectsOf(standing)
	if r.followGatewaysOf(s, objects, nil) == hold {
		return hold
	}
	if inputs != own+"+"+r.gatewaysDigest(s, objects) {
		return advance
	}
	result := apply.Result{Inventory: s.policy.Status.Applied, Applied: map[apply.Key]bool{}}
	for _, entry := range result.Inventory {
		result.Applied[apply.KeyOf(entry)] = true
	}
	s.result, s.inputs, s.checked = &result, inputs, s.policy.Status.Checked
	s.mirrors = confirmed(s.policy.Status.Mirrors, standing, s.now)
	for i := range s.mirrors {
		r.tried(s).record(&s.mirrors[i], s.policy.Status.Mirrors)
	}
	r.countPutBacks(s)
	s.noteAcceptance(standing)
	s.reportRendered(len(result.Inventory))
	s.reportApplied(len(result.Inventory))
	r.accept(s)
	return conclude
}

// intact reports whether an object is as it was applied.
func intact(o standing, entry iter8v1alpha1.AppliedObject) bool {
	e := o.existing
	return !e.Terminating && e.Claimed() && e.UID == entry.UID && e.Generation != 0 && e.Generation == entry.Generation &&
		entry.Metadata != "" && e.MetadataDigest() == entry.Metadata
}

// confirmed returns mirrors with the state that the gateways' reports on their routes give them now.
func confirmed(known []iter8v1alpha1.Mirror, standing []standing, now time.Time) []iter8v1alpha1.Mirror {
	states := map[string]iter8v1alpha1.MirrorState{}
	for _, o := range standing {
		states[routes.Name(o.kind.Kind, o.name.Name)] = o.state()
	}
	all := slices.Clone(known)
	for i, m := range all {
		if state, ok := states[m.Route]; ok && m.State != iter8v1alpha1.MirrorWithheld && m.State != state {
			since := metav1.NewTime(now).Rfc3339Copy()
			all[i].State, all[i].Since = state, &since
		}
	}
	return all
}

// inputsDigest stands for all that the applied objects depend on but their gateways; it is empty where that can't be encoded.
func (r *Reconciler) inputsDigest(s *scope) string {
	decided := s.state.Mirrors()
	decided.Withheld = append(r.withheldByOthers(s), s.withheld...)
	return digestOf(struct {
		Operator, Render string
		Mirrors          mirrors.Input
		Kinds            []schema.GroupKind
	}{r.Build, hex.EncodeToString(s.requested.Key[:]), decided, r.Kinds})
}

// sealed returns the digest of what a status was made from together with that of what it lists, by which a status is known that another
// has written.
func sealed(inputs string, status *iter8v1alpha1.RoutingPolicyStatus) string {
	if inputs == "" {
		return ""
	}
	return inputs + "+" + listed(status)
}

// unsealed returns the digest of what a status was made from, and reports whether it has one, and lists what it did then.
func unsealed(status iter8v1alpha1.RoutingPolicyStatus) (inputs string, ok bool) {
	i := strings.LastIndexByte(status.Inputs, '+')
	if i < 0 || status.Inputs[i+1:] != listed(&status) {
		return "", false
	}
	return status.Inputs[:i], true
}

// listed stands for what a status lists, which nothing is made anew of while its inputs are the same.
func listed(status *iter8v1alpha1.RoutingPolicyStatus) string {
	return digestOf([]any{status.Mirrors, status.Applied, status.Warnings})
}

// gatewaysDigest stands for what the gateways of objects, as they are applied or stand, lack.
func (r *Reconciler) gatewaysDigest(s *scope, objects []*unstructured.Unstructured) string {
	lacks := r.lacks(s, objects)
	slices.SortFunc(lacks, func(a, b mirrors.Lack) int {
		return cmp.Or(cmp.Compare(a.Route, b.Route), cmp.Compare(a.Feature, b.Feature), cmp.Compare(a.Message, b.Message))
	})
	return digestOf(lacks)
}

func digestOf(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// reportRendered and reportApplied are the conditions of what went well.
func (s *scope) reportRendered(objects int) outcome {
	return s.succeed(iter8v1alpha1.ConditionRendered, iter8v1alpha1.ReasonSucceeded, count(objects, "object")+" rendered")
}

func (s *scope) reportApplied(objects int) outcome {
	return s.succeed(iter8v1alpha1.ConditionApplied, iter8v1alpha1.ReasonSucceeded, count(objects, "object")+" applied")
}
