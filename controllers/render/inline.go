package render

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"text/template"

	"github.com/Masterminds/sprig/v3"
	"helm.sh/helm/v3/pkg/chartutil"
	"sigs.k8s.io/yaml"
)

// renderInline executes a policy's own templates, each by itself. They get Helm's .Values, .Release and
// .Capabilities, and what Iter8 gave to the templates of its routemaps: .Name, .Namespace, .Labels, .Weights,
// .NormalizedWeights, .Versions and .Variants.
//
// The functions are Go's own and Sprig's, where Sprig doesn't give another meaning to one of Go's, and Helm's
// for YAML and JSON. There is no tpl and no include, as Iter8 had none.
func renderInline(in Input, values chartutil.Values) (files map[string]string, err error) {
	current := ""
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("rendering: template: %s: %v", current, r)
		}
	}()
	data := inlineData(in, values)
	files = make(map[string]string, len(in.Templates))
	for _, t := range in.Templates {
		current = t.Name
		parsed, err := template.New(t.Name).Option("missingkey=zero").Funcs(inlineFunctions).Parse(t.Template)
		if err != nil {
			return nil, fmt.Errorf("rendering: %w", err)
		}
		var out strings.Builder
		if err := parsed.Execute(&out, data); err != nil {
			return nil, fmt.Errorf("rendering: %w", err)
		}
		files[t.Name] = strings.ReplaceAll(out.String(), "<no value>", "")
	}
	return files, nil
}

func inlineData(in Input, values chartutil.Values) map[string]any {
	data := map[string]any{
		"Values":       values["Values"],
		"Release":      values["Release"],
		"Capabilities": values["Capabilities"],
		"Name":         in.Policy,
		"Namespace":    in.Namespace,
		"Labels":       in.Labels,
	}
	weights := Weights(in.Variants)
	data["Weights"], data["NormalizedWeights"] = weights, weights
	variants := make([]any, 0, len(in.Variants))
	for _, v := range in.Variants {
		resources := make([]any, 0, len(v.Resources))
		for _, r := range v.Resources {
			resources = append(resources, map[string]any{"Kind": r.Kind, "Name": r.Name})
		}
		variants = append(variants, map[string]any{"Weight": v.Weight, "Resources": resources})
	}
	data["Versions"], data["Variants"] = variants, variants
	return data
}

// Weights gives the variants' weights as Iter8 reckoned them: 0 for one that isn't available, and 1 for the
// first where all would be 0.
func Weights(variants []Variant) []uint32 {
	weights := make([]uint32, len(variants))
	total := uint64(0)
	for i, v := range variants {
		if v.Available {
			weights[i] = uint32(v.Weight) //nolint:gosec // the API allows none below 0
			total += uint64(weights[i])
		}
	}
	if total == 0 && len(weights) > 0 {
		weights[0] = 1
	}
	return weights
}

// inlineFunctions are the functions that a policy's own templates may call.
var inlineFunctions = func() template.FuncMap {
	functions := sprig.TxtFuncMap()
	for _, name := range []string{
		"slice",                             // Go's own also takes strings
		"env", "expandenv", "getHostByName", // what surrounds the operator is none of a template's business
	} {
		delete(functions, name)
	}
	functions["toYaml"] = func(v any) (string, error) {
		data, err := yaml.Marshal(v)
		return strings.TrimSuffix(string(data), "\n"), err
	}
	functions["fromYaml"] = func(text string) (v map[string]any, err error) { return v, yaml.Unmarshal([]byte(text), &v) }
	functions["toJson"] = func(v any) (string, error) {
		data, err := json.Marshal(v)
		return string(data), err
	}
	functions["fromJson"] = func(text string) (v map[string]any, err error) { return v, json.Unmarshal([]byte(text), &v) }
	functions["required"] = func(message string, v any) (any, error) {
		if v == nil || v == "" {
			return nil, errors.New(message)
		}
		return v, nil
	}
	return functions
}()
