package render

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	utiljson "k8s.io/apimachinery/pkg/util/json"
	"k8s.io/utils/lru"
)

const (
	// rememberedRenders is how many renders a Memory holds: the last few states of a thousand policies.
	rememberedRenders = 4096
	// largestRemembered is how many bytes of manifests are worth remembering at the most.
	largestRemembered = 16 << 10
)

// Memory renders each Input once, as long as it remembers it: a variant that comes and goes has the same few
// manifests rendered over and over. It may be used from several goroutines.
type Memory struct {
	renders *lru.Cache // digest of the input → manifests as JSON
}

// NewMemory makes an empty Memory.
func NewMemory() *Memory { return &Memory{renders: lru.New(rememberedRenders)} }

// Manifests is what the function of this name gives for the input. The digest stands for the content of the
// input's chart, and is empty where it has none.
func (m *Memory) Manifests(chartDigest string, in Input) ([]*unstructured.Unstructured, error) {
	key, err := digest(chartDigest, in)
	if err != nil {
		return Manifests(in)
	}
	if found, ok := m.renders.Get(key); ok {
		return decode(found.([]byte))
	}
	manifests, err := Manifests(in)
	if err != nil {
		return nil, err
	}
	if data, err := json.Marshal(manifests); err == nil && len(data) <= largestRemembered {
		m.renders.Add(key, data)
	}
	return manifests, nil
}

// digest is of the whole input; a map's keys are sorted in JSON.
func digest(chartDigest string, in Input) ([sha256.Size]byte, error) {
	in.Chart = nil
	data, err := json.Marshal(struct {
		Chart string
		Input
	}{chartDigest, in})
	if err != nil {
		return [sha256.Size]byte{}, err
	}
	return sha256.Sum256(data), nil
}

func decode(data []byte) ([]*unstructured.Unstructured, error) {
	var contents []map[string]any
	if err := utiljson.Unmarshal(data, &contents); err != nil {
		return nil, fmt.Errorf("reading remembered manifests: %w", err)
	}
	manifests := make([]*unstructured.Unstructured, 0, len(contents))
	for _, content := range contents {
		manifests = append(manifests, &unstructured.Unstructured{Object: content})
	}
	return manifests, nil
}
