package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/conversion"
)

// readConfigMaps returns the ConfigMaps that carry Iter8's label, in the order of the files.
func readConfigMaps(files fileOptions, stdin io.Reader, r *report) []source {
	var sources []source
	files.read(stdin, r, func(o object) {
		if s, ok := configMapOf(o, r); ok {
			sources = append(sources, s)
		}
	})
	return sources
}

// configMapOf returns an object as a ConfigMap, and reports whether it is one of Iter8's.
func configMapOf(o object, r *report) (source, bool) {
	labels, _ := o.metadata()["labels"].(map[string]any)
	if o.kind() != "ConfigMap" || labels[iter8v1alpha1.ManagedByLabel] != conversion.ManagedByValue {
		r.note(o.at(), fmt.Sprintf("%s is left out: it is not one of Iter8's", o))
		return source{}, false
	}
	configMap := &corev1.ConfigMap{}
	written, err := json.Marshal(o.fields)
	if err == nil {
		err = json.Unmarshal(written, configMap)
	}
	if err != nil {
		r.fail(o.at(), "is not a ConfigMap that an apiserver accepts: "+explain(err))
		return source{}, false
	}
	return source{configMap: configMap, locate: o.locate}, true
}

// locate turns a place in the value of a key into a line of the file, where the value is a block of lines; for
// other values it is the line of their key.
func (o object) locate(position conversion.Position) (string, conversion.Position) {
	if position.Key == "" {
		return o.at(metadataSteps(position.Path)...), position
	}
	value, line := conversion.Locate(o.document.lines(), append(slices.Clone(o.steps), "data", position.Key)...)
	if value != nil && value.Style&yamlv3.LiteralStyle != 0 && position.Line > 0 {
		line = conversion.FirstLine(value) + position.Line - 1
		position.Line = 0
	}
	return o.document.at(o.file, line), position
}

// metadataSteps reads metadata.name and metadata.labels["a label"].
func metadataSteps(path string) []any {
	labels, label, isLabel := strings.Cut(path, "[")
	var steps []any
	for step := range strings.SplitSeq(labels, ".") {
		steps = append(steps, step)
	}
	if isLabel {
		steps = append(steps, strings.Trim(label, `]"`))
	}
	return steps
}

// explain names the field that has the wrong type.
func explain(err error) string {
	if wrong, ok := err.(*json.UnmarshalTypeError); ok { //nolint:errorlint // json doesn't wrap it
		return fmt.Sprintf("%s is a %s and must be a %s; put it in quotes if that is what is meant", wrong.Field, wrong.Value, wrong.Type)
	}
	return err.Error()
}
