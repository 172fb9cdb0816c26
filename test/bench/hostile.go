package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

const (
	hostileNamespace = "bench-hostile"
	// hostilePace is how often somebody comes with a new bomb: the same one isn't rendered again.
	hostilePace = 250 * time.Millisecond
)

// bombs are templates that take all the time or memory that they can get. %d is what makes each another one.
var bombs = []string{
	`{{/* %d */}}{{ range until 2000000000 }}{{ end }}`,
	`{{/* %d */}}{{ range until 100000 }}{{ range until 100000 }}{{ end }}{{ end }}`,
	`{{/* %d */}}{{ repeat 2000000000 "x" }}`,
	`{{/* %d */}}{{ $s := "x" }}{{ range until 40 }}{{ $s = print $s $s }}{{ end }}{{ $s }}`,
}

// hostile is somebody who has policies with bombs, and changes them all the time.
type hostile struct {
	client   client.Client
	policies []*iter8v1alpha1.RoutingPolicy
	nonce    int
}

func newHostile(ctx context.Context, c client.Client) (*hostile, error) {
	h := &hostile{client: c}
	objects := []client.Object{
		&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: hostileNamespace}},
		&iter8v1alpha1.Subject{ObjectMeta: metav1.ObjectMeta{Namespace: hostileNamespace, Name: "app"}, Spec: iter8v1alpha1.SubjectSpec{Variants: []iter8v1alpha1.Variant{{Name: "v1"}}}},
	}
	for i, bomb := range bombs {
		policy := &iter8v1alpha1.RoutingPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: hostileNamespace, Name: fmt.Sprintf("bomb-%d", i)},
			Spec: iter8v1alpha1.RoutingPolicySpec{
				SubjectRef: iter8v1alpha1.SubjectReference{Name: "app"},
				Templates:  []iter8v1alpha1.InlineTemplate{{Name: "bomb", Template: fmt.Sprintf(bomb, 0)}},
			},
		}
		h.policies = append(h.policies, policy)
		objects = append(objects, policy)
	}
	for _, object := range objects {
		if err := c.Create(ctx, object); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// attack changes one policy after the other until the context ends.
func (h *hostile) attack(ctx context.Context) error {
	for {
		for i, policy := range h.policies {
			h.nonce++
			before := policy.DeepCopy()
			policy.Spec.Templates[0].Template = fmt.Sprintf(bombs[i], h.nonce)
			if err := h.client.Patch(ctx, policy, client.MergeFrom(before)); err != nil && ctx.Err() == nil {
				return err
			}
			if err := pause(ctx, hostilePace); err != nil {
				return nil //nolint:nilerr // it is told to stop
			}
		}
	}
}

func (h *hostile) delete(ctx context.Context) error {
	return errors.Join(
		h.client.DeleteAllOf(ctx, &iter8v1alpha1.RoutingPolicy{}, client.InNamespace(hostileNamespace)),
		h.client.DeleteAllOf(ctx, &iter8v1alpha1.Subject{}, client.InNamespace(hostileNamespace)))
}

// measureUnderAttack flips by turns, as measureFlips does, while bombs are rendered beside, and gives the operator's
// memory at its peak as well.
func (b *bench) measureUnderAttack(ctx context.Context, operator int, r *results) error {
	h, err := newHostile(ctx, b.cluster.Client())
	if err != nil {
		return err
	}
	before, err := memoryOf(operator)
	if err != nil {
		return err
	}
	attackCtx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- h.attack(attackCtx) }()
	under := &results{size: b.size}
	err = b.flipByTurns(ctx, b.flips, under)
	cancel()
	err = errors.Join(err, <-ended)
	if err != nil {
		return err
	}
	after, err := memoryOf(operator) // fails if it isn't that process any more
	if err != nil {
		return err
	}
	under.operator.started, under.operator.worked = before, after
	r.underAttack = under
	r.bombs = h.nonce
	return h.delete(ctx)
}
