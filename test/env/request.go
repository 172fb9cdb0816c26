package env

import (
	"slices"
	"strings"
	"time"
)

// writeVerbs are those that change what the apiserver stores.
var writeVerbs = []string{"create", "update", "patch", "delete", "deletecollection"}

// reviewGroups are API groups whose objects are questions: creating one stores nothing.
var reviewGroups = []string{"authentication.k8s.io", "authorization.k8s.io"}

// Request is one request to the apiserver.
type Request struct {
	// Time is when the request came in.
	Time time.Time
	// Verb is get, list, watch, create, update, patch, delete or deletecollection.
	Verb string
	// URI of the request, with its query.
	URI string
	// What the request was about. Name is empty in a create with generateName.
	Group, Version, Resource, Subresource, Namespace, Name string
}

// IsWrite reports whether the request was to change what is stored, whether it succeeded or not. A dry run is
// not, nor is a review of a token or an access.
func (r Request) IsWrite() bool {
	return slices.Contains(writeVerbs, r.Verb) &&
		!slices.Contains(reviewGroups, r.Group) && r.Subresource != "token" &&
		!strings.Contains(r.URI, "dryRun=All")
}

// String returns verb, resource and name of the request: "patch routingpolicies/status shop/web".
func (r Request) String() string {
	resource := r.Resource
	if r.Subresource != "" {
		resource += "/" + r.Subresource
	}
	name := r.Name
	if r.Namespace != "" {
		name = r.Namespace + "/" + name
	}
	if resource == "" { // discovery, the version, health
		name = r.URI
	}
	return strings.Join(strings.Fields(r.Verb+" "+resource+" "+name), " ")
}
