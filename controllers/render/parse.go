package render

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strings"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// parse reads the manifests in what a template rendered; documents without content give none. Integers stay
// integers, a key that stands twice is an error.
func parse(rendered string) ([]*unstructured.Unstructured, error) {
	if strings.TrimSpace(rendered) == "" {
		return nil, nil
	}
	var manifests []*unstructured.Unstructured
	documents := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(rendered)))
	for n := 1; ; n++ {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return manifests, nil
		}
		if err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		json, err := yaml.YAMLToJSONStrict(document)
		if err != nil {
			return nil, fmt.Errorf("document %d is not YAML: %w", n, err)
		}
		var content any
		if err := utiljson.Unmarshal(json, &content); err != nil {
			return nil, fmt.Errorf("document %d: %w", n, err)
		}
		switch content := content.(type) {
		case nil:
		case map[string]any:
			if len(content) == 0 {
				continue
			}
			m := &unstructured.Unstructured{Object: content}
			if m.GetAPIVersion() == "" || m.GetKind() == "" {
				return nil, fmt.Errorf("document %d has no apiVersion or no kind, so it is not a Kubernetes object", n)
			}
			manifests = append(manifests, m)
		default:
			return nil, fmt.Errorf("document %d is a YAML %s, not a Kubernetes object", n, yamlType(content))
		}
	}
}

func yamlType(content any) string {
	switch content.(type) {
	case []any:
		return "list"
	case string:
		return "string"
	case bool:
		return "boolean"
	default:
		return "number"
	}
}
