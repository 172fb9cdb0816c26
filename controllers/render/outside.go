package render

import (
	"crypto/sha256"
	"encoding/json"
	"errors"

	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
	"iter8.tools/operator/controllers/reason"
)

// What errors of a Worker wrap, besides ErrInvalidValues. All but ErrPending carry the reason of the condition Rendered.
var (
	// ErrPending says that the render isn't done yet. Whoever listens to the Worker is told when it is.
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
	// Render gives the manifests of a request, as a list in JSON. It doesn't wait for long, but gives ErrPending,
	// and the answer to the same request once whoever listens has been told.
	Render(request Request) ([]byte, error)
	// Listen has fn called with each policy that was told ErrPending, as soon as there is an answer. fn must not
	// block.
	Listen(fn func(policy types.NamespacedName))
}

// InProcess is a Worker that trusts everything. It is for tests, and for tools that render what is their user's own.
type InProcess struct{}

// Render renders at once.
func (InProcess) Render(request Request) ([]byte, error) {
	manifests, err := Manifests(request.Input)
	if err != nil {
		return nil, err
	}
	return Encode(manifests)
}

// Listen never calls fn: nothing is ever pending.
func (InProcess) Listen(func(types.NamespacedName)) {}

// encoded is an Input without its chart, and what stands for that.
type encoded struct {
	Chart string
	Input
}

// NewRequest asks for an input to be rendered.
func NewRequest(chartDigest string, in Input) (Request, error) {
	without := in
	without.Chart = nil
	data, err := json.Marshal(encoded{chartDigest, without}) // a map's keys are sorted in JSON
	if err != nil {
		return Request{}, err
	}
	return Request{Input: in, ChartDigest: chartDigest, Encoded: data, Key: sha256.Sum256(data)}, nil
}
