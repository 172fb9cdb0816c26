package render

import (
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/utils/lru"
)

const (
	// rememberedRenders is how many renders a Memory holds: the last few states of a thousand policies.
	rememberedRenders = 4096
	// largestRemembered is how many bytes of manifests are worth remembering for long at the most. Of larger ones, up to MaxOutput, a
	// few are: a policy has what it renders now and what it renders with every variant available looked at together, and a Worker
	// that answers late holds one answer for each policy.
	largestRemembered = 16 << 10
	largeRenders      = 8
)

// Memory renders each Input once, as long as it remembers it: a variant that comes and goes has the same few
// manifests rendered over and over. It may be used from several goroutines.
//
// What is built into the operator is rendered by a Renderer, everything else by a Worker.
type Memory struct {
	renderer *Renderer
	worker   Worker
	// renders and large are manifests as JSON, by the key of their request.
	renders, large *lru.Cache
}

// NewMemory returns an empty Memory.
func NewMemory(worker Worker) *Memory {
	return &Memory{renderer: NewRenderer(), worker: worker, renders: lru.New(rememberedRenders), large: lru.New(largeRenders)}
}

// Manifests returns the manifests of a request. See Worker for the errors of what isn't built in.
func (m *Memory) Manifests(request Request) ([]*unstructured.Unstructured, error) {
	for _, renders := range []*lru.Cache{m.renders, m.large} {
		if found, ok := renders.Get(request.Key); ok {
			return Decode(found.([]byte))
		}
	}
	var worker Worker = m.renderer
	if !request.Input.BuiltIn {
		worker = m.worker
	}
	data, err := worker.Render(request)
	if err != nil {
		return nil, err
	}
	if len(data) <= largestRemembered {
		m.renders.Add(request.Key, data)
	} else {
		m.large.Add(request.Key, data)
	}
	return Decode(data)
}
