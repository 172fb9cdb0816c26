// Package gateways knows what the Gateways that routes attach to lack for mirrors: by the features that their classes say they
// have, and by what is known of the implementations that the classes name.
//
//	         ┌─► ListenerSet ─┐
//	policy ──┤                ├──► Gateway ──► GatewayClass ──┬─► status.supportedFeatures
//	         └────────────────┘                               └─► spec.controllerName
package gateways

import (
	"context"
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/dynamic"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"iter8.tools/operator/controllers/routes"
	"iter8.tools/operator/controllers/watch"
)

// +kubebuilder:rbac:groups=gateway.networking.k8s.io,resources=gateways;gatewayclasses;listenersets,verbs=get;list;watch

var (
	gatewayAPI    = schema.GroupVersion{Group: gatewayv1.GroupName, Version: "v1"}
	setTarget     = watch.Target{GroupVersionKind: gatewayAPI.WithKind(routes.ListenerSetKind)}
	gatewayTarget = watch.Target{GroupVersionKind: gatewayAPI.WithKind(routes.GatewayKind)}
	classTarget   = watch.Target{GroupVersionKind: gatewayAPI.WithKind("GatewayClass"), ClusterScoped: true}
)

// Gateways watches Gateways and GatewayClasses for as long as some policy's routes attach to one, and ListenerSets for as long
// as some attach to one of these.
type Gateways struct {
	objects *watch.Set[*summary]
}

// Options of Gateways.
type Options struct {
	Client dynamic.Interface
	Mapper meta.RESTMapper
	// Namespaces whose Gateways may be read; none means all.
	Namespaces []string
	// Notify is called with every policy to whose ListenerSets, Gateways or classes something happens that matters. It must not block.
	Notify func(policy types.NamespacedName)
}

// New returns Gateways whose watches end with the context.
func New(ctx context.Context, options Options) *Gateways {
	return &Gateways{objects: watch.New(ctx, watch.Options[*summary]{
		Client: options.Client, Mapper: options.Mapper, Namespaces: options.Namespaces,
		Transform: summarize,
		Changed: func(_ watch.Target, before, after *summary) bool {
			return before == nil || after == nil || before.differs(after)
		},
		Notify: options.Notify,
	})}
}

// Follow sets to what a policy's routes attach from now on; nothing ends it. The policy is notified of a change of that, and of
// the Gateways and classes that it leads to, and follows again then, since it may lead to others.
func (g *Gateways) Follow(policy types.NamespacedName, attachments []routes.Attachment) {
	if len(attachments) == 0 {
		g.objects.Follow(policy, nil, nil)
		return
	}
	targets := []watch.Target{gatewayTarget, classTarget}
	if slices.ContainsFunc(attachments, isListenerSet) {
		targets = append(targets, setTarget)
	}
	for names := g.names(attachments); ; {
		g.objects.Follow(policy, targets, names)
		// What came to lead elsewhere before it was followed has notified no policy.
		current := g.names(attachments)
		if slices.Equal(names, current) {
			return
		}
		names = current
	}
}

// Pending reports whether something that routes attach to, or a Gateway or class that it leads to, is being read for the first
// time, which passes by itself.
func (g *Gateways) Pending(attachments []routes.Attachment) bool {
	for _, attachment := range attachments {
		if isListenerSet(attachment) && g.objects.State(setTarget, attachment.Namespace).Pending() {
			return true
		}
	}
	for _, name := range g.gateways(attachments) {
		gateway, state := g.objects.Get(gatewayName(name))
		if state.Pending() || gateway != nil && g.objects.State(classTarget, "").Pending() {
			return true
		}
	}
	return false
}

// names returns what is known to be between attachments and what their classes say.
func (g *Gateways) names(attachments []routes.Attachment) []watch.Name {
	var names []watch.Name
	for _, attachment := range attachments {
		if isListenerSet(attachment) {
			names = append(names, setName(attachment))
		}
	}
	for _, name := range g.gateways(attachments) {
		names = append(names, gatewayName(name))
		if gateway, _ := g.objects.Get(gatewayName(name)); gateway != nil {
			names = append(names, className(gateway.class))
		}
	}
	return names
}

// gateways returns the Gateways that attachments are known to lead to, each once.
func (g *Gateways) gateways(attachments []routes.Attachment) []types.NamespacedName {
	var gateways []types.NamespacedName
	for _, attachment := range attachments {
		name := attachment.NamespacedName
		if isListenerSet(attachment) {
			set, _ := g.objects.Get(setName(attachment))
			if set == nil || set.gateway.Name == "" {
				continue
			}
			name = set.gateway
		}
		if !slices.Contains(gateways, name) {
			gateways = append(gateways, name)
		}
	}
	return gateways
}

// class returns that of a Gateway, nil if it isn't known.
func (g *Gateways) class(name types.NamespacedName) *summary {
	gateway, _ := g.objects.Get(gatewayName(name))
	if gateway == nil {
		return nil
	}
	class, _ := g.objects.Get(className(gateway.class))
	return class
}

func isListenerSet(attachment routes.Attachment) bool {
	return attachment.Kind == routes.ListenerSetKind
}

func setName(attachment routes.Attachment) watch.Name {
	return watch.Name{Target: setTarget, Object: attachment.NamespacedName}
}

func gatewayName(name types.NamespacedName) watch.Name {
	return watch.Name{Target: gatewayTarget, Object: name}
}

func className(name string) watch.Name {
	return watch.Name{Target: classTarget, Object: types.NamespacedName{Name: name}}
}
