package main

import (
	"context"
	"fmt"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// ofIstio reads reviews, of one of Istio's kinds; nil while there is none.
func ofIstio(ctx context.Context, c client.Client, kind string) (*unstructured.Unstructured, error) {
	u := &unstructured.Unstructured{}
	u.SetAPIVersion("networking.istio.io/v1")
	u.SetKind(kind)
	if err := c.Get(ctx, inDefault("reviews"), u); apierrors.IsNotFound(err) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return u, nil
}

// virtualService asks which requests VirtualService reviews sends where, and mirrors where.
func virtualService(ctx context.Context, c client.Client) (string, error) {
	u, err := ofIstio(ctx, c, "VirtualService")
	if err != nil || u == nil {
		return "there is no VirtualService reviews", err
	}
	var described []string
	for _, route := range entries(u.Object, "spec", "http") {
		requests := "else"
		for _, match := range entries(route, "match") {
			requests = "end-user " + field(match, "headers", "end-user", "exact")
		}
		if to := entries(route, "route"); len(to) == 1 {
			requests += ": " + field(to[0], "destination", "host") + " subset " + field(to[0], "destination", "subset")
		}
		if mirror := field(route, "mirror", "host"); mirror != "" {
			share := "all"
			if percent, found, _ := unstructured.NestedFieldNoCopy(route, "mirrorPercentage", "value"); found && fmt.Sprint(percent) != "100" {
				share = fmt.Sprintf("%v %%", percent)
			}
			requests += ", " + share + " mirrored to " + mirror
		}
		described = append(described, requests)
	}
	return strings.Join(described, "; "), nil
}

// destinationRule asks which subsets DestinationRule reviews has.
func destinationRule(ctx context.Context, c client.Client) (string, error) {
	u, err := ofIstio(ctx, c, "DestinationRule")
	if err != nil || u == nil {
		return "there is no DestinationRule reviews", err
	}
	var subsets []string
	for _, subset := range entries(u.Object, "spec", "subsets") {
		subsets = append(subsets, field(subset, "name"))
	}
	return field(u.Object, "spec", "host") + " has the subsets " + strings.Join(subsets, ", "), nil
}

// entries gives the objects in a list; none where there is no such list.
func entries(object map[string]any, path ...string) []map[string]any {
	list, _, _ := unstructured.NestedSlice(object, path...)
	objects := make([]map[string]any, 0, len(list))
	for _, item := range list {
		if o, ok := item.(map[string]any); ok {
			objects = append(objects, o)
		}
	}
	return objects
}

// field gives a text; none where there is no such field.
func field(object map[string]any, path ...string) string {
	value, _, _ := unstructured.NestedString(object, path...)
	return value
}
