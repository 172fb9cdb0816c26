package render

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/reason"
)

// What errors of a Worker wrap, besides ErrInvalidValues. All but ErrPending carry the reason of the condition Rendered.
var (
	// ErrPending says that the render isn't done yet. The Worker notifies the policy when it is.
	ErrPending = errors.New("the render is not done yet")
	// ErrLimit says that a render takes more than it may have. Trying again doesn't help.
	ErrLimit = reason.New(iter8v1alpha1.ReasonRenderLimit, "render limit")
	// ErrNonDeterministic says that the same input renders to different manifests.
	ErrNonDeterministic = reason.New(iter8v1alpha1.ReasonNonDeterministic, "not deterministic")
	// ErrUnavailable says that nothing can be rendered now. Trying again may help.
	ErrUnavailable = reason.New(iter8v1alpha1.ReasonRenderUnavailable, "the render worker is unavailable")
)

// Request is a render that a Worker is asked for.
type Request struct {
	// Input to render.
	Input Input
	// ChartDigest stands for the content of the input's chart, and is empty where it has none.
	ChartDigest string
	// Encoded is the input without its chart, as JSON, with the chart's digest; see Decode.
	Encoded []byte
	// Key is the digest of Encoded: it stands for the whole request.
	Key [sha256.Size]byte
}

// Worker renders what is not trusted to render in this process.
type Worker interface {
	// Render returns the manifests of a request, as a list in JSON. It doesn't wait for long: it returns ErrPending, and
	// the answer to the same request once it has notified the policy.
	Render(request Request) ([]byte, error)
}

// Render renders at once, as a Worker that trusts what it is asked for.
func (r *Renderer) Render(request Request) ([]byte, error) {
	manifests, err := r.Manifests(request.Input)
	if err != nil {
		return nil, err
	}
	return Encode(manifests)
}

// encoded is an Input without its chart, and what stands for that.
type encoded struct {
	Chart string
	Input
}

// NewRequest asks for an input to be rendered. The digest stands for the content of the input's chart, and is empty where it has none.
func NewRequest(chartDigest string, in Input) (Request, error) {
	without := in
	without.Chart = nil
	data, err := json.Marshal(encoded{chartDigest, without}) // a map's keys are sorted in JSON
	if err != nil {
		return Request{}, fmt.Errorf("%w: %w", ErrInvalidValues, err)
	}
	return Request{Input: in, ChartDigest: chartDigest, Encoded: data, Key: sha256.Sum256(data)}, nil
}
