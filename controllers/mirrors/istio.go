package mirrors

import (
	"maps"
	"math"
	"slices"
	"strings"

	"iter8.tools/operator/controllers/routes"
)

// gateIstio leaves in an entry of a VirtualService's http, which is changed, just the mirrors that may stand.
func (d Decisions) gateIstio(route map[string]any, verdicts []verdict, namespace string) {
	var mirrors []any
	for _, v := range verdicts {
		if v.site.Index >= 0 {
			if v.stands() {
				mirrors = append(mirrors, d.entry(v, namespace))
			}
			continue
		}
		if !v.stands() || v.narrowed() {
			for _, name := range routes.MirrorShares {
				delete(route, name)
			}
		}
		if v.narrowed() {
			route[mirrorPercentage] = percentage(v.share)
		}
		if v.stands() {
			route["mirror"] = d.destination(v.site.Fields, namespace)
		} else {
			delete(route, "mirror")
		}
	}
	if route["mirrors"] != nil {
		setList(route, "mirrors", mirrors)
	}
}

const mirrorPercentage = "mirrorPercentage"

// entry returns that of a mirror in the list of mirrors.
func (d Decisions) entry(v verdict, namespace string) map[string]any {
	entry := copyOf(v.site.Fields)
	entry["destination"] = d.destination(fieldsOf(entry["destination"]), namespace)
	if v.narrowed() {
		entry["percentage"] = percentage(v.share)
	}
	return entry
}

func percentage(share float64) map[string]any {
	if share == math.Trunc(share) {
		return map[string]any{"value": int64(share)}
	}
	return map[string]any{"value": share}
}

// resolvable returns a host, as NAME where it is NAME.NAMESPACE of a Service that a variant lists in the namespace of the object
// that names it. Istio takes any name with a dot in it to be a full one, and completes only NAME, by that namespace and the
// domain of its cluster, which isn't known here. So a Service of another namespace stays as it is written.
func (d Decisions) resolvable(name, namespace string) string {
	h := routes.ResolveHost(name, namespace)
	if strings.Count(name, ".") != 1 || h.Namespace != namespace {
		return name
	}
	if !slices.ContainsFunc(d.input.Variants, func(v Variant) bool { return v.listsHost(h) }) {
		return name
	}
	return h.Service
}

// destination returns one with a host that Istio finds.
func (d Decisions) destination(fields map[string]any, namespace string) map[string]any {
	name, _ := fields["host"].(string)
	found := d.resolvable(name, namespace)
	if found == name {
		return fields
	}
	fields = copyOf(fields)
	fields["host"] = found
	return fields
}

// mirrorKeys returns the fields of an entry of a VirtualService's http that say something of mirrors, known or not, sorted.
// Rules of the Gateway API have none.
func mirrorKeys(route map[string]any) []string {
	var keys []string
	for _, name := range slices.Sorted(maps.Keys(route)) {
		if strings.HasPrefix(name, "mirror") && route[name] != nil {
			keys = append(keys, name)
		}
	}
	return keys
}
