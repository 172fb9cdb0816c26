// Package gateways knows what the Gateways that routes attach to say they can do.
//
//	policy ──► Gateway ──► GatewayClass ──► status.supportedFeatures
package gateways

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"iter8.tools/operator/controllers/interest"
	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=gateways;gatewayclasses,verbs=get;list;watch

var (
	gatewayAPI    = schema.GroupVersion{Group: gatewayv1.GroupName, Version: "v1"}
	gatewayTarget = watch.Target{GroupVersionKind: gatewayAPI.WithKind("Gateway")}
	classTarget   = watch.Target{GroupVersionKind: gatewayAPI.WithKind("GatewayClass")}
)

// Gateways watches Gateways and GatewayClasses for as long as some policy's routes attach to one.
type Gateways struct {
	gateways, classes *watch.Set

	// followed are the Gateways that policies follow.
	followed *interest.Index[types.NamespacedName]

	mu        sync.RWMutex
	listeners []func(policy types.NamespacedName)
}

// kept is what is kept of a Gateway, its class, and of a GatewayClass, its features.
type kept struct {
	metav1.ObjectMeta
	class string
	// features is empty where the class publishes none.
	features []string
}

// Options of Gateways.
type Options struct {
	Client dynamic.Interface
	Mapper meta.RESTMapper
	// Namespaces whose Gateways may be read; none means all.
	Namespaces []string
}

// New makes Gateways whose watches end with the context.
func New(ctx context.Context, options Options) *Gateways {
	g := &Gateways{followed: interest.New[types.NamespacedName]()}
	g.gateways = watch.New(ctx, watch.Options{
		Client: options.Client, Mapper: options.Mapper, Namespaces: options.Namespaces,
		Transform: keepGateway,
		OnChange: func(_ watch.Target, before, after watch.Object) {
			old, _ := before.(*kept)
			now, _ := after.(*kept)
			if old == nil || now == nil || old.class != now.class {
				g.tell(g.followed.In(nameOf(old, now)))
			}
		},
		OnState: func(target watch.Target) { g.tell(g.gateways.Users(target)) },
	})
	g.classes = watch.New(ctx, watch.Options{
		Client: options.Client, Mapper: options.Mapper, ClusterScoped: true,
		Transform: keepClass,
		OnChange: func(_ watch.Target, before, after watch.Object) {
			old, _ := before.(*kept)
			now, _ := after.(*kept)
			if old == nil || now == nil || !slices.Equal(old.features, now.features) {
				g.tell(g.classes.Users(classTarget))
			}
		},
		OnState: func(target watch.Target) { g.tell(g.classes.Users(target)) },
	})
	return g
}

// Listen has fn called with every policy to whose Gateways something happens that matters. fn must not block.
func (g *Gateways) Listen(fn func(policy types.NamespacedName)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.listeners = append(g.listeners, fn)
}

// Follow says to which Gateways a policy's routes attach from now on; none ends it.
func (g *Gateways) Follow(policy types.NamespacedName, gateways []types.NamespacedName) {
	if len(gateways) == 0 {
		g.followed.Forget(policy)
		g.gateways.Require(policy)
		g.classes.Require(policy)
		return
	}
	g.followed.Set(policy, gateways)
	g.gateways.Require(policy, gatewayTarget)
	g.classes.Require(policy, classTarget)
}

// Pending tells whether Gateways and their classes are being read for the first time, which passes by itself.
func (g *Gateways) Pending() bool {
	_, gateways := g.gateways.Get(gatewayTarget, types.NamespacedName{})
	_, classes := g.classes.Get(classTarget, types.NamespacedName{})
	return gateways.Pending() || classes.Pending()
}

// Lacking gives a sentence for each feature that a route takes and the class of a Gateway of its doesn't list.
// A Gateway or class that isn't there or can't be read, and a class that publishes no features, lack nothing
// that anybody knows of.
func (g *Gateways) Lacking(route *unstructured.Unstructured, namespace string) []string {
	needs := routes.Needs(route)
	if len(needs) == 0 {
		return nil
	}
	var lacking []string
	for _, name := range routes.Gateways(route, namespace) {
		class := g.class(name)
		if class == nil || len(class.features) == 0 {
			continue
		}
		for _, need := range needs {
			if !slices.Contains(class.features, string(need.Feature)) {
				lacking = append(lacking, fmt.Sprintf("%s %s %s, and GatewayClass %s, of Gateway %s, does not list the feature %s",
					route.GetKind(), route.GetName(), need.What, class.Name, name, need.Feature))
			}
		}
	}
	return lacking
}

// class gives that of a Gateway, nil if it isn't known.
func (g *Gateways) class(name types.NamespacedName) *kept {
	found, _ := g.gateways.Get(gatewayTarget, name)
	gateway, ok := found.(*kept)
	if !ok {
		return nil
	}
	found, _ = g.classes.Get(classTarget, types.NamespacedName{Name: gateway.class})
	class, _ := found.(*kept)
	return class
}

func (g *Gateways) tell(policies []types.NamespacedName) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	for _, policy := range policies {
		for _, listener := range g.listeners {
			listener(policy)
		}
	}
}

func keepGateway(_ watch.Target, u *unstructured.Unstructured) watch.Object {
	class, _, _ := unstructured.NestedString(u.Object, "spec", "gatewayClassName")
	return &kept{ObjectMeta: nameAndVersion(u), class: class}
}

// keepClass reads the features, which are objects with a name, and were mere names before the Gateway API's 1.3.
func keepClass(_ watch.Target, u *unstructured.Unstructured) watch.Object {
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "supportedFeatures")
	class := &kept{ObjectMeta: nameAndVersion(u)}
	for _, item := range list {
		switch feature := item.(type) {
		case string:
			class.features = append(class.features, feature)
		case map[string]any:
			if name, ok := feature["name"].(string); ok {
				class.features = append(class.features, name)
			}
		}
	}
	slices.SortFunc(class.features, strings.Compare)
	return class
}

func nameAndVersion(u *unstructured.Unstructured) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: u.GetName(), Namespace: u.GetNamespace(), ResourceVersion: u.GetResourceVersion()}
}

func nameOf(old, now *kept) types.NamespacedName {
	if now == nil {
		now = old
	}
	return types.NamespacedName{Namespace: now.Namespace, Name: now.Name}
}
