package main

import (
	"context"
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// question asks the apiserver for a state of namespace default, and gives the answer in words.
type question = func(context.Context, client.Client) (string, error)

func inDefault(name string) types.NamespacedName {
	return types.NamespacedName{Namespace: metav1.NamespaceDefault, Name: name}
}

// endpoints asks whether a Service has any that is ready.
func endpoints(service string) question {
	return func(ctx context.Context, c client.Client) (string, error) {
		var slicesOfService discoveryv1.EndpointSliceList
		if err := c.List(ctx, &slicesOfService, client.InNamespace(metav1.NamespaceDefault),
			client.MatchingLabels{discoveryv1.LabelServiceName: service}); err != nil {
			return "", err
		}
		for _, slice := range slicesOfService.Items {
			for _, endpoint := range slice.Endpoints {
				if ready := endpoint.Conditions.Ready; ready == nil || *ready {
					return "Service " + service + " has a ready endpoint", nil
				}
			}
		}
		return "Service " + service + " has no ready endpoint", nil
	}
}

// route asks what HTTPRoute httpbin attaches to, who serves its requests, and which filters it has.
func route(ctx context.Context, c client.Client) (string, error) {
	var r gatewayv1.HTTPRoute
	if err := c.Get(ctx, inDefault("httpbin"), &r); apierrors.IsNotFound(err) {
		return "there is no HTTPRoute httpbin", nil
	} else if err != nil {
		return "", err
	}
	var parents, rules []string
	for _, p := range r.Spec.ParentRefs {
		parents = append(parents, fmt.Sprintf("%s %s:%d", text(p.Kind), p.Name, number(p.Port)))
	}
	for _, rule := range r.Spec.Rules {
		var backends []string
		for _, b := range rule.BackendRefs {
			backends = append(backends, backend(b.BackendObjectReference))
		}
		described := []string{"served by " + strings.Join(backends, ", ")}
		for _, f := range rule.Filters {
			filter := "filter " + string(f.Type)
			if f.RequestMirror != nil {
				filter += " to " + backend(f.RequestMirror.BackendRef)
			}
			described = append(described, filter)
		}
		rules = append(rules, strings.Join(described, ", "))
	}
	return strings.Join(parents, ", ") + " is " + strings.Join(rules, "; "), nil
}

func backend(ref gatewayv1.BackendObjectReference) string {
	return fmt.Sprintf("%s:%d", ref.Name, number(ref.Port))
}

func text[T ~string](pointer *T) string {
	if pointer == nil {
		return ""
	}
	return string(*pointer)
}

func number[T ~int32](pointer *T) int32 {
	if pointer == nil {
		return 0
	}
	return int32(*pointer)
}

// subject asks for the state that a Subject reports.
func subject(name string) question {
	return func(ctx context.Context, c client.Client) (string, error) {
		var s iter8v1alpha1.Subject
		if err := c.Get(ctx, inDefault(name), &s); err != nil {
			return "", err
		}
		return fmt.Sprintf("%s, available %s: %s", readiness(s.Generation, s.Status.Conditions), s.Status.Available, s.Status.AvailableVariants), nil
	}
}

// policy asks for the state that a RoutingPolicy reports.
func policy(name string) question {
	return func(ctx context.Context, c client.Client) (string, error) {
		var p iter8v1alpha1.RoutingPolicy
		if err := c.Get(ctx, inDefault(name), &p); err != nil {
			return "", err
		}
		targets := p.Status.MirrorTargets
		if targets == "" {
			targets = "nothing"
		}
		return readiness(p.Generation, p.Status.Conditions) + ", mirrors to " + targets, nil
	}
}

// withheld asks why a RoutingPolicy keeps mirrors out of its routes.
func withheld(policy string) question {
	return func(ctx context.Context, c client.Client) (string, error) {
		var p iter8v1alpha1.RoutingPolicy
		if err := c.Get(ctx, inDefault(policy), &p); err != nil {
			return "", err
		}
		var reasons []string
		for _, m := range p.Status.Mirrors {
			if m.State == iter8v1alpha1.MirrorWithheld {
				reasons = append(reasons, m.Reason+": "+m.Message)
			}
		}
		return strings.Join(reasons, "; "), nil
	}
}

func readiness(generation int64, conditions []metav1.Condition) string {
	ready := meta.FindStatusCondition(conditions, iter8v1alpha1.ConditionReady)
	switch {
	case ready == nil || ready.ObservedGeneration != generation:
		return "not observed yet"
	case ready.Status != metav1.ConditionTrue:
		return fmt.Sprintf("not ready (%s: %s)", ready.Reason, ready.Message)
	default:
		return "Ready"
	}
}

// events asks what the Events of a RoutingPolicy say of its mirrors, oldest first.
func events(policy string) question {
	return func(ctx context.Context, c client.Client) (string, error) {
		var list eventsv1.EventList
		if err := c.List(ctx, &list, client.InNamespace(metav1.NamespaceDefault)); err != nil {
			return "", err
		}
		about := slices.DeleteFunc(list.Items, func(e eventsv1.Event) bool {
			return e.Regarding.Kind != "RoutingPolicy" || e.Regarding.Name != policy
		})
		slices.SortFunc(about, func(a, b eventsv1.Event) int { return a.EventTime.Compare(b.EventTime.Time) })
		notes := make([]string, 0, len(about))
		for _, e := range about {
			if e.Reason == iter8v1alpha1.EventMirrorsChanged {
				what, _, _ := strings.Cut(e.Note, ": ") // and why, which is what was noticed first
				notes = append(notes, what)
			}
		}
		return strings.Join(notes, "; "), nil
	}
}

// leftovers asks what there is that the tutorial may have left.
func leftovers(ctx context.Context, c client.Client) (string, error) {
	var left []string
	for _, list := range []client.ObjectList{
		&appsv1.DeploymentList{}, &corev1.ServiceList{}, &gatewayv1.HTTPRouteList{},
		&iter8v1alpha1.SubjectList{}, &iter8v1alpha1.RoutingPolicyList{},
	} {
		if err := c.List(ctx, list, client.InNamespace(metav1.NamespaceDefault)); err != nil {
			return "", err
		}
		err := meta.EachListItem(list, func(item runtime.Object) error {
			object, err := meta.Accessor(item)
			if err == nil && object.GetName() != "kubernetes" {
				left = append(left, fmt.Sprintf("%T %s", item, object.GetName()))
			}
			return err
		})
		if err != nil {
			return "", err
		}
	}
	if len(left) == 0 {
		return "nothing", nil
	}
	return strings.Join(left, ", "), nil
}
