package render

import (
	"maps"
	"slices"
	"testing"

	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// chartOf makes a chart of files, by their names.
func chartOf(t *testing.T, files map[string]string) *chart.Chart {
	t.Helper()
	buffered := []*loader.BufferedFile{{Name: "Chart.yaml", Data: []byte("apiVersion: v2\nname: web\nversion: 1.2.3\n")}}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		buffered = append(buffered, &loader.BufferedFile{Name: name, Data: []byte(files[name])})
	}
	c, err := loader.LoadFiles(buffered)
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return c
}

// values reads values as a reconcile does.
func values(t *testing.T, text string) map[string]any {
	t.Helper()
	g := NewWithT(t)
	data, err := yaml.YAMLToJSON([]byte(text))
	g.Expect(err).NotTo(HaveOccurred())
	var v map[string]any
	g.Expect(utiljson.Unmarshal(data, &v)).To(Succeed())
	return v
}

// input is that of a policy with two variants.
func input(c *chart.Chart, v map[string]any) Input {
	return Input{
		Chart:     c,
		Values:    v,
		Namespace: "test",
		Policy:    "policy",
		Subject:   types.NamespacedName{Namespace: "apps", Name: "subject"},
		Variants: []Variant{
			{Name: "v1", Number: 1, Available: true, Weight: 1},
			{Name: "v2", Number: 2, Weight: 50, Weighted: true, Resources: []Resource{{Kind: "Deployment", Name: "web-v2"}, {Kind: "Service", Name: "web-v2"}}},
		},
		APIVersions: []string{"gateway.networking.k8s.io/v1", "gateway.networking.k8s.io/v1/HTTPRoute"},
	}
}

// inline is the input of a policy with templates of its own, named one, two and three.
func inline(v map[string]any, templates ...string) Input {
	in := input(nil, v)
	in.Labels = map[string]string{"app": "web"}
	for i, t := range templates {
		in.Templates = append(in.Templates, iter8v1alpha1.InlineTemplate{Name: []string{"one", "two", "three"}[i], Template: t})
	}
	return in
}

// out gives the field of that name of the one object that is rendered.
func out(t *testing.T, in Input) any {
	t.Helper()
	g := NewWithT(t)
	manifests, err := NewRenderer().Manifests(in)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(manifests).To(HaveLen(1))
	return manifests[0].Object["out"]
}

// matchOut takes null as equal to null, which Equal refuses to.
func matchOut(want any) gomegatypes.GomegaMatcher {
	if want == nil {
		return BeNil()
	}
	return Equal(want)
}

// echo is a template of an object whose field out is what an expression gives, as JSON.
func echo(expression string) string {
	return "apiVersion: v1\nkind: Echo\nout: {{ " + expression + " | toJson }}\n"
}

func TestWhatTemplatesOfChartsAndPoliciesGetToSee(t *testing.T) {
	for name, test := range map[string]struct {
		expression string
		want       any
	}{
		"the subject":                        {".Values.iter8.subject", map[string]any{"name": "subject", "namespace": "apps"}},
		"the policy":                         {".Values.iter8.policy", map[string]any{"name": "policy"}},
		"the number of variants":             {"len .Values.iter8.variants", int64(2)},
		"a variant that is available":        {"index .Values.iter8.variants 0", map[string]any{"name": "v1", "number": int64(1), "available": true, "weight": int64(1), "weighted": false, "resources": []any{}}},
		"a variant that isn't":               {"index .Values.iter8.variants 1", map[string]any{"name": "v2", "number": int64(2), "available": false, "weight": int64(50), "weighted": true, "resources": []any{map[string]any{"kind": "Deployment", "name": "web-v2"}, map[string]any{"kind": "Service", "name": "web-v2"}}}},
		"the policy as the release":          {".Release.Name", "policy"},
		"the policy's namespace":             {".Release.Namespace", "test"},
		"kinds that the cluster serves":      {`.Capabilities.APIVersions.Has "gateway.networking.k8s.io/v1/HTTPRoute"`, true},
		"kinds that the cluster lacks":       {`.Capabilities.APIVersions.Has "gateway.networking.k8s.io/v1beta1"`, false},
		"sprig's functions":                  {`list "a" "b" | join "-" | upper`, "A-B"},
		"Helm's functions":                   {`toYaml (dict "a" 1)`, "a: 1"},
		"nothing of what nobody has set":     {".Values.missing", nil},
		"a value of the user":                {".Values.mine", "yes"},
		"a small number":                     {".Values.port", int64(8000)},
		"a number with a million":            {".Values.million", int64(1000000)},
		"the largest number":                 {".Values.largest", int64(9007199254740993)},
		"a fraction":                         {".Values.fraction", 0.1},
		"a text that looks like a number":    {".Values.text", "0800"},
		"a number, printed":                  {"printf \"%d %v\" .Values.million .Values.million", "1000000 1000000"},
		"the state, even where it is strict": {".Values.iter8.variants | last | dig \"available\" true", false},
	} {
		t.Run(name, func(t *testing.T) {
			v := values(t, `{mine: "yes", port: 8000, million: 1000000, largest: 9007199254740993, fraction: 0.1, text: "0800"}`)
			for _, in := range []Input{
				input(chartOf(t, map[string]string{"templates/one.yaml": echo(test.expression)}), v),
				inline(v, echo(test.expression)),
			} {
				NewWithT(t).Expect(out(t, in)).To(matchOut(test.want))
			}
		})
	}
}

func TestTemplatesOfChartsGetNothingOfTheirSurroundings(t *testing.T) {
	t.Setenv("ITER8_SECRET", "shh")
	for name, test := range map[string]struct {
		expression string
		want       any
	}{
		"nothing of the cluster":   {`lookup "v1" "Secret" "kube-system" "token"`, map[string]any{}},
		"no list of the cluster's": {`lookup "v1" "Secret" "kube-system" ""`, map[string]any{}},
		"nothing of the network":   {`getHostByName "localhost"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := chartOf(t, map[string]string{"templates/one.yaml": echo(test.expression)})
			NewWithT(t).Expect(out(t, input(c, nil))).To(Equal(test.want))
		})
	}
	for _, expression := range []string{`env "ITER8_SECRET"`, `expandenv "$ITER8_SECRET"`} {
		_, err := NewRenderer().Manifests(input(chartOf(t, map[string]string{"templates/one.yaml": echo(expression)}), nil))
		NewWithT(t).Expect(err).To(MatchError(ContainSubstring("not defined")), expression)
	}
}

func TestIntegersOfAChartsOwnValuesStayIntegers(t *testing.T) {
	g := NewWithT(t)
	c := chartOf(t, map[string]string{
		"values.yaml":         "port: 8000\nmillion: 1000000\n",
		"templates/a.yaml":    "apiVersion: v1\nkind: A\nport: {{ .Values.port }}\nmillion: {{ .Values.million }}\nall: {{ toJson (omit .Values \"iter8\") }}\n",
		"templates/NOTES.txt": "kind: never read\n",
	})
	manifests, err := NewRenderer().Manifests(input(c, nil))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(manifests).To(HaveExactElements(HaveField("Object", Equal(map[string]any{
		"apiVersion": "v1", "kind": "A", "port": int64(8000), "million": int64(1000000),
		"all": map[string]any{"port": int64(8000), "million": int64(1000000)},
	}))))
}

func TestUserValuesGoOverTheChartsOwn(t *testing.T) {
	g := NewWithT(t)
	c := chartOf(t, map[string]string{
		"values.yaml":      "a: {one: 1, two: 2}\nb: kept\n",
		"templates/a.yaml": "apiVersion: v1\nkind: A\nout: {{ omit .Values \"iter8\" | toJson }}\n",
	})
	manifests, err := NewRenderer().Manifests(input(c, values(t, "{a: {two: 3}, c: new}")))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(manifests[0].Object["out"]).To(Equal(map[string]any{
		"a": map[string]any{"one": int64(1), "two": int64(3)}, "b": "kept", "c": "new",
	}))
}

func TestManifestsAreInTheOrderOfTheirFilesAndOfTheirPlaceTherein(t *testing.T) {
	g := NewWithT(t)
	document := func(name string) string { return "apiVersion: v1\nkind: A\nmetadata: {name: " + name + "}\n" }
	c := chartOf(t, map[string]string{
		"templates/z.yaml":       document("six"),
		"templates/a.yaml":       document("two") + "---\n" + document("one") + "---\n",
		"templates/m/b.yaml":     document("four"),
		"templates/m/a.yaml":     document("three"),
		"templates/n.yaml":       document("five"),
		"templates/_helpers.tpl": `{{ define "never" }}` + document("never") + "{{ end }}",
	})
	for range 10 {
		manifests, err := NewRenderer().Manifests(input(c, nil))
		g.Expect(err).NotTo(HaveOccurred())
		var names []string
		for _, m := range manifests {
			names = append(names, m.GetName())
		}
		g.Expect(names).To(Equal([]string{"two", "one", "three", "four", "five", "six"}))
	}
}

func TestRenderingChangesNothingThatItIsGiven(t *testing.T) {
	g := NewWithT(t)
	files := map[string]string{
		"values.yaml":        "a: {one: 1, two: 2}\nlist: [1]\n",
		"values.schema.json": `{"type": "object", "properties": {"a": {"type": "object"}}}`,
		"templates/a.yaml": `{{ $_ := set .Values "a" "overwritten" }}{{ $_ := set .Values.deep "x" "overwritten" }}` +
			`{{ $_ := unset .Values.iter8 "variants" }}` + echo(".Values.deep.x"),
	}
	given := func() Input {
		return input(chartOf(t, files), values(t, "{a: {two: null, three: {four: 4}}, deep: {x: 1}}"))
	}
	in := given()
	for range 2 {
		manifests, err := NewRenderer().Manifests(in)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(manifests[0].Object["out"]).To(Equal("overwritten"), "templates may change their own copy")
	}
	want := given()
	g.Expect(in.Values).To(Equal(want.Values))
	g.Expect(in.Chart.Values).To(Equal(want.Chart.Values))
	g.Expect(in.Chart.Templates).To(Equal(want.Chart.Templates))
	in.Chart, want.Chart = nil, nil
	g.Expect(in).To(Equal(want))
}

func TestTwoRendersShareNothing(t *testing.T) {
	g := NewWithT(t)
	in := inline(values(t, "{a: {b: 1}}"), echo(".Values.a"))
	first, err := NewRenderer().Manifests(in)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(unstructured.SetNestedField(first[0].Object, "changed", "out", "b")).To(Succeed())
	second, err := NewRenderer().Manifests(in)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(second[0].Object["out"]).To(Equal(map[string]any{"b": int64(1)}))
}

func TestTheReservedKeyIsNotTheUsers(t *testing.T) {
	for name, value := range map[string]string{
		"set to something": "{iter8: {variants: []}}",
		"set to nothing":   "{iter8: null}",
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			for _, in := range []Input{inline(values(t, value), ""), input(chartOf(t, nil), values(t, value))} {
				_, err := NewRenderer().Manifests(in)
				g.Expect(err).To(MatchError(ErrInvalidValues))
				g.Expect(err).To(MatchError(ContainSubstring(`the key "iter8" is reserved for the state of the variants; remove it from spec.values`)))
			}
		})
	}
}

func TestTheStateGoesOverWhatAChartPutsUnderTheReservedKey(t *testing.T) {
	g := NewWithT(t)
	c := chartOf(t, map[string]string{
		"values.yaml":      "iter8: {policy: {name: chart}, variants: []}\n",
		"templates/a.yaml": echo("list .Values.iter8.policy.name (len .Values.iter8.variants)"),
	})
	manifests, err := NewRenderer().Manifests(input(c, nil))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(manifests[0].Object["out"]).To(Equal([]any{"policy", int64(2)}))
}

func TestATemplateThatFailsIsNamed(t *testing.T) {
	for name, test := range map[string]struct{ template, message string }{
		"it doesn't parse":            {"{{ if }}", "missing value for if"},
		"it calls what isn't there":   {"{{ nonesuch }}", `function "nonesuch" not defined`},
		"it fails on purpose":         {`{{ fail "no such thing" }}`, "no such thing"},
		"it requires a value":         {`{{ required "hosts are required" .Values.hosts }}`, "hosts are required"},
		"it requires a text":          {`{{ required "hosts are required" "" }}`, "hosts are required"},
		"it looks into nothing":       {"{{ .Values.a.b.c }}", "nil pointer evaluating"},
		"one of its functions panics": {`{{ repeat -1 "x" }}`, "negative Repeat count"},
		"it divides by zero":          {`{{ div 1 0 }}`, "divide by zero"},
		"it calls itself forever":     {`{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" . }}`, "exceeded maximum template depth"},
		"it renders no object":        {"just words", "document 1 is a YAML string, not a Kubernetes object"},
	} {
		for kind, in := range map[string]Input{
			"of a chart":  input(chartOf(t, map[string]string{"templates/one": test.template}), nil),
			"of a policy": inline(nil, test.template),
		} {
			t.Run(kind+" "+name, func(t *testing.T) {
				g := NewWithT(t)
				var manifests []*unstructured.Unstructured
				var err error
				g.Expect(func() { manifests, err = NewRenderer().Manifests(in) }).NotTo(Panic())
				g.Expect(err).To(MatchError(And(ContainSubstring("one"), ContainSubstring(test.message))))
				g.Expect(err).NotTo(MatchError(ErrInvalidValues))
				g.Expect(manifests).To(BeNil())
			})
		}
	}
}

func TestATemplateMayRenderNothing(t *testing.T) {
	g := NewWithT(t)
	g.Expect(NewRenderer().Manifests(inline(nil, `{{ if (index .Values.iter8.variants 1).available }}kind: A{{ end }}`))).To(BeEmpty())
	g.Expect(NewRenderer().Manifests(input(chartOf(t, nil), nil))).To(BeEmpty(), "a chart without templates")
}

func TestErrorsAreTheSameEveryTime(t *testing.T) {
	g := NewWithT(t)
	c := chartOf(t, map[string]string{
		"templates/a.yaml": "words", "templates/b.yaml": "words", "templates/c.yaml": "words",
	})
	for range 20 {
		_, err := NewRenderer().Manifests(input(c, nil))
		g.Expect(err).To(MatchError("template a.yaml: document 1 is a YAML string, not a Kubernetes object"))
	}
}

func TestTheVersionOfKubernetesThatTemplatesGetToSee(t *testing.T) {
	for name, test := range map[string]struct{ given, want string }{
		"is Helm's, where none is given":        {"", chartutil.DefaultCapabilities.KubeVersion.Version},
		"is the one that is given":              {"v1.29.3", "v1.29.3"},
		"may be given without its letter":       {"1.29", "v1.29"},
		"goes without what a distribution adds": {"v1.29.3-gke.1", "v1.29.3"},
	} {
		t.Run(name, func(t *testing.T) {
			in := input(chartOf(t, map[string]string{"templates/one.yaml": echo(".Capabilities.KubeVersion.Version")}), nil)
			in.KubeVersion = test.given
			NewWithT(t).Expect(out(t, in)).To(matchOut(test.want))
		})
	}

	in := inline(nil, echo("1"))
	in.KubeVersion = "newest"
	_, err := NewRenderer().Manifests(in)
	NewWithT(t).Expect(err).To(MatchError(ContainSubstring(`the version of Kubernetes, "newest": `)))
}
