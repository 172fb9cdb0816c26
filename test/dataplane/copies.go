package dataplane

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

const (
	requestIDHeader    = "X-Request-Id"
	internalHeader     = "X-Envoy-Internal"
	forwardedForHeader = "X-Forwarded-For"
)

// RequestID is what an Envoy tells requests apart by. A copy has that of its original.
func (r Received) RequestID() string { return r.Header.Get(requestIDHeader) }

// IsCopy reports whether an Envoy has marked the request as sent on its own account, as it does with copies.
func (r Received) IsCopy() bool { return r.Header.Get(internalHeader) == "true" }

// CheckCopies returns nil if the copies are one of each original: with the same method, path, host, headers and body, but for
// what tells a copy from an original, "X-Envoy-Internal: true" and one more entry in X-Forwarded-For. All have been sent by
// one Caller, whose numbers tell them apart.
func CheckCopies(originals, copies []Received) error {
	byNumber := map[string]Received{}
	for _, o := range originals {
		number := o.Header.Get(NumberHeader)
		if _, twice := byNumber[number]; twice {
			return fmt.Errorf("request %s was received twice", number)
		}
		byNumber[number] = o
	}
	for _, c := range copies {
		number := c.Header.Get(NumberHeader)
		original, ok := byNumber[number]
		if !ok {
			return fmt.Errorf("request %s was copied twice, or without having been received", number)
		}
		if err := original.checkCopy(c); err != nil {
			return fmt.Errorf("the copy of request %s: %w", number, err)
		}
		delete(byNumber, number)
	}
	if len(byNumber) > 0 {
		return fmt.Errorf("%d of %d requests weren't copied", len(byNumber), len(originals))
	}
	return nil
}

func (r Received) checkCopy(c Received) error {
	switch ids := r.Header.Values(requestIDHeader); {
	case len(ids) != 1:
		return fmt.Errorf("the original has %d X-Request-Ids", len(ids))
	case !c.IsCopy():
		return fmt.Errorf("X-Envoy-Internal is %q", c.Header.Values(internalHeader))
	case len(r.Header.Values(internalHeader)) > 0:
		return fmt.Errorf("the original has an X-Envoy-Internal, %q", r.Header.Values(internalHeader))
	}
	before, after := r.forwardedFor(), c.forwardedFor()
	if len(after) != len(before)+1 || !slices.Equal(after[:len(before)], before) {
		return fmt.Errorf("X-Forwarded-For is %q, and the original's %q", after, before)
	}
	if is, want := c.sent(), r.sent(); !reflect.DeepEqual(is, want) {
		return fmt.Errorf("it is not the original:\n%+v\n%+v", is, want)
	}
	return nil
}

// sent is the request without what differs in a copy, and without what the Pod has made of it.
func (r Received) sent() Received {
	r.Header = r.Header.Clone()
	r.Header.Del(internalHeader)
	r.Header.Del(forwardedForHeader)
	return Received{Method: r.Method, Path: r.Path, Host: r.Host, Header: r.Header, Body: r.Body, Status: r.Status}
}

func (r Received) forwardedFor() []string {
	if r.Header.Get(forwardedForHeader) == "" {
		return []string{}
	}
	return strings.Split(r.Header.Get(forwardedForHeader), ",")
}
