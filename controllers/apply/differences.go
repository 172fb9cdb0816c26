package apply

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"

	"iter8.tools/operator/controllers/routes"
)

// listedFields is how many fields a message lists.
const listedFields = 5

// differences names the fields of a manifest's spec that an object has otherwise, or nothing where they are all as in the manifest:
// what the object has beside them isn't looked at, since the apiserver fills in what is left out.
func differences(manifest *unstructured.Unstructured, live *Existing) string {
	var spec any
	if err := utiljson.Unmarshal(live.Spec, &spec); err != nil {
		return ""
	}
	fields := differing(routes.Path{"spec"}, manifest.Object["spec"], spec)
	if more := len(fields) - listedFields; more > 0 {
		fields = append(fields[:listedFields], fmt.Sprintf("%d more", more))
	}
	return strings.Join(fields, ", ")
}

func differing(path routes.Path, wanted, live any) []string {
	switch wanted := wanted.(type) {
	case map[string]any:
		object, ok := live.(map[string]any)
		if !ok {
			return []string{path.String()}
		}
		var fields []string
		for _, name := range slices.Sorted(maps.Keys(wanted)) {
			fields = append(fields, differing(path.Child(name), wanted[name], object[name])...)
		}
		return fields
	case []any:
		list, ok := live.([]any)
		if !ok || len(list) != len(wanted) {
			return []string{path.String()}
		}
		var fields []string
		for i := range wanted {
			fields = append(fields, differing(path.Child(i), wanted[i], list[i])...)
		}
		return fields
	default:
		if !reflect.DeepEqual(wanted, live) {
			return []string{path.String()}
		}
		return nil
	}
}
