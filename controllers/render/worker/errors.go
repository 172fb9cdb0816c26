package worker

import (
	"errors"
	"fmt"
	"strings"

	"iter8.tools/operator/controllers/render"
)

// The limits of a render; all wrap render.ErrLimit.
var (
	// ErrTimeout: it takes too long.
	ErrTimeout = fmt.Errorf("%w: time", render.ErrLimit)
	// ErrMemory: it takes too much memory.
	ErrMemory = fmt.Errorf("%w: memory", render.ErrLimit)
	// ErrRecursion: templates call each other without an end.
	ErrRecursion = fmt.Errorf("%w: recursion", render.ErrLimit)
	// ErrTooLarge: the chart, the values or what is rendered is too large.
	ErrTooLarge = fmt.Errorf("%w: size", render.ErrLimit)
	// ErrDied: the child died of it in another way.
	ErrDied = fmt.Errorf("%w: the render worker died", render.ErrLimit)
)

// maxMessage is how many bytes of an error's text are passed on.
const maxMessage = 4 << 10

// sentinels are what errors of the child wrap, by the kind of the frame that they come in.
var sentinels = map[byte]error{
	frameInvalidValues:    render.ErrInvalidValues,
	frameNonDeterministic: render.ErrNonDeterministic,
	frameTooLarge:         ErrTooLarge,
	frameError:            nil,
}

// kindOf gives the kind of the frame that an error is sent in.
func kindOf(err error) byte {
	switch {
	case errors.Is(err, render.ErrInvalidValues):
		return frameInvalidValues
	case errors.Is(err, render.ErrNonDeterministic):
		return frameNonDeterministic
	case errors.Is(err, render.ErrLimit):
		return frameTooLarge
	default:
		return frameError
	}
}

// remoteError is an error of the child, with its words.
type remoteError struct {
	message  string
	sentinel error
}

func (e *remoteError) Error() string { return e.message }

func (e *remoteError) Unwrap() error { return e.sentinel }

// encodeError keeps the beginning of a message that is too long, and its end: the one says where, the other what.
func encodeError(err error) []byte {
	message := err.Error()
	if len(message) > maxMessage {
		const gap = " ... "
		half := (maxMessage - len(gap)) / 2
		message = strings.ToValidUTF8(message[:half]+gap+message[len(message)-half:], "")
	}
	return []byte(message)
}
