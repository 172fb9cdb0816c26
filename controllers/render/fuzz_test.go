package render

import (
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// FuzzValues holds any values against any schema, of a chart and of a chart in it: whatever they are, it is decided
// the same way twice, without a panic, and what is rendered is the values.
func FuzzValues(f *testing.F) {
	for _, seed := range [][2]string{
		{schema, "hosts: [{name: a, port: 8000}]"}, {schema, "hosts: [{port: 0}]"}, {schema, "a: &a [1]\nb: *a"},
		{`{"$ref": "#"}`, "{}"}, {`{"$ref": "file:///etc/passwd"}`, "{}"}, {`{"$schema": "http://127.0.0.1:1/"}`, "{}"},
		{`{"$defs": {"a": {"$ref": "#/$defs/a"}}, "$ref": "#/$defs/a"}`, "{}"}, {`{"properties": {"a": {"pattern": "(a*)*"}}}`, "a: aaaa"},
		{`{"$id": "urn:a", "$dynamicRef": "#a", "unevaluatedProperties": false}`, "{sub: {a: 1}}"}, {"[]", "[]"}, {"true", "sub: null"},
		{`{"type": "object", "format": "regex"}`, "{a: 1e400}"}, {`{"multipleOf": 0.1, "maximum": 1e308}`, "a: .inf"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, schema, text string) {
		data, err := yaml.YAMLToJSON([]byte(text))
		if err != nil {
			return
		}
		var values map[string]any
		if utiljson.Unmarshal(data, &values) != nil || len(values) == 0 {
			return
		}
		if _, reserved := values["iter8"]; reserved || len(schema) > 4096 || strings.Contains(text, "null") || strings.Contains(text, "~") {
			return
		}
		g := NewWithT(t)
		c := chartOf(t, map[string]string{
			"values.schema.json":            schema,
			"charts/sub/Chart.yaml":         "apiVersion: v2\nname: sub\nversion: 0.1.0\n",
			"charts/sub/values.schema.json": schema,
			"templates/a.yaml":              "apiVersion: v1\nkind: A\nout: {{ .Values | toJson }}\n",
		})
		first, err := NewRenderer().Manifests(input(c, values))
		second, again := NewRenderer().Manifests(input(c, values))
		if err != nil {
			g.Expect(again).To(MatchError(err.Error()))
			return
		}
		g.Expect(again).NotTo(HaveOccurred())
		g.Expect(second).To(Equal(first))
		g.Expect(first[0].Object["out"]).To(HaveKey("iter8"))
	})
}
