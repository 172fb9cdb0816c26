// Package gateways knows what the Gateways that routes attach to say they can do.
//
//	policy ──► Gateway ──► GatewayClass ──► status.supportedFeatures
package gateways

import (
	"context"
	"fmt"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=gateways;gatewayclasses,verbs=get;list;watch

var (
	gatewayAPI    = schema.GroupVersion{Group: gatewayv1.GroupName, Version: "v1"}
	gatewayTarget = watch.Target{GroupVersionKind: gatewayAPI.WithKind("Gateway")}
	classTarget   = watch.Target{GroupVersionKind: gatewayAPI.WithKind("GatewayClass"), ClusterScoped: true}
)

// Gateways watches Gateways and GatewayClasses for as long as some policy's routes attach to one.
type Gateways struct {
	objects *watch.Set[*summary]
}

// summary is what is kept of a Gateway, its class, and of a GatewayClass, its features.
type summary struct {
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
	// Notify is called with every policy to whose Gateways something happens that matters. It must not block.
	Notify func(policy types.NamespacedName)
}

// New returns Gateways whose watches end with the context.
func New(ctx context.Context, options Options) *Gateways {
	return &Gateways{objects: watch.New(ctx, watch.Options[*summary]{
		Client: options.Client, Mapper: options.Mapper, Namespaces: options.Namespaces,
		Transform: summarize,
		Changed: func(_ watch.Target, before, after *summary) bool {
			return before == nil || after == nil || before.class != after.class || !slices.Equal(before.features, after.features)
		},
		Notify: options.Notify,
	})}
}

// Follow sets to which Gateways a policy's routes attach from now on; none ends it. The policy is notified of a change of
// one, and follows it again then, since that may have brought another class.
func (g *Gateways) Follow(policy types.NamespacedName, gateways []types.NamespacedName) {
	if len(gateways) == 0 {
		g.objects.Follow(policy, nil, nil)
		return
	}
	names := make([]watch.Name, 0, 2*len(gateways))
	for _, gateway := range gateways {
		names = append(names, watch.Name{Target: gatewayTarget, Object: gateway})
		if known, _ := g.objects.Get(names[len(names)-1]); known != nil {
			names = append(names, className(known.class))
		}
	}
	g.objects.Follow(policy, []watch.Target{gatewayTarget, classTarget}, names)
}

// Pending reports whether some of the Gateways or their classes are being read for the first time, which passes by itself.
func (g *Gateways) Pending(gateways []types.NamespacedName) bool {
	return g.objects.State(classTarget, "").Pending() || slices.ContainsFunc(gateways, func(gateway types.NamespacedName) bool {
		return g.objects.State(gatewayTarget, gateway.Namespace).Pending()
	})
}

// Lacking returns a sentence for each feature that a route takes and the class of a Gateway of its doesn't list.
// A Gateway or class that isn't there or can't be read, and a class that publishes no features, lack nothing
// as far as is known.
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

// class returns that of a Gateway, nil if it isn't known.
func (g *Gateways) class(name types.NamespacedName) *summary {
	gateway, _ := g.objects.Get(watch.Name{Target: gatewayTarget, Object: name})
	if gateway == nil {
		return nil
	}
	class, _ := g.objects.Get(className(gateway.class))
	return class
}

func className(name string) watch.Name {
	return watch.Name{Target: classTarget, Object: types.NamespacedName{Name: name}}
}

// summarize reads the features of a class, which are objects with a name, and were mere names before the Gateway API's 1.3.
func summarize(target watch.Target, u *unstructured.Unstructured) *summary {
	summarized := &summary{ObjectMeta: metav1.ObjectMeta{Name: u.GetName(), Namespace: u.GetNamespace(), ResourceVersion: u.GetResourceVersion()}}
	if target == gatewayTarget {
		summarized.class, _, _ = unstructured.NestedString(u.Object, "spec", "gatewayClassName")
		return summarized
	}
	list, _, _ := unstructured.NestedSlice(u.Object, "status", "supportedFeatures")
	for _, item := range list {
		switch feature := item.(type) {
		case string:
			summarized.features = append(summarized.features, feature)
		case map[string]any:
			if name, ok := feature["name"].(string); ok {
				summarized.features = append(summarized.features, name)
			}
		}
	}
	slices.Sort(summarized.features)
	return summarized
}
