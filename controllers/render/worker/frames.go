package worker

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A frame is a kind, the length of its content as four bytes, and the content.
const frameHeader = 5

// What operator and child send each other, by the first byte of a frame.
const (
	// frameReady: the child has its limits in place. Without content.
	frameReady = 'r'
	// frameInput: an input to render, as render.Request encodes it.
	frameInput = 'i'
	// frameSendChart: the child doesn't have the input's chart. Without content.
	frameSendChart = 's'
	// frameChart: that chart, as encodeChart writes it.
	frameChart = 'c'
	// frameManifests: what was rendered, as a list in JSON.
	frameManifests = 'm'
	// frameError and those below: why it could not be rendered.
	frameError = 'e'
	// frameInvalidValues: that wraps render.ErrInvalidValues.
	frameInvalidValues = 'v'
	// frameNonDeterministic: that wraps render.ErrNonDeterministic.
	frameNonDeterministic = 'n'
	// frameTooLarge: that wraps ErrTooLarge.
	frameTooLarge = 'l'
)

// maxFrame is what no frame is longer than: the largest is that of a chart, in base64.
const maxFrame = 2 * maxChart

var errFrame = errors.New("an unexpected frame")

func writeFrame(w *bufio.Writer, kind byte, content []byte) error {
	var header [frameHeader]byte
	header[0] = kind
	binary.BigEndian.PutUint32(header[1:], uint32(len(content))) //nolint:gosec // what is sent is measured before
	_, _ = w.Write(header[:])
	_, _ = w.Write(content)
	return w.Flush() // with the error of any Write
}

// readFrame gives io.EOF where the other side is gone.
func readFrame(r *bufio.Reader, limit uint32) (kind byte, content []byte, err error) {
	var header [frameHeader]byte
	if _, err := io.ReadFull(r, header[:]); err != nil {
		return 0, nil, err
	}
	length := binary.BigEndian.Uint32(header[1:])
	if length > limit {
		return 0, nil, fmt.Errorf("%w: of %d bytes", errFrame, length)
	}
	content = make([]byte, length)
	if _, err := io.ReadFull(r, content); err != nil {
		return 0, nil, err
	}
	return header[0], content, nil
}
