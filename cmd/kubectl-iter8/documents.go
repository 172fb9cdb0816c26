package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	yamlv3 "go.yaml.in/yaml/v3"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"

	"iter8.tools/operator/conversion"
)

// document is one of the documents of a file.
type document struct {
	text string
	// offset is how many lines of the file come before it.
	offset int
	// json documents may be indented by tabs, which YAML doesn't take.
	json bool
	// root is only for lines, and read when the first one is asked for.
	root *yamlv3.Node
}

// split parts a file into its documents: at lines that begin with ---, or where one JSON object ends and the next
// begins.
func split(data []byte) []*document {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if documents, ok := splitJSON(data); ok {
		return documents
	}
	var documents []*document
	lines := strings.SplitAfter(string(data), "\n")
	begin := 0
	add := func(end int) {
		if text := strings.Join(lines[begin:end], ""); strings.TrimSpace(text) != "" {
			documents = append(documents, &document{text: text, offset: begin})
		}
		begin = end
	}
	for i, line := range lines {
		if line = strings.TrimRight(line, "\r\n"); line == "---" || strings.HasPrefix(line, "--- ") {
			add(i)
		}
	}
	add(len(lines))
	return documents
}

// splitJSON takes files that are JSON from beginning to end.
func splitJSON(data []byte) ([]*document, bool) {
	if !bytes.HasPrefix(bytes.TrimSpace(data), []byte("{")) {
		return nil, false
	}
	var documents []*document
	for decoder := json.NewDecoder(bytes.NewReader(data)); decoder.More(); {
		var object json.RawMessage
		if err := decoder.Decode(&object); err != nil {
			return nil, false
		}
		begin := int(decoder.InputOffset()) - len(object)
		documents = append(documents, &document{text: string(object), offset: bytes.Count(data[:begin], []byte("\n")), json: true})
	}
	return documents, true
}

// parse returns what the document holds. Integers stay integers.
func (d *document) parse() (any, error) {
	data := []byte(d.text)
	if !d.json {
		var err error
		if data, err = yaml.YAMLToJSON(data); err != nil {
			return nil, err
		}
	}
	var content any
	err := utiljson.Unmarshal(data, &content)
	return content, err
}

// lines are the document's lines as conversion.Locate takes them.
func (d *document) lines() *yamlv3.Node {
	if d.root == nil {
		d.root = &yamlv3.Node{}
		if err := yamlv3.Unmarshal([]byte(d.text), d.root); err != nil {
			d.root = &yamlv3.Node{} // the line is then that of the document
		}
	}
	return d.root
}

// line in which something in the document begins, counted in the document.
func (d *document) line(steps []any) int {
	_, line := conversion.Locate(d.lines(), steps...)
	return line
}

// at is FILE:LINE for a line of the document; zero means its first.
func (d *document) at(file string, line int) string {
	return fmt.Sprintf("%s:%d", file, d.offset+max(line, 1))
}
