package mirrors

import (
	"fmt"
	"maps"
	"math"
	"slices"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"iter8.tools/operator/controllers/routes"
)

// The most that the Gateway API allows of a rule's filters.
const maxFilters = 16

// validate returns what can't work of a route's mirrors.
func validate(route *unstructured.Unstructured, rules []routes.Rule) Errors {
	v := validation{route: routes.Name(route.GetKind(), route.GetName())}
	for _, rule := range rules {
		if isIstio(route) {
			v.istioRule(rule)
		} else {
			v.gatewayRule(rule)
		}
	}
	return v.problems
}

type validation struct {
	route    string
	problems Errors
}

func (v *validation) refuse(path routes.Path, format string, args ...any) {
	v.problems = append(v.problems, Error{v.route, path, fmt.Sprintf(format, args...)})
}

// fields refuses those that an object may not have.
func (v *validation) fields(path routes.Path, fields map[string]any, known ...string) {
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		if !slices.Contains(known, name) {
			v.refuse(path.Child(name), "is not a field of a mirror, which has %s", join(known))
		}
	}
}

// percent refuses what is not a percentage.
func (v *validation) percent(path routes.Path, value any, wholeOnly bool) {
	number, ok := numberOf(value)
	switch {
	case !ok:
		v.refuse(path, "must be a number from 0 to 100")
	case wholeOnly && number != math.Trunc(number):
		v.refuse(path, "must be a whole number, and is %v", value)
	case number < 0 || number > everything:
		v.refuse(path, "must be 0 to 100, and is %v", value)
	}
}

// gatewayRule checks a rule of an HTTPRoute or GRPCRoute.
func (v *validation) gatewayRule(rule routes.Rule) {
	if len(rule.Sites) == 0 {
		return
	}
	backends := itemsOf(rule.Fields["backendRefs"])
	for _, site := range rule.Sites {
		if site.Backend >= 0 && len(backends) > 1 {
			v.refuse(site.Path, "a mirror in one of several backendRefs is not supported by gateways: "+
				"put it in the filters of the rule, or split the rule")
		}
		v.requestMirror(site)
	}
	if len(backends) == 0 && !answers(rule) {
		v.refuse(rule.Path, "has mirrors, but nothing that answers requests, so that clients would get status 500: add backendRefs")
	}
	if filters := len(itemsOf(rule.Fields["filters"])) + lifted(rule); filters > maxFilters {
		v.refuse(rule.Path.Child("filters"), "would be %d with those of its backendRef, and the Gateway API allows %d", filters, maxFilters)
	}
}

// lifted counts the mirrors that are lifted to the rule.
func lifted(rule routes.Rule) int {
	n := 0
	for _, site := range rule.Sites {
		if site.Backend >= 0 {
			n++
		}
	}
	return n
}

// answers reports whether a filter of a rule without backendRefs answers requests: a redirect, or an extension that may.
func answers(rule routes.Rule) bool {
	return slices.ContainsFunc(itemsOf(rule.Fields["filters"]), func(filter any) bool {
		kind := fieldsOf(filter)["type"]
		return kind == "RequestRedirect" || kind == "ExtensionRef"
	})
}

func (v *validation) requestMirror(site routes.Site) {
	path := site.Path.Child("requestMirror")
	mirror := fieldsOf(site.Fields["requestMirror"])
	if mirror == nil {
		v.refuse(path, "is missing, or not an object: a filter of type RequestMirror takes requestMirror.backendRef")
		return
	}
	v.fields(path, mirror, "backendRef", "percent", "fraction")
	v.backend(path.Child("backendRef"), fieldsOf(mirror["backendRef"]), site.To)
	percent, hasPercent := mirror["percent"]
	fraction, hasFraction := mirror["fraction"]
	switch {
	case hasPercent && hasFraction:
		v.refuse(path, "has both percent and fraction: leave one of them out")
	case hasPercent:
		v.percent(path.Child("percent"), percent, true)
	case hasFraction:
		v.fraction(path.Child("fraction"), fieldsOf(fraction))
	}
}

func (v *validation) backend(path routes.Path, fields map[string]any, to routes.Destination) {
	for _, name := range []string{"group", "kind", "namespace"} {
		if value, given := fields[name]; given && !isText(value) {
			v.refuse(path.Child(name), "must be a string")
		}
	}
	port, given := fields["port"]
	number, isNumber := numberOf(port)
	switch {
	case to.Name == "":
		v.refuse(path.Child("name"), "is missing: a mirror names the backend that gets the copies")
	case given && (!isNumber || number != math.Trunc(number) || number < 1 || number > math.MaxUint16):
		v.refuse(path.Child("port"), "must be a whole number from 1 to 65535")
	case !given && to.Group == "" && to.Kind == "Service":
		v.refuse(path.Child("port"), "is missing: a mirror to a Service takes the port that gets the copies")
	}
}

func isText(value any) bool {
	_, ok := value.(string)
	return ok
}

func (v *validation) fraction(path routes.Path, fraction map[string]any) {
	v.fields(path, fraction, "numerator", "denominator")
	numerator, ok := wholeOf(fraction["numerator"])
	if !ok || numerator < 0 {
		v.refuse(path.Child("numerator"), "must be a whole number, 0 or more")
		return
	}
	denominator := int64(everything)
	if given, ok := fraction["denominator"]; ok {
		if denominator, ok = wholeOf(given); !ok || denominator < 1 {
			v.refuse(path.Child("denominator"), "must be a whole number, 1 or more")
			return
		}
	}
	if numerator > denominator {
		v.refuse(path.Child("numerator"), "is %d, more than the denominator, %d", numerator, denominator)
	}
}

// istioRule checks an entry of a VirtualService's http.
func (v *validation) istioRule(rule routes.Rule) {
	keys := mirrorKeys(rule.Fields)
	if len(keys) == 0 {
		return
	}
	known := append([]string{"mirror", "mirrors"}, routes.MirrorShares[:]...)
	var shares []string
	for _, key := range keys {
		switch {
		case !slices.Contains(known, key):
			v.refuse(rule.Path.Child(key), "is not a field of a mirror, which has mirror and mirrorPercentage, or mirrors")
		case key != "mirror" && key != "mirrors":
			shares = append(shares, key)
		}
	}
	v.istioShares(rule, shares)
	if list := rule.Fields["mirrors"]; list != nil && itemsOf(list) == nil {
		v.refuse(rule.Path.Child("mirrors"), "must be a list")
	}
	for _, site := range rule.Sites {
		v.istioMirror(site)
	}
	answered := slices.ContainsFunc([]string{"route", "redirect", "directResponse", "delegate"}, func(key string) bool {
		items, isList := rule.Fields[key].([]any)
		return rule.Fields[key] != nil && (!isList || len(items) > 0)
	})
	if len(rule.Sites) > 0 && !answered {
		v.refuse(rule.Path, "has mirrors, but nothing that answers requests: add route, redirect, directResponse or delegate")
	}
}

// istioShares checks the share of the mirror that stands alone.
func (v *validation) istioShares(rule routes.Rule, shares []string) {
	alone := rule.Fields["mirror"] != nil
	switch {
	case alone && rule.Fields["mirrors"] != nil:
		v.refuse(rule.Path, "has both mirror and mirrors, of which Istio takes one: put all in mirrors")
	case len(shares) > 1:
		v.refuse(rule.Path, "has the share of its mirror more than once, as %s: leave all but mirrorPercentage out", join(shares))
	case len(shares) == 1 && !alone:
		v.refuse(rule.Path.Child(shares[0]), "is the share of no mirror: set mirror, or give each entry of mirrors its percentage")
	case len(shares) == 1 && shares[0] == mirrorPercentage:
		v.percentage(rule.Path.Child(mirrorPercentage), rule.Fields[mirrorPercentage])
	case len(shares) == 1:
		v.percent(rule.Path.Child(shares[0]), rule.Fields[shares[0]], true)
	}
}

func (v *validation) percentage(path routes.Path, given any) {
	fields := fieldsOf(given)
	v.fields(path, fields, "value")
	v.percent(path.Child("value"), fields["value"], false)
}

func (v *validation) istioMirror(site routes.Site) {
	path, destination := site.Path, site.Fields
	if site.Index >= 0 {
		v.fields(path, site.Fields, "destination", "percentage")
		if given := site.Fields["percentage"]; given != nil {
			v.percentage(path.Child("percentage"), given)
		}
		path, destination = path.Child("destination"), fieldsOf(site.Fields["destination"])
	}
	v.fields(path, destination, "host", "subset", "port")
	if site.To.Host == "" {
		v.refuse(path.Child("host"), "is missing: a mirror names the host that gets the copies")
	}
	if given := destination["subset"]; given != nil && !isText(given) {
		v.refuse(path.Child("subset"), "must be a string")
	}
}

// numberOf reads a number, whatever type a decoder gave it.
func numberOf(value any) (float64, bool) {
	switch n := value.(type) {
	case int64:
		return float64(n), true
	case float64:
		return n, !math.IsNaN(n)
	default:
		return 0, false
	}
}

func wholeOf(value any) (int64, bool) {
	number, ok := numberOf(value)
	return int64(number), ok && number == math.Trunc(number) && math.Abs(number) <= math.MaxInt32
}
