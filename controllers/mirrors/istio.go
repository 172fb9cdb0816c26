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

// inFull returns a host, written in full where it is NAME.NAMESPACE of a Service that a variant lists.
func (d Decisions) inFull(name, namespace string) string {
	if strings.Count(name, ".") != 1 {
		return name
	}
	h := hostOf(name, namespace)
	if !slices.ContainsFunc(d.input.Variants, func(v Variant) bool { return v.listsHost(h) }) {
		return name
	}
	return name + ".svc." + d.input.ClusterDomain
}

// destination returns one with its host in full.
func (d Decisions) destination(fields map[string]any, namespace string) map[string]any {
	name, _ := fields["host"].(string)
	full := d.inFull(name, namespace)
	if full == name {
		return fields
	}
	fields = copyOf(fields)
	fields["host"] = full
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
