package render

import (
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Encode writes manifests as a list in JSON.
func Encode(manifests []*unstructured.Unstructured) ([]byte, error) {
	contents := make([]map[string]any, 0, len(manifests))
	for _, m := range manifests {
		contents = append(contents, m.Object)
	}
	return json.Marshal(contents)
}

// Decode reads what Encode wrote. Integers stay integers.
func Decode(data []byte) ([]*unstructured.Unstructured, error) {
	var contents []map[string]any
	if err := utiljson.Unmarshal(data, &contents); err != nil {
		return nil, fmt.Errorf("reading rendered manifests: %w", err)
	}
	manifests := make([]*unstructured.Unstructured, 0, len(contents))
	for _, content := range contents {
		manifests = append(manifests, &unstructured.Unstructured{Object: content})
	}
	return manifests, nil
}

// DecodeInput reads the Encoded of a Request: the input without its chart, and the chart's digest.
func DecodeInput(data []byte) (in Input, chartDigest string, err error) {
	var e encoded
	if err := utiljson.Unmarshal(data, &e); err != nil {
		return Input{}, "", fmt.Errorf("reading what to render: %w", err)
	}
	return e.Input, e.Chart, nil
}
