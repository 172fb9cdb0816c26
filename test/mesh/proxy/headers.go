package proxy

import (
	"fmt"
	"net/http"
	"strings"

	corev3 "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
)

// headerEdits change headers: those of the innermost scope (a cluster of a route) first, then the route's,
// the virtual host's and the route configuration's, as in Envoy.
type headerEdits []func(http.Header)

func (e headerEdits) apply(h http.Header) {
	for _, edit := range e {
		edit(h)
	}
}

// newHeaderEdits compiles what is to be removed, and then to be added.
func newHeaderEdits(add []*corev3.HeaderValueOption, remove []string) (headerEdits, error) {
	var edits headerEdits
	for _, name := range remove {
		edits = append(edits, func(h http.Header) { h.Del(name) })
	}
	for _, option := range add {
		edit, err := headerEdit(option)
		if err != nil {
			return nil, err
		}
		edits = append(edits, edit)
	}
	return edits, nil
}

func headerEdit(option *corev3.HeaderValueOption) (func(http.Header), error) {
	name, value := option.GetHeader().GetKey(), option.GetHeader().GetValue()
	if strings.Contains(strings.ReplaceAll(value, "%%", ""), "%") {
		return nil, fmt.Errorf("header %s: the test proxy doesn't format values: %q", name, value)
	}
	value = strings.ReplaceAll(value, "%%", "%")
	action := option.GetAppendAction()
	if deprecated := option.GetAppend(); deprecated != nil && !deprecated.GetValue() { //nolint:staticcheck // Istio may still set it
		action = corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD
	}
	has := func(h http.Header) bool { return len(h.Values(name)) > 0 }
	switch action {
	case corev3.HeaderValueOption_APPEND_IF_EXISTS_OR_ADD:
		return func(h http.Header) { h.Add(name, value) }, nil
	case corev3.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD:
		return func(h http.Header) { h.Set(name, value) }, nil
	case corev3.HeaderValueOption_ADD_IF_ABSENT:
		return func(h http.Header) {
			if !has(h) {
				h.Set(name, value)
			}
		}, nil
	case corev3.HeaderValueOption_OVERWRITE_IF_EXISTS:
		return func(h http.Header) {
			if has(h) {
				h.Set(name, value)
			}
		}, nil
	default:
		return nil, fmt.Errorf("header %s: the test proxy doesn't know %s", name, action)
	}
}
