package mirrors

import (
	"math"

	"iter8.tools/operator/controllers/routes"
)

// gateFilters leaves in a rule of the Gateway API, which is changed, just the mirrors that may stand, all in the rule's own
// filters.
func gateFilters(rule map[string]any, verdicts []verdict) {
	own := of(verdicts, -1)
	filters := keep(itemsOf(rule["filters"]), own)
	backends := append([]any(nil), itemsOf(rule["backendRefs"])...)
	for i := range backends {
		theirs := of(verdicts, i)
		if len(theirs) == 0 {
			continue
		}
		backend := copyOf(fieldsOf(backends[i]))
		var lifted, rest []any
		for _, filter := range keep(itemsOf(backend["filters"]), theirs) {
			if routes.IsRequestMirror(filter) {
				lifted = append(lifted, filter)
			} else {
				rest = append(rest, filter)
			}
		}
		setList(backend, "filters", rest)
		filters = append(filters, lifted...)
		own = append(own, theirs...)
		backends[i] = backend
		rule["backendRefs"] = backends
	}
	if len(own) > 0 {
		setList(rule, "filters", filters)
	}
}

// of returns the verdicts on the mirrors that a backendRef holds; those on the rule's own for -1.
func of(verdicts []verdict, backend int) []verdict {
	var some []verdict
	for _, v := range verdicts {
		if v.site.Backend == backend {
			some = append(some, v)
		}
	}
	return some
}

// keep returns a list without the mirrors in it that may not stand, and with those narrowed that may have less.
func keep(filters []any, verdicts []verdict) []any {
	var kept []any
	for i, filter := range filters {
		v, isMirror := at(verdicts, i)
		switch {
		case !isMirror:
			kept = append(kept, filter)
		case v.narrowed():
			narrow := copyOf(v.site.Fields)
			narrow["requestMirror"] = narrowed(fieldsOf(narrow["requestMirror"]), v.share)
			kept = append(kept, narrow)
		case v.stands():
			kept = append(kept, filter)
		}
	}
	return kept
}

// at returns the verdict on the mirror at a position of its list.
func at(verdicts []verdict, index int) (verdict, bool) {
	for _, v := range verdicts {
		if v.site.Index == index {
			return v, true
		}
	}
	return verdict{}, false
}

// narrowed returns a requestMirror with another share. Its percent takes whole numbers only.
func narrowed(mirror map[string]any, share float64) map[string]any {
	narrow := copyOf(mirror)
	delete(narrow, "percent")
	delete(narrow, "fraction")
	if share == math.Trunc(share) {
		narrow["percent"] = int64(share)
		return narrow
	}
	const denominator = 1_000_000
	narrow["fraction"] = map[string]any{"numerator": int64(share * denominator / everything), "denominator": int64(denominator)}
	return narrow
}

// setList sets a field to a list, and takes it away where that is empty.
func setList(fields map[string]any, name string, items []any) {
	if len(items) == 0 {
		delete(fields, name)
		return
	}
	fields[name] = items
}
