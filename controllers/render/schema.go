package render

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"weak"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
	"k8s.io/utils/lru"
)

// schemaCache holds the compiled schemas of the charts that were last used: compiling one takes longer than the rest
// of a render together. Charts in memory never change, so their address stands for their content.
type schemaCache struct {
	compiled *lru.Cache // weak.Pointer[chart.Chart] → *compiledSchema
}

func newSchemaCache() schemaCache { return schemaCache{lru.New(64)} }

type compiledSchema struct {
	once   sync.Once
	schema *jsonschema.Schema
	err    error
}

// validate checks values against the values.schema.json of a chart and of its dependencies.
func (s schemaCache) validate(c *chart.Chart, values chartutil.Values) error {
	if c.Schema != nil {
		compiled := s.schemaOf(c)
		if compiled.err != nil {
			return fmt.Errorf("values.schema.json of chart %s: %w", c.Name(), compiled.err)
		}
		if err := compiled.schema.Validate(values.AsMap()); err != nil {
			return fmt.Errorf("%w: chart %s: %s", ErrInvalidValues, c.Name(), describe(err))
		}
	}
	for _, dependency := range c.Dependencies() {
		sub, err := values.Table(dependency.Name())
		if err != nil {
			continue
		}
		if err := s.validate(dependency, sub); err != nil {
			return err
		}
	}
	return nil
}

func (s schemaCache) schemaOf(c *chart.Chart) *compiledSchema {
	key := weak.Make(c) // which doesn't keep the chart in memory
	entry, ok := s.compiled.Get(key)
	if !ok {
		entry = &compiledSchema{}
		s.compiled.Add(key, entry) // two at once each compile their own
	}
	compiled := entry.(*compiledSchema)
	compiled.once.Do(func() { compiled.schema, compiled.err = compile(c.Schema) })
	return compiled
}

func compile(schema []byte) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.UseLoader(refuseReferences{})
	const name = "chart:///values.schema.json"
	if err := compiler.AddResource(name, document); err != nil {
		return nil, err
	}
	return compiler.Compile(name)
}

// refuseReferences keeps a schema from reading files and addresses.
type refuseReferences struct{}

func (refuseReferences) Load(address string) (any, error) {
	return nil, fmt.Errorf("a schema may only refer to itself, not to %s", address)
}

// violation is a place in the values, and what is wrong there.
type violation struct {
	at   []string
	what string
}

// describe gives each violation as "path: what is wrong", joined by semicolons, in the order of the paths: the
// validator's own follows that of maps, and changes.
func describe(err error) string {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err.Error()
	}
	printer := message.NewPrinter(language.English)
	var violations []violation
	var collect func(*jsonschema.ValidationError)
	collect = func(e *jsonschema.ValidationError) {
		if additional, ok := e.ErrorKind.(*kind.AdditionalProperties); ok {
			slices.Sort(additional.Properties)
		}
		if len(e.Causes) == 0 {
			violations = append(violations, violation{e.InstanceLocation, e.ErrorKind.LocalizedString(printer)})
		}
		for _, cause := range e.Causes {
			collect(cause)
		}
	}
	collect(invalid)
	slices.SortStableFunc(violations, func(a, b violation) int {
		return cmp.Or(slices.Compare(a.at, b.at), cmp.Compare(a.what, b.what))
	})
	sentences := make([]string, 0, len(violations))
	for _, v := range violations {
		sentences = append(sentences, cmp.Or(strings.Join(v.at, "."), "values")+": "+v.what)
	}
	return strings.Join(slices.Compact(sentences), "; ")
}
