package routes

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"
)

// The kinds of parents that have a GatewayClass: a Gateway of its own, a ListenerSet that of the Gateway that it adds
// listeners to.
const (
	GatewayKind     = "Gateway"
	ListenerSetKind = "ListenerSet"
)

// Attachment is a Gateway or a ListenerSet that a route attaches to.
type Attachment struct {
	// Kind is GatewayKind or ListenerSetKind.
	Kind string
	types.NamespacedName
}

// Attachments returns the Gateways and ListenerSets that a route of a namespace attaches to, each once. Routes of kinds that
// can't hold mirrors, and those of Istio, attach to none.
func Attachments(object *unstructured.Unstructured, namespace string) []Attachment {
	if !hasParents(object) {
		return nil
	}
	var parentRefs []gatewayv1.ParentReference
	if err := decode(object, &parentRefs, "spec", "parentRefs"); err != nil {
		return nil
	}
	var attachments []Attachment
	for _, ref := range parentRefs {
		p := parentOf(ref, namespace)
		attachment := Attachment{p.kind, types.NamespacedName{Namespace: p.namespace, Name: p.name}}
		if p.hasClass() && !slices.Contains(attachments, attachment) {
			attachments = append(attachments, attachment)
		}
	}
	return attachments
}

// ParentServices returns the Services whose clients a routing object of a namespace routes, each once: the parents that are Services, and
// the hosts of a VirtualService in the mesh. NAME.NAMESPACE of another namespace may well be a host outside of the cluster, and is left out.
func ParentServices(object *unstructured.Unstructured, namespace string) []types.NamespacedName {
	var services []types.NamespacedName
	add := func(namespace, name string) {
		service := types.NamespacedName{Namespace: namespace, Name: name}
		if len(validation.IsDNS1123Label(name)) == 0 && !slices.Contains(services, service) {
			services = append(services, service)
		}
	}
	if NamesSubsets(kindOf(object)) {
		spec := specOf(object)
		if gateways := list(spec, "gateways"); len(gateways) > 0 && !slices.Contains(gateways, "mesh") {
			return nil
		}
		for _, item := range list(spec, "hosts") {
			name, _ := item.(string)
			if host := ResolveHost(name, namespace); host.Namespace == namespace || strings.Count(name, ".") > 1 {
				add(host.Namespace, host.Service)
			}
		}
		return services
	}
	var parentRefs []gatewayv1.ParentReference
	if !hasParents(object) || decode(object, &parentRefs, "spec", "parentRefs") != nil {
		return nil
	}
	for _, ref := range parentRefs {
		if p := parentOf(ref, namespace); p.group == corev1.GroupName && p.kind == "Service" {
			add(p.namespace, p.name)
		}
	}
	return services
}

// Controller is an implementation of the Gateway API that serves a route.
type Controller struct {
	// Name is its controllerName, and Parent how the route gets to it: "Service default/httpbin port 80".
	Name, Parent string
}

// Controllers returns those that report on a live route for parents that it names and that have no GatewayClass: meshes, for
// Services.
func Controllers(object *unstructured.Unstructured) []Controller {
	if !hasParents(object) {
		return nil
	}
	var parentRefs []gatewayv1.ParentReference
	var reports []gatewayv1.RouteParentStatus
	if err := errors.Join(decode(object, &parentRefs, "spec", "parentRefs"), decode(object, &reports, "status", "parents")); err != nil {
		return nil
	}
	var controllers []Controller
	for _, ref := range parentRefs {
		p := parentOf(ref, object.GetNamespace())
		for _, report := range reports {
			controller := Controller{string(report.ControllerName), p.String()}
			if !p.hasClass() && parentOf(report.ParentRef, object.GetNamespace()) == p && !slices.Contains(controllers, controller) {
				controllers = append(controllers, controller)
			}
		}
	}
	return controllers
}

// hasParents reports whether an object is of a kind that can hold mirrors and has spec.parentRefs.
func hasParents(object *unstructured.Unstructured) bool {
	_, ok := dialectOf(object)
	return ok && object.GroupVersionKind().Group == gatewayv1.GroupName
}

// parent is a ParentReference with its defaults filled in, for comparisons.
type parent struct {
	group, kind, namespace, name, section string
	port                                  gatewayv1.PortNumber
}

func parentOf(ref gatewayv1.ParentReference, namespace string) parent {
	return parent{
		group:     string(value(ref.Group, gatewayv1.GroupName)),
		kind:      string(value(ref.Kind, GatewayKind)),
		namespace: string(value(ref.Namespace, gatewayv1.Namespace(namespace))),
		name:      string(ref.Name),
		section:   string(value(ref.SectionName, "")),
		port:      value(ref.Port, 0),
	}
}

// hasClass reports whether what the parent can do is a matter of a GatewayClass.
func (p parent) hasClass() bool {
	return p.group == gatewayv1.GroupName && (p.kind == GatewayKind || p.kind == ListenerSetKind)
}

// String returns Kind namespace/name, with the section and the port where the route names them.
func (p parent) String() string {
	text := fmt.Sprintf("%s %s/%s", p.groupKind(), p.namespace, p.name)
	if p.section != "" {
		text += " section " + p.section
	}
	if p.port != 0 {
		text += fmt.Sprintf(" port %d", p.port)
	}
	return text
}

// groupKind returns the kind, and its group where that isn't the usual one: a Service without `group: ""` is a common mistake,
// of which nothing else in a message would tell.
func (p parent) groupKind() string {
	usual := gatewayv1.GroupName
	if p.kind == "Service" {
		usual = corev1.GroupName
	}
	switch p.group {
	case usual:
		return p.kind
	case corev1.GroupName:
		return p.kind + " (core group)"
	default:
		return p.kind + "." + p.group
	}
}
