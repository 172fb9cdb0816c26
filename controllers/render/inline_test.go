package render

import (
	"testing"

	. "github.com/onsi/gomega"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

func TestWhatTemplatesOfPoliciesGetFromRoutemaps(t *testing.T) {
	for name, test := range map[string]struct {
		expression string
		want       any
	}{
		"the name":                      {".Name", "policy"},
		"the namespace":                 {".Namespace", "test"},
		"the labels":                    {".Labels", map[string]any{"app": "web"}},
		"the weights":                   {".Weights", []any{int64(1), int64(0)}},
		"the weights by their old name": {".NormalizedWeights", []any{int64(1), int64(0)}},
		"the versions": {".Versions", []any{
			map[string]any{"Weight": int64(1), "Resources": []any{}},
			map[string]any{"Weight": int64(50), "Resources": []any{map[string]any{"Kind": "Deployment", "Name": "web-v2"}, map[string]any{"Kind": "Service", "Name": "web-v2"}}},
		}},
		"the versions by their new name": {"(index .Variants 1).Weight", int64(50)},
		"Go's own slice, of a text":      {`slice "abc" 1`, "bc"},
		"YAML":                           {`fromYaml "a: [1]" | toYaml`, "a:\n- 1"},
		"JSON":                           {`toJson (fromJson "{\"a\": 1}")`, `{"a":1}`},
		"a value that is required":       {`required "missing" .Values.mine`, "yes"},
		"a number that is required":      {`required "missing" 0`, int64(0)},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(out(t, inline(values(t, `{mine: "yes"}`), echo(test.expression)))).To(Equal(test.want))
		})
	}
}

func TestTemplatesOfPoliciesGetNothingOfTheirSurroundings(t *testing.T) {
	for _, function := range []string{"env", "expandenv", "getHostByName", "lookup", "tpl", "include"} {
		_, err := NewRenderer().Manifests(inline(nil, "{{ "+function+" \"HOME\" }}"))
		NewWithT(t).Expect(err).To(MatchError(And(ContainSubstring("one"), ContainSubstring(`function "`+function+`" not defined`))))
	}
}

func TestTemplatesOfPoliciesAreRenderedByTheirNames(t *testing.T) {
	g := NewWithT(t)
	in := inline(nil)
	in.Templates = []iter8v1alpha1.InlineTemplate{
		{Name: "b.yaml", Template: "apiVersion: v1\nkind: B\n"},
		{Name: "a", Template: "apiVersion: v1\nkind: A\n---\napiVersion: v1\nkind: Z\n"},
	}
	manifests, err := NewRenderer().Manifests(in)
	g.Expect(err).NotTo(HaveOccurred())
	var kinds []string
	for _, m := range manifests {
		kinds = append(kinds, m.GetKind())
	}
	g.Expect(kinds).To(Equal([]string{"A", "Z", "B"}))
}

func TestTemplatesOfPoliciesAreRenderedEachByItself(t *testing.T) {
	g := NewWithT(t)
	_, err := NewRenderer().Manifests(inline(nil, `{{ define "greeting" }}hello{{ end }}`, `{{ template "greeting" }}`))
	g.Expect(err).To(MatchError(And(ContainSubstring("two"), ContainSubstring(`"greeting" not defined`))))
}

func TestWeights(t *testing.T) {
	variant := func(available bool, weight int32) Variant { return Variant{Available: available, Weight: weight} }
	for name, test := range map[string]struct {
		variants []Variant
		want     []uint32
	}{
		"no variants":                             {nil, []uint32{}},
		"all are available":                       {[]Variant{variant(true, 80), variant(true, 20)}, []uint32{80, 20}},
		"one isn't, and gets nothing":             {[]Variant{variant(true, 80), variant(false, 20)}, []uint32{80, 0}},
		"none is, and the first gets all":         {[]Variant{variant(false, 80), variant(false, 20)}, []uint32{1, 0}},
		"the one that is available gets no share": {[]Variant{variant(false, 80), variant(true, 0)}, []uint32{1, 0}},
		"the second alone":                        {[]Variant{variant(false, 80), variant(true, 20)}, []uint32{0, 20}},
		"as much as the API allows":               {[]Variant{variant(true, iter8v1alpha1.MaxWeight), variant(true, 1)}, []uint32{1000000, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(Weights(test.variants)).To(Equal(test.want))
		})
	}
}

func TestTemplatesOfPoliciesCanNotChangeWhatTheyAreGiven(t *testing.T) {
	g := NewWithT(t)
	given := func() Input {
		return inline(values(t, "{a: {b: 1}}"),
			`{{ $_ := set .Values "a" 1 }}{{ $_ := set .Values.iter8 "variants" (list) }}{{ $_ := set (index .Versions 0) "Weight" 7 }}`)
	}
	in := given()
	g.Expect(NewRenderer().Manifests(in)).To(BeEmpty())
	g.Expect(in).To(Equal(given()))
}
