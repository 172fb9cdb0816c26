package routes

import (
	"fmt"

	"k8s.io/apimachinery/pkg/types"
)

// Destination is where requests or a mirror's copies go: a backend of the Gateway API, or a host of Istio's.
type Destination struct {
	// Group, Kind, Namespace and Name are a backend's, with the API's defaults for group and kind; Namespace is empty
	// where it is the route's own. All are empty for a host.
	Group, Kind, Namespace, Name string
	// Host and Subset are those of a VirtualService's destination.
	Host, Subset string
	// Port is 0 where none is given.
	Port int64
}

// Service returns the Service that an object of a namespace means by the destination, and reports whether it can be one.
func (d Destination) Service(namespace string) (types.NamespacedName, bool) {
	switch {
	case d.Host != "":
		host := ResolveHost(d.Host, namespace)
		return types.NamespacedName{Namespace: host.Namespace, Name: host.Service}, host.Service != ""
	case d.Group != "" || d.Kind != "Service" || d.Name == "":
		return types.NamespacedName{}, false
	case d.Namespace != "":
		namespace = d.Namespace
	}
	return types.NamespacedName{Namespace: namespace, Name: d.Name}, true
}

// IsZero reports whether the mirror names no target.
func (d Destination) IsZero() bool { return d.Name == "" && d.Host == "" }

// String returns [namespace/]name[:port] of a backend, and host[:port][ subset NAME] of a host.
func (d Destination) String() string {
	name := d.Host
	if d.Host == "" {
		name = d.Name
	}
	if d.Namespace != "" {
		name = d.Namespace + "/" + name
	}
	if d.Port != 0 {
		name = fmt.Sprintf("%s:%d", name, d.Port)
	}
	if d.Subset != "" {
		name += " subset " + d.Subset
	}
	return name
}

// backendOf reads a backendRef.
func backendOf(fields map[string]any) Destination {
	d := Destination{Group: text(fields, "group"), Kind: text(fields, "kind"), Namespace: text(fields, "namespace"), Name: text(fields, "name")}
	if d.Kind == "" {
		d.Kind = "Service"
	}
	port, _ := number(fields["port"])
	d.Port = int64(port)
	return d
}

// hostOf reads a destination of Istio's.
func hostOf(fields map[string]any) Destination {
	port, _ := number(object(fields["port"])["number"])
	return Destination{Host: text(fields, "host"), Subset: text(fields, "subset"), Port: int64(port)}
}
