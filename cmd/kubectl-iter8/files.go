package main

import (
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"iter8.tools/operator/conversion"
)

// extensions of the files that are read in folders.
var extensions = []string{".yaml", ".yml", ".json"}

// fileOptions say which files to read.
type fileOptions struct {
	names     []string
	recursive bool
}

// An object of a file is a Kubernetes object: a document, or an item of a list.
type object struct {
	document *document
	file     string
	// steps lead to it in the document.
	steps  []any
	fields map[string]any
}

// read calls a function with the objects of the files, in their order.
func (o fileOptions) read(stdin io.Reader, r *report, visit func(object)) {
	for _, name := range o.names {
		if name == "-" {
			data, err := io.ReadAll(stdin)
			if err != nil {
				r.fail("stdin", err.Error())
				continue
			}
			readFile("stdin", data, r, visit)
			continue
		}
		files, err := filesIn(name, o.recursive)
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
			readFile(file, data, r, visit)
		}
	}
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

// readFile calls a function with the objects of one file.
func readFile(file string, data []byte, r *report, visit func(object)) {
	for _, d := range split(data) {
		content, err := d.parse()
		if err != nil {
			line, message := conversion.ExplainSyntaxError(d.text, err)
			r.fail(d.at(file, line), "the document "+message)
			continue
		}
		d.objects(file, content, nil, r, visit)
	}
}

// objects calls a function with an object, or with the items of a list. Steps lead to it.
func (d *document) objects(file string, content any, steps []any, r *report, visit func(object)) {
	fields, ok := content.(map[string]any)
	if !ok {
		if content != nil {
			r.fail(d.at(file, d.line(steps)), "is not a Kubernetes object: a mapping with apiVersion, kind and metadata")
		}
		return
	}
	kind, _ := fields["kind"].(string)
	of, isList := strings.CutSuffix(kind, "List")
	items, hasItems := fields["items"].([]any)
	if !isList || !hasItems {
		visit(object{d, file, steps, fields})
		return
	}
	for i, item := range items {
		if listed, ok := item.(map[string]any); ok && of != "" && listed["kind"] == nil {
			listed["kind"], listed["apiVersion"] = of, fields["apiVersion"]
		}
		d.objects(file, item, append(slices.Clone(steps), "items", i), r, visit)
	}
}

func (o object) kind() string {
	kind, _ := o.fields["kind"].(string)
	return kind
}

func (o object) metadata() map[string]any {
	metadata, _ := o.fields["metadata"].(map[string]any)
	return metadata
}

// String returns the kind and name, as far as it has them.
func (o object) String() string {
	name, _ := o.metadata()["name"].(string)
	return strings.TrimSpace(o.kind() + " " + name)
}

// at returns FILE:LINE of the object, or of a field in it.
func (o object) at(steps ...any) string {
	return o.document.at(o.file, o.document.line(append(slices.Clone(o.steps), steps...)))
}
