package mirrors

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"iter8.tools/operator/controllers/routes"
)

// Patch is a JSON patch (RFC 6902). Its JSON is what the apiserver takes as application/json-patch+json.
type Patch []Operation

// Operation is one of a JSON patch's.
type Operation struct {
	Op    string `json:"op"`
	Path  string `json:"path"`
	Value any    `json:"value,omitempty"`
}

// Edit returns a patch that takes the mirrors that may not stand out of a live route, whoever owns it, narrows those that may
// have less, and changes nothing else; and a report of every mirror in the route. The patch is empty where nothing is to be
// done. It never fails on what can't be read of a route: a mirror in a shape that isn't known here is one whose target no
// variant lists.
//
// Each change is preceded by a test of what it changes, and the first operation tests the uid, so that the patch applies as
// a whole to the route that it was made of, or to one that differs from it elsewhere, and not at all otherwise.
func Edit(live *unstructured.Unstructured, decisions Decisions) (Patch, []Mirror) {
	decisions.live = true
	var patch Patch
	var report []Mirror
	for _, rule := range routes.Rules(live) {
		verdicts := decisions.judge(live, rule, []string{rule.Match()})
		for _, v := range verdicts {
			report = append(report, v.report)
		}
		if isIstio(live) {
			patch = append(patch, editIstio(rule, verdicts)...)
		} else {
			patch = append(patch, editFilters(rule, verdicts)...)
		}
	}
	if len(patch) == 0 {
		return nil, report
	}
	if uid := live.GetUID(); uid != "" {
		patch = append(Patch{{"test", "/metadata/uid", string(uid)}}, patch...)
	}
	return patch, report
}

// editFilters edits the filters of a rule of the Gateway API, and those of its backendRefs.
func editFilters(rule routes.Rule, verdicts []verdict) Patch {
	backends := itemsOf(rule.Fields["backendRefs"])
	patch := editList(rule.Path.Child("filters"), itemsOf(rule.Fields["filters"]), of(verdicts, -1))
	for i := range backends {
		filters := itemsOf(fieldsOf(backends[i])["filters"])
		patch = append(patch, editList(rule.Path.Child("backendRefs", i, "filters"), filters, of(verdicts, i))...)
	}
	return patch
}

// editList edits the mirrors in a list from its end, so that positions hold, and takes away a list of which nothing is left.
func editList(path routes.Path, items []any, verdicts []verdict) Patch {
	var patch Patch
	left := len(items)
	for i := len(verdicts) - 1; i >= 0; i-- {
		v := verdicts[i]
		switch {
		case !v.stands():
			patch = append(patch, remove(v.site.Path, items[v.site.Index])...)
			left--
		case v.narrowed():
			patch = append(patch, narrow(v)...)
		}
	}
	if left == 0 && len(items) > 0 {
		return remove(path, items)
	}
	return patch
}

// narrow narrows a mirror in a list.
func narrow(v verdict) Patch {
	if mirror := fieldsOf(v.site.Fields["requestMirror"]); mirror != nil {
		return replace(v.site.Path.Child("requestMirror"), mirror, narrowed(mirror, v.share))
	}
	path, share := v.site.Path.Child("percentage"), percentage(v.share)
	if given := v.site.Fields["percentage"]; given != nil {
		return replace(path, given, share)
	}
	return Patch{{"test", v.site.Path.Pointer(), v.site.Fields}, {"add", path.Pointer(), share}}
}

// editIstio edits an entry of a VirtualService's http.
func editIstio(rule routes.Rule, verdicts []verdict) Patch {
	var patch Patch
	for _, v := range verdicts {
		if v.site.Index >= 0 {
			continue
		}
		if v.stands() && !v.narrowed() {
			continue
		}
		patch = append(patch, Operation{"test", v.site.Path.Pointer(), rule.Fields["mirror"]})
		for _, name := range routes.MirrorShares {
			if given := rule.Fields[name]; given != nil {
				patch = append(patch, remove(rule.Path.Child(name), given)...)
			}
		}
		if v.narrowed() {
			patch = append(patch, Operation{"add", rule.Path.Child(mirrorPercentage).Pointer(), percentage(v.share)})
		} else {
			patch = append(patch, Operation{Op: "remove", Path: v.site.Path.Pointer()})
		}
	}
	return append(patch, editList(rule.Path.Child("mirrors"), itemsOf(rule.Fields["mirrors"]), inList(verdicts))...)
}

// inList returns the verdicts on the mirrors in a VirtualService's mirrors.
func inList(verdicts []verdict) []verdict {
	var some []verdict
	for _, v := range verdicts {
		if v.site.Index >= 0 {
			some = append(some, v)
		}
	}
	return some
}

func remove(path routes.Path, old any) Patch {
	return Patch{{"test", path.Pointer(), old}, {Op: "remove", Path: path.Pointer()}}
}

func replace(path routes.Path, old, value any) Patch {
	return Patch{{"test", path.Pointer(), old}, {"replace", path.Pointer(), value}}
}
