package main

import (
	"context"
	"encoding/json"
	"fmt"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/test/env"
)

const (
	firstVariant  = "-v1"
	secondVariant = "-v2"
	// writersAtOnce fill the cluster, and flip variants in a burst.
	writersAtOnce = 16
)

// inputs are what a team would have: for each app two variants, a Service, its EndpointSlice and a Deployment
// each, and a Subject with a policy that mirrors from the first to the second. The floor, which looks at
// nothing else, has a second variant's Deployment for each.
type inputs struct {
	client    client.Client
	namespace string
	size      int
	// routemaps of Iter8 stand in place of Subjects and policies.
	routemaps bool
}

// appName is the name of the app at a position: of the Subject, and of its route.
func appName(position int) string { return fmt.Sprintf("app-%04d", position) }

// create writes everything; the second variants aren't available.
func (in inputs) create(ctx context.Context) error {
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: in.namespace}}
	if err := in.client.Create(ctx, namespace); err != nil {
		return err
	}
	return in.each(ctx, func(ctx context.Context, i int) error {
		first, second := appName(i)+firstVariant, appName(i)+secondVariant
		floor := env.Deployment(in.namespace, floorPrefix+second, map[string]string{"app": floorPrefix + second})
		floor.Labels = map[string]string{floorLabel: "true"}
		objects := []client.Object{floor}
		objects = append(objects, in.workload(first)...)
		objects = append(objects, in.workload(second)...)
		for _, object := range append(objects, in.policy(appName(i))...) {
			if err := in.client.Create(ctx, object); err != nil {
				return err
			}
		}
		for deployment, available := range map[string]bool{first: true, second: false, floor.Name: false} {
			if err := in.setAvailable(ctx, deployment, available); err != nil {
				return err
			}
		}
		return nil
	})
}

// each calls fn for every position, several at once.
func (in inputs) each(ctx context.Context, fn func(ctx context.Context, i int) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(writersAtOnce)
	for i := range in.size {
		group.Go(func() error { return fn(ctx, i) })
	}
	return group.Wait()
}

func (in inputs) workload(name string) []client.Object {
	selector := map[string]string{"app": name}
	service := env.Service(in.namespace, name, selector)
	service.Spec.ClusterIP = corev1.ClusterIPNone // a control plane for tests has only a few addresses to give
	return []client.Object{service, endpointSlice(in.namespace, name), env.Deployment(in.namespace, name, selector)}
}

// endpointSlice is what the controller of EndpointSlices makes for a Service: it copies the labels.
func endpointSlice(namespace, service string) *discoveryv1.EndpointSlice {
	ready, port, portName := true, int32(80), "http"
	return &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: service + "-x7k2p",
			Labels: map[string]string{iter8v1alpha1.DetectLabel: "true", discoveryv1.LabelServiceName: service},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{"10.244.0.2"}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &portName, Port: &port}},
	}
}

// setAvailable writes a Deployment's status as its controller would. It is a single request.
func (in inputs) setAvailable(ctx context.Context, deployment string, available bool) error {
	condition := appsv1.DeploymentCondition{
		Type: appsv1.DeploymentAvailable, Status: corev1.ConditionFalse,
		Reason: "MinimumReplicasUnavailable", Message: "Deployment does not have minimum availability.",
		LastUpdateTime: metav1.Now(), LastTransitionTime: metav1.Now(),
	}
	replicas := int32(0)
	if available {
		condition.Status, condition.Reason, condition.Message = corev1.ConditionTrue, "MinimumReplicasAvailable", "Deployment has minimum availability."
		replicas = 1
	}
	patch, err := json.Marshal(map[string]any{"status": map[string]any{
		"observedGeneration": 1, "replicas": 1, "availableReplicas": replicas, "readyReplicas": replicas,
		"conditions": []appsv1.DeploymentCondition{condition},
	}})
	if err != nil {
		return err
	}
	object := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: deployment}}
	return in.client.Status().Patch(ctx, object, client.RawPatch(types.MergePatchType, patch))
}

func (in inputs) policy(subject string) []client.Object {
	if in.routemaps {
		return []client.Object{in.routemap(subject)}
	}
	variant := func(name, workload string) iter8v1alpha1.Variant {
		return iter8v1alpha1.Variant{Name: name, Resources: []iter8v1alpha1.ResourceReference{
			{APIVersion: "v1", Kind: "Service", Name: workload},
			{APIVersion: "apps/v1", Kind: "Deployment", Name: workload},
		}}
	}
	values, err := json.Marshal(mirrorValues(subject, subject+firstVariant, subject+secondVariant))
	if err != nil {
		return nil // of strings and numbers only
	}
	return []client.Object{
		&iter8v1alpha1.Subject{
			ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: subject},
			Spec:       iter8v1alpha1.SubjectSpec{Variants: []iter8v1alpha1.Variant{variant("v1", subject+firstVariant), variant("v2", subject+secondVariant)}},
		},
		&iter8v1alpha1.RoutingPolicy{
			ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: subject + "-route"},
			Spec: iter8v1alpha1.RoutingPolicySpec{
				SubjectRef: iter8v1alpha1.SubjectReference{Name: subject},
				Trigger:    &iter8v1alpha1.Trigger{Variants: []string{"v2"}},
				Chart:      &iter8v1alpha1.ChartReference{Name: "mirror"},
				Values:     &apiextensionsv1.JSON{Raw: values},
			},
		},
	}
}

// mirrorValues are the spec of a route, and the values of the mirror chart, with mirrors from one backend to
// others.
func mirrorValues(parent, from string, to ...string) map[string]any {
	rule := map[string]any{"backendRefs": []any{map[string]any{"name": from, "port": 80}}}
	var filters []any
	for _, name := range to {
		filters = append(filters, map[string]any{"type": gatewayv1.HTTPRouteFilterRequestMirror, "requestMirror": map[string]any{
			"backendRef": map[string]any{"name": name, "port": 80}}})
	}
	if len(filters) > 0 {
		rule["filters"] = filters
	}
	return map[string]any{
		"parentRefs": []any{map[string]any{"group": "", "kind": "Service", "name": parent, "port": 8000}},
		"rules":      []any{rule},
	}
}

// deleteRoutes takes a contender's routes away.
func (in inputs) deleteRoutes(ctx context.Context, of contender) error {
	return in.client.DeleteAllOf(ctx, &gatewayv1.HTTPRoute{}, client.InNamespace(in.namespace), client.MatchingLabels{iter8v1alpha1.ManagedByLabel: of.manager()})
}

// delete takes everything away again, the routes too; nobody collects garbage here.
func (in inputs) delete(ctx context.Context) error {
	for _, object := range []client.Object{
		&corev1.ConfigMap{}, &iter8v1alpha1.RoutingPolicy{}, &iter8v1alpha1.Subject{}, &gatewayv1.HTTPRoute{},
		&appsv1.Deployment{}, &discoveryv1.EndpointSlice{},
	} {
		if err := in.client.DeleteAllOf(ctx, object, client.InNamespace(in.namespace)); err != nil {
			return err
		}
	}
	return in.each(ctx, func(ctx context.Context, i int) error { // of Services the apiserver deletes no collections
		for _, variant := range []string{firstVariant, secondVariant} {
			service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: in.namespace, Name: appName(i) + variant}}
			if err := in.client.Delete(ctx, service); err != nil {
				return err
			}
		}
		return nil
	})
}
