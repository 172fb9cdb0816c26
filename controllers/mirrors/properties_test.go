package mirrors

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"iter8.tools/operator/controllers/routes"
)

// TestWhateverTheStatesOfTheVariantsAre holds the rules of this package for the manifests of the golden files, with their
// variants in every combination of states.
func TestWhateverTheStatesOfTheVariantsAre(t *testing.T) {
	for name, path := range goldenFiles(t) {
		t.Run(name, func(t *testing.T) {
			input, manifests := readGolden(t, path)
			combinations := 1
			for range input.Variants {
				combinations *= 4
			}
			for n := range combinations {
				for i, rest := 0, n; i < len(input.Variants); i, rest = i+1, rest/4 {
					input.Variants[i].State = State(rest % 4)
				}
				check(t, input, manifests)
			}
		})
	}
}

// FuzzMirrors holds them for any manifest. The bits of a number say which variant is in which state, and who asks.
func FuzzMirrors(f *testing.F) {
	for _, path := range goldenFiles(f) {
		_, manifests := readGolden(f, path)
		for i, m := range manifests {
			data, err := json.Marshal(m.Object)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(string(data), uint16(i))
		}
	}
	f.Fuzz(func(t *testing.T, text string, bits uint16) {
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			return
		}
		m := &unstructured.Unstructured{}
		if utiljson.Unmarshal(data, &m.Object) != nil || m.Object == nil {
			return
		}
		input := Input{BuiltIn: bits&1 != 0, SafeMethodsOnly: bits&2 != 0, Namespace: namespace, Manifests: []*unstructured.Unstructured{m}}
		for i, of := range []string{"Service httpbin-v2", "Service reviews", "Service m"} {
			v := variant(of, State(bits>>(2+2*i)&3), of, "Deployment.apps "+of)
			v.Weight = &Weight{Text: fmt.Sprint(bits >> 8)}
			input.Variants = append(input.Variants, v)
		}
		check(t, input, input.Manifests)
	})
}

// check gates and edits manifests, and holds what comes of it against what went in.
func check(t *testing.T, input Input, manifests []*unstructured.Unstructured) {
	t.Helper()
	g := NewWithT(t)
	before, given := encode(t, input), encode(t, manifests)
	decisions := Decide(input)
	gated, err := Gate(manifests, decisions)
	edited := make([]*unstructured.Unstructured, 0, len(manifests))
	for _, m := range manifests {
		edited = append(edited, edit(t, m, decisions))
	}
	g.Expect(encode(t, input)).To(Equal(before), "the input is changed")
	g.Expect(encode(t, manifests)).To(Equal(given), "the manifests are changed")

	expectLess(t, manifests, edited)
	for i := range manifests {
		g.Expect(encode(t, stripped(edited[i].Object))).To(Equal(encode(t, stripped(manifests[i].Object))), "what is no mirror is edited")
		patch, _ := Edit(edited[i], decisions)
		g.Expect(patch).To(BeEmpty(), "what was edited is edited again")
	}
	if err != nil {
		return
	}
	again, err := Gate(gated.Manifests, decisions)
	g.Expect(err).NotTo(HaveOccurred(), "what was gated")
	if len(input.Standing) == 0 { // else what stands may be of before the rules were split
		g.Expect(encode(t, again.Manifests)).To(Equal(encode(t, gated.Manifests)), "what was gated is gated again")
	}
	if input.SafeMethodsOnly {
		return
	}
	expectLess(t, manifests, gated.Manifests)
	for i := range manifests {
		g.Expect(encode(t, stripped(gated.Manifests[i].Object))).To(Equal(encode(t, stripped(manifests[i].Object))), "what is no mirror is gated")
	}
	expectSame(t, input, manifests, edited)
}

// expectSame expects that editing live routes comes to what gating them does, where all their mirrors stand.
func expectSame(t *testing.T, input Input, live, edited []*unstructured.Unstructured) {
	t.Helper()
	g := NewWithT(t)
	input.Standing = nil
	for _, m := range live {
		for _, rule := range routes.Rules(m) {
			for _, site := range rule.Sites {
				stands := rule.Mirror(m, site)
				stands.To = Decide(input).nameOf(site.To, Decide(input).namespaceOf(m)) // as status has it
				input.Standing = append(input.Standing, stands)
			}
		}
	}
	decisions := Decide(input)
	gated, err := Gate(live, decisions)
	g.Expect(err).NotTo(HaveOccurred())
	normal, err := Gate(edited, Decide(allAvailable(input)))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(encode(t, normal.Manifests)).To(Equal(encode(t, gated.Manifests)), "editing and gating differ")
}

// allAvailable lets every mirror stand as it does: then Gate but lifts mirrors of backendRefs, and writes hosts as Istio finds them.
func allAvailable(input Input) Input {
	input.BuiltIn, input.Lacks, input.Withheld = false, nil, nil
	input.Variants = slices.Clone(input.Variants)
	for i := range input.Variants {
		input.Variants[i].State = Available
	}
	return input
}

// edit applies the patch of Edit, as the apiserver does.
func edit(t *testing.T, live *unstructured.Unstructured, decisions Decisions) *unstructured.Unstructured {
	t.Helper()
	operations, _ := Edit(live, decisions)
	if len(operations) == 0 {
		return live
	}
	patch, err := jsonpatch.DecodePatch([]byte(encode(t, operations)))
	if err != nil {
		t.Fatal(err)
	}
	data, err := patch.Apply([]byte(encode(t, live.Object)))
	if err != nil {
		t.Fatalf("%s: applying %s: %v", encode(t, live.Object), encode(t, operations), err)
	}
	after := &unstructured.Unstructured{}
	if err := utiljson.Unmarshal(data, &after.Object); err != nil {
		t.Fatal(err)
	}
	return after
}

// expectLess expects that no mirror is added and none widened: of each route and target, the largest share is at most the
// largest before, the second at most the second, and so on.
func expectLess(t *testing.T, before, after []*unstructured.Unstructured) {
	t.Helper()
	had := shares(before)
	for target, has := range shares(after) {
		if len(has) > len(had[target]) {
			t.Errorf("mirrors to %s are added: %v to %v", target, has, had[target])
			continue
		}
		for i := range has {
			if has[i] > had[target][i] {
				t.Errorf("mirrors to %s are widened: %v from %v", target, has, had[target])
			}
		}
	}
}

func shares(manifests []*unstructured.Unstructured) map[string][]float64 {
	all := map[string][]float64{}
	for i, m := range manifests {
		for _, mirror := range routes.Mirrors(m) {
			mirror.To = strings.Replace(mirror.To, "."+namespace, "", 1) // as Gate may do
			key := fmt.Sprintf("%s of manifest %d", mirror.To, i)
			all[key] = append(all[key], percentOf(mirror.Percent))
			slices.SortFunc(all[key], func(a, b float64) int { return int((b - a) * 1e6) })
		}
	}
	return all
}

// stripped returns a value of JSON without whatever may be a mirror.
func stripped(value any) any {
	switch value := value.(type) {
	case []any:
		var items []any
		for _, item := range value {
			items = append(items, stripped(item))
		}
		return items
	case map[string]any:
		fields := map[string]any{}
		for name, field := range value {
			filters, isList := field.([]any)
			switch {
			case name == "mirror" || name == "mirrors" || name == "mirrorPercentage" || name == "mirrorPercent" || name == "mirror_percent":
				continue
			case name == "filters" && isList:
				left := slices.DeleteFunc(slices.Clone(filters), func(filter any) bool {
					fields, _ := filter.(map[string]any)
					return fields["type"] == "RequestMirror"
				})
				if len(left) == 0 {
					continue
				}
				field = left
			}
			fields[name] = stripped(field)
		}
		return fields
	default:
		return value
	}
}

func encode(t *testing.T, value any) string {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
