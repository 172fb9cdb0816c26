package render

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	. "github.com/onsi/gomega"
	"helm.sh/helm/v3/pkg/chart"
)

const schema = `{
  "$defs": {"port": {"type": "integer", "minimum": 1}},
  "type": "object",
  "additionalProperties": false,
  "required": ["hosts"],
  "properties": {
    "iter8": {"type": "object", "required": ["subject", "policy", "variants"]},
    "hosts": {"type": "array", "items": {"type": "object", "required": ["name"], "properties": {"port": {"$ref": "#/$defs/port"}}}}
  }
}`

func TestValuesAreHeldAgainstTheChartsSchema(t *testing.T) {
	for name, test := range map[string]struct {
		values, message string
	}{
		"values that fit":                {"{hosts: [{name: a, port: 8000}]}", ""},
		"a number of the wrong type":     {"{hosts: [{name: a}, {name: b, port: http}]}", "hosts.1.port: got string, want integer"},
		"a number that is too small":     {"{hosts: [{name: a, port: 0}]}", "hosts.0.port: minimum: got 0, want 1"},
		"a field that is missing inside": {"{hosts: [{port: 80}]}", "hosts.0: missing property 'name'"},
		"a field that is missing at top": {"{}", "values: missing property 'hosts'"},
		"a field that nobody knows":      {"{hosts: [], host: a}", "values: additional properties 'host' not allowed"},
		"several things at once": {
			"{hosts: [{port: 0}]}", "hosts.0: missing property 'name'; hosts.0.port: minimum: got 0, want 1"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := chartOf(t, map[string]string{"values.schema.json": schema, "templates/a.yaml": ""})
			_, err := NewRenderer().Manifests(input(c, values(t, test.values)))
			if test.message == "" {
				g.Expect(err).NotTo(HaveOccurred())
				return
			}
			g.Expect(err).To(MatchError(ErrInvalidValues))
			g.Expect(err).To(MatchError("invalid values: chart web: " + test.message))
		})
	}
}

func TestAChartsOwnValuesCountForItsSchema(t *testing.T) {
	g := NewWithT(t)
	c := chartOf(t, map[string]string{"values.schema.json": schema, "values.yaml": "hosts: [{name: a, port: 80}]\n"})
	g.Expect(NewRenderer().Manifests(input(c, nil))).To(BeEmpty())
	c = chartOf(t, map[string]string{"values.schema.json": schema, "values.yaml": "hosts: [{name: a, port: 0}]\n"})
	_, err := NewRenderer().Manifests(input(c, nil))
	g.Expect(err).To(MatchError(ContainSubstring("hosts.0.port")))
}

func TestTheSchemaOfADependencyCountsForItsValues(t *testing.T) {
	g := NewWithT(t)
	c := chartOf(t, map[string]string{
		"charts/sub/Chart.yaml":         "apiVersion: v2\nname: sub\nversion: 0.1.0\n",
		"charts/sub/values.schema.json": `{"properties": {"port": {"type": "integer"}}}`,
	})
	g.Expect(NewRenderer().Manifests(input(c, values(t, "{sub: {port: 80}, port: any}")))).To(BeEmpty())
	_, err := NewRenderer().Manifests(input(c, values(t, "{sub: {port: http}}")))
	g.Expect(err).To(MatchError("invalid values: chart sub: port: got string, want integer"))
	g.Expect(err).To(MatchError(ErrInvalidValues))
}

func TestASchemaMayOnlyReferToItself(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		_, _ = w.Write([]byte("{}"))
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "schema.json")
	NewWithT(t).Expect(os.WriteFile(file, []byte("{}"), 0o600)).To(Succeed())

	for name, schema := range map[string]string{
		"not to an address":                     `{"properties": {"a": {"$ref": "` + server.URL + `/schema.json"}}}`,
		"not to a file":                         `{"properties": {"a": {"$ref": "file://` + file + `"}}}`,
		"not to a sibling":                      `{"properties": {"a": {"$ref": "other.json"}}}`,
		"not to a name that Helm takes for any": `{"properties": {"a": {"$ref": "urn:example:a"}}}`,
		"not dynamically":                       `{"properties": {"a": {"$dynamicRef": "` + server.URL + `/schema.json#a"}}}`,
		"not by another identity of its own":    `{"$id": "` + server.URL + `/", "properties": {"a": {"$ref": "schema.json"}}}`,
		"not to a language of another's":        `{"$schema": "` + server.URL + `/schema.json"}`,
		"not to a language in a file":           `{"$schema": "file://` + file + `"}`,
		"not to a language of another's, inside": `{"$defs": {"a": {"$id": "urn:example:a", "$schema": "` + server.URL + `/schema.json"}},
			"$ref": "#/$defs/a"}`,
	} {
		for chartName, files := range map[string]map[string]string{
			"web": {"values.schema.json": schema},
			"sub": {"charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 0.1.0\n", "charts/sub/values.schema.json": schema},
		} {
			t.Run(name+", in chart "+chartName, func(t *testing.T) {
				g := NewWithT(t)
				_, err := NewRenderer().Manifests(input(chartOf(t, files), values(t, "{sub: {a: 1}}")))
				g.Expect(err).To(MatchError(And(
					HavePrefix("values.schema.json of chart "+chartName+": "), ContainSubstring("a schema may only refer to itself, not to "))))
				g.Expect(err).NotTo(MatchError(ErrInvalidValues), "other values mend nothing")
				g.Expect(asked.Load()).To(BeZero())
			})
		}
	}
}

func TestTheWellKnownLanguagesOfSchemasAreAtHand(t *testing.T) {
	for _, language := range []string{
		"http://json-schema.org/draft-04/schema#", "http://json-schema.org/draft-06/schema#", "http://json-schema.org/draft-07/schema#",
		"https://json-schema.org/draft/2019-09/schema", "https://json-schema.org/draft/2020-12/schema",
	} {
		t.Run(language, func(t *testing.T) {
			g := NewWithT(t)
			c := chartOf(t, map[string]string{"values.schema.json": `{"$schema": "` + language + `", "properties": {"a": {"type": "string"}}}`})
			g.Expect(NewRenderer().Manifests(input(c, values(t, "{a: b}")))).To(BeEmpty())
			_, err := NewRenderer().Manifests(input(c, values(t, "{a: 1}")))
			g.Expect(err).To(MatchError("invalid values: chart web: a: got number, want string"))
		})
	}
}

func TestASchemaThatIsNoneIsNamed(t *testing.T) {
	for name, text := range map[string]string{
		"broken JSON":            "{",
		"a type that isn't any":  `{"type": "thing"}`,
		"JSON that is no schema": `[]`,
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			c := chartOf(t, map[string]string{"values.schema.json": text})
			for range 2 { // the second answer is remembered
				_, err := NewRenderer().Manifests(input(c, nil))
				g.Expect(err).To(MatchError(HavePrefix("values.schema.json of chart web: ")))
			}
		})
	}
}

func TestTwoChartsOfOneNameHaveTheirOwnSchemas(t *testing.T) {
	g := NewWithT(t)
	withSchema := func(of string) *chart.Chart {
		return chartOf(t, map[string]string{"values.schema.json": `{"properties": {"a": {"type": "` + of + `"}}}`})
	}
	strings, numbers := withSchema("string"), withSchema("integer")
	for range 2 {
		g.Expect(NewRenderer().Manifests(input(strings, values(t, "{a: text}")))).To(BeEmpty())
		_, err := NewRenderer().Manifests(input(numbers, values(t, "{a: text}")))
		g.Expect(err).To(MatchError("invalid values: chart web: a: got string, want integer"))
	}
}
