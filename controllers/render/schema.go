package render

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
	"helm.sh/helm/v3/pkg/chart"
	"helm.sh/helm/v3/pkg/chartutil"
)

// schemas holds the compiled schema of each chart in use: compiling one takes longer than the rest of a
// render together. Charts in memory never change, so their address stands for their content.
var schemas sync.Map // *chart.Chart → *compiledSchema

type compiledSchema struct {
	once   sync.Once
	schema *jsonschema.Schema
	err    error
}

// validate checks values against the values.schema.json of a chart and of its dependencies.
func validate(c *chart.Chart, values chartutil.Values) error {
	if c.Schema != nil {
		entry, _ := schemas.LoadOrStore(c, &compiledSchema{})
		compiled := entry.(*compiledSchema)
		compiled.once.Do(func() { compiled.schema, compiled.err = compile(c.Schema) })
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
		if err := validate(dependency, sub); err != nil {
			return err
		}
	}
	return nil
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

// describe gives each violation as "path: what is wrong", joined by semicolons.
func describe(err error) string {
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return err.Error()
	}
	printer := message.NewPrinter(language.English)
	var violations []string
	var collect func(*jsonschema.ValidationError)
	collect = func(e *jsonschema.ValidationError) {
		if len(e.Causes) == 0 {
			where := strings.Join(e.InstanceLocation, ".")
			if where == "" {
				where = "values"
			}
			violations = append(violations, where+": "+e.ErrorKind.LocalizedString(printer))
		}
		for _, cause := range e.Causes {
			collect(cause)
		}
	}
	collect(invalid)
	return strings.Join(violations, "; ")
}
