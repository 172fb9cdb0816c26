package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	corev1 "k8s.io/api/core/v1"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/conversion"
)

// extensions of the files that are read in folders.
var extensions = []string{".yaml", ".yml", ".json"}

// readFiles gives the ConfigMaps that carry Iter8's label, in the order of the files.
func readFiles(names []string, recursive bool, stdin io.Reader, r *report) []source {
	var sources []source
	for _, name := range names {
		if name == "-" {
			data, err := io.ReadAll(stdin)
			if err != nil {
				r.fail("stdin", err.Error())
				continue
			}
			sources = append(sources, readFile("stdin", data, r)...)
			continue
		}
		files, err := filesIn(name, recursive)
		if err != nil {
			r.fail("", err.Error())
			continue
		}
		for _, file := range files {
			data, err := os.ReadFile(file) //nolint:gosec // the user names it
			if err != nil {
				r.fail("", err.Error())
				continue
			}
			sources = append(sources, readFile(file, data, r)...)
		}
	}
	return sources
}

// filesIn is the file itself, or of a folder the files with manifests in it.
func filesIn(name string, recursive bool) ([]string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if !info.IsDir() {
		return []string{name}, nil
	}
	var files []string
	err = filepath.WalkDir(name, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && path != name && !recursive:
			return fs.SkipDir
		case !entry.IsDir() && slices.Contains(extensions, filepath.Ext(path)):
			files = append(files, path)
		}
		return nil
	})
	return files, err
}

// readFile gives the ConfigMaps of one file that carry Iter8's label.
func readFile(file string, data []byte, r *report) []source {
	var sources []source
	for _, d := range split(data) {
		content, err := d.parse()
		if err != nil {
			line, message := conversion.ExplainSyntaxError(d.text, err)
			r.fail(d.at(file, line), "the document "+message)
			continue
		}
		sources = append(sources, d.configMaps(file, content, nil, r)...)
	}
	return sources
}

// configMaps finds Iter8's ConfigMaps in an object: itself, or the items of a list. Steps lead to the object.
func (d *document) configMaps(file string, content any, steps []any, r *report) []source {
	object, ok := content.(map[string]any)
	if !ok {
		if content != nil {
			r.fail(d.at(file, d.line(steps)), "is not a Kubernetes object: a mapping with apiVersion, kind and metadata")
		}
		return nil
	}
	kind, _ := object["kind"].(string)
	if items, ok := object["items"].([]any); ok && strings.HasSuffix(kind, "List") {
		var sources []source
		for i, item := range items {
			if fields, ok := item.(map[string]any); ok && kind == "ConfigMapList" && fields["kind"] == nil {
				fields["kind"] = "ConfigMap"
			}
			sources = append(sources, d.configMaps(file, item, append(slices.Clone(steps), "items", i), r)...)
		}
		return sources
	}
	metadata, _ := object["metadata"].(map[string]any)
	labels, _ := metadata["labels"].(map[string]any)
	if kind != "ConfigMap" || labels[iter8v1alpha1.ManagedByLabel] != conversion.ManagedByValue {
		name, _ := metadata["name"].(string)
		r.note(d.at(file, d.line(steps)), fmt.Sprintf("%s is left out: it is not one of Iter8's", strings.TrimSpace(kind+" "+name)))
		return nil
	}
	configMap := &corev1.ConfigMap{}
	written, err := json.Marshal(object)
	if err == nil {
		err = json.Unmarshal(written, configMap)
	}
	if err != nil {
		r.fail(d.at(file, d.line(steps)), "is not a ConfigMap that an apiserver accepts: "+explain(err))
		return nil
	}
	return []source{{
		configMap: configMap,
		locate: func(position conversion.Position) (string, conversion.Position) {
			return d.locate(file, steps, position)
		},
	}}
}

// locate turns a place in the value of a key into a line of the file, where the value is a block of lines; for
// other values it is the line of their key.
func (d *document) locate(file string, steps []any, position conversion.Position) (string, conversion.Position) {
	if position.Key == "" {
		return d.at(file, d.line(append(slices.Clone(steps), metadataSteps(position.Path)...))), position
	}
	value, line := conversion.Locate(d.lines(), append(slices.Clone(steps), "data", position.Key)...)
	if value != nil && value.Style&yamlv3.LiteralStyle != 0 && position.Line > 0 {
		line = conversion.FirstLine(value) + position.Line - 1
		position.Line = 0
	}
	return d.at(file, line), position
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
