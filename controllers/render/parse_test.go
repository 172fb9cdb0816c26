package render

import (
	"testing"

	. "github.com/onsi/gomega"
)

func TestParse(t *testing.T) {
	a, b := map[string]any{"apiVersion": "v1", "kind": "A"}, map[string]any{"apiVersion": "v1", "kind": "B"}
	for name, test := range map[string]struct {
		rendered string
		want     []map[string]any
	}{
		"nothing":                                {"", nil},
		"white space":                            {" \n\t\n", nil},
		"comments":                               {"# nothing\n# at all\n", nil},
		"separators":                             {"---\n---\n\n---\n", nil},
		"an empty object":                        {"{}\n", nil},
		"an explicit null":                       {"null\n", nil},
		"a document":                             {"apiVersion: v1\nkind: A\n", []map[string]any{a}},
		"a document without a newline":           {"apiVersion: v1\nkind: A", []map[string]any{a}},
		"a document in JSON":                     {`{"apiVersion": "v1", "kind": "A"}`, []map[string]any{a}},
		"several documents":                      {"apiVersion: v1\nkind: A\n---\napiVersion: v1\nkind: B\n", []map[string]any{a, b}},
		"documents with empty ones between them": {"---\n# first\n---\napiVersion: v1\nkind: A\n---\n\n--- # none\n---\napiVersion: v1\nkind: B\n---\n", []map[string]any{a, b}},
		"integers, and other numbers": {
			"{apiVersion: v1, kind: A, port: 8000, million: 1000000, negative: -1, fraction: 0.5, large: 1e3, text: '80'}",
			[]map[string]any{{"apiVersion": "v1", "kind": "A", "port": int64(8000), "million": int64(1000000), "negative": int64(-1), "fraction": 0.5, "large": int64(1000), "text": "80"}},
		},
		"a separator inside a text": {
			"apiVersion: v1\nkind: A\ntext: |\n  one\n  ---\n  two\n",
			[]map[string]any{{"apiVersion": "v1", "kind": "A", "text": "one\n---\ntwo\n"}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			manifests, err := parse(test.rendered)
			g.Expect(err).NotTo(HaveOccurred())
			var got []map[string]any
			for _, m := range manifests {
				got = append(got, m.Object)
			}
			g.Expect(got).To(Equal(test.want))
		})
	}
}

func TestWhatIsNoManifestIsAnError(t *testing.T) {
	for name, test := range map[string]struct{ rendered, message string }{
		"a key that stands twice":         {"apiVersion: v1\nkind: A\nkind: B\n", `"kind" already set in map`},
		"a key that stands twice, deeply": {"apiVersion: v1\nkind: A\nspec: {a: {b: 1, b: 2}}\n", `"b" already set in map`},
		"broken YAML":                     {"apiVersion: v1\nkind: A\n---\n}", "document 2 is not YAML"},
		"a list":                          {"- apiVersion: v1\n  kind: A\n", "document 1 is a YAML list, not a Kubernetes object"},
		"a text":                          {"hello", "document 1 is a YAML string, not a Kubernetes object"},
		"a number":                        {"1", "document 1 is a YAML number, not a Kubernetes object"},
		"a fraction":                      {"0.5", "document 1 is a YAML number, not a Kubernetes object"},
		"a boolean":                       {"true", "document 1 is a YAML boolean, not a Kubernetes object"},
		"no kind":                         {"apiVersion: v1", "document 1 has no apiVersion or no kind, so it is not a Kubernetes object"},
		"no apiVersion":                   {"kind: A", "document 1 has no apiVersion or no kind, so it is not a Kubernetes object"},
		"a kind that is no text":          {"{apiVersion: v1, kind: 1}", "document 1 has no apiVersion or no kind, so it is not a Kubernetes object"},
		"an object and something else":    {"apiVersion: v1\nkind: A\n---\nhello\n", "document 2 is a YAML string, not a Kubernetes object"},
		"words after a separator":         {"apiVersion: v1\nkind: A\n--- words\n", "document 1: "},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			manifests, err := parse(test.rendered)
			g.Expect(err).To(MatchError(ContainSubstring(test.message)))
			g.Expect(manifests).To(BeNil())
		})
	}
}
