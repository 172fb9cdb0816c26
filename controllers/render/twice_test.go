package render

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestWhatIsNotTheSameTwiceIsNamed(t *testing.T) {
	object := func(fields string) string { return "apiVersion: v1\nkind: A\nmetadata: {name: a}\n" + fields + "\n" }
	for name, test := range map[string]struct{ template, want string }{
		"a field":              {object("spec: {same: 1, id: {{ uuidv4 }}}"), "A a differs at spec.id;"},
		"the first of several": {object("spec: {z: {{ uuidv4 }}, b: [1, {c: {{ uuidv4 }}}]}"), "A a differs at spec.b[1].c;"},
		"a key":                {"{apiVersion: v1, kind: A, metadata: {name: a}, spec: {x{{ uuidv4 }}: 1}}", "A a differs at spec.x"},
		"a name":               {"apiVersion: v1\nkind: A\nmetadata: {name: {{ uuidv4 }}}\n", "object 1 differs at metadata.name;"},
		"an object of several": {object("") + "---\n" + object("id: {{ uuidv4 }}"), "A a differs at id;"},
		"a certificate":        {object(`cert: {{ (genCA "a" 1).Cert | b64enc }}`), "A a differs at cert;"},
		"a random text":        {object(`text: {{ randAlphaNum 20 }}`), "A a differs at text;"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			for _, in := range []Input{inline(nil, test.template), input(chartOf(t, map[string]string{"templates/a.yaml": test.template}), nil)} {
				_, err := NewRenderer().Twice(in)
				g.Expect(err).To(MatchError(ErrNonDeterministic))
				g.Expect(err).To(MatchError(ContainSubstring(test.want)))
			}
		})
	}
}

func TestWhatIsTheSameTwiceIsRendered(t *testing.T) {
	g := NewWithT(t)
	in := inline(values(t, "{a: {b: [1, 0.5, null, text, {c: {}}]}}"), echo(".Values.a"), `{{/* at `+"{{ uuidv4 }}"+` */}}`, "# {{ uuidv4 }}, which is no object\n")
	want, err := NewRenderer().Manifests(in)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(NewRenderer().Twice(in)).To(Equal(want))
}

func TestMoreObjectsTheSecondTimeAreNotTheSame(t *testing.T) {
	g := NewWithT(t)
	one, err := parse("{apiVersion: v1, kind: A}")
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(same(one, one)).To(Succeed())
	g.Expect(same(one, append(one, one...))).To(MatchError("not deterministic: rendered twice, there are 1 objects and then 2"))
}

func TestDifference(t *testing.T) {
	for name, test := range map[string]struct {
		a, b any
		want string
	}{
		"a type":               {map[string]any{"a": "1"}, map[string]any{"a": int64(1)}, "a"},
		"a map and a list":     {map[string]any{"a": map[string]any{}}, map[string]any{"a": []any{}}, "a"},
		"a list and a map":     {map[string]any{"a": []any{}}, map[string]any{"a": map[string]any{}}, "a"},
		"a field that is gone": {map[string]any{"a": map[string]any{"b": nil}}, map[string]any{"a": map[string]any{}}, "a.b"},
		"a field that is new":  {map[string]any{"a": map[string]any{}}, map[string]any{"a": map[string]any{"b": nil}}, "a"},
		"a list's length":      {map[string]any{"a": []any{}}, map[string]any{"a": []any{1.0}}, "a"},
		"a number":             {map[string]any{"a": []any{1.0, 2.0}}, map[string]any{"a": []any{1.0, 2.5}}, "a[1]"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			at, differs := difference(test.a, test.b, "")
			g.Expect(differs).To(BeTrue())
			g.Expect(at).To(Equal(test.want))
			_, differs = difference(test.a, test.a, "")
			g.Expect(differs).To(BeFalse())
		})
	}
}

func TestOutputIsBounded(t *testing.T) {
	g := NewWithT(t)
	_, err := NewRenderer().Manifests(inline(nil, `{{ repeat 4000000 "#" }}`, `{{ repeat 200000 "#" }}`))
	g.Expect(err).To(MatchError(ErrLimit))
	g.Expect(err).To(MatchError("render limit: the templates render 4200000 bytes, and at most 4194304 are allowed"))
	g.Expect(NewRenderer().Manifests(inline(nil, `{{ repeat 4000000 "#" }}`))).To(BeEmpty())
}
