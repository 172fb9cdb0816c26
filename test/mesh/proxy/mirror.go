package proxy

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
)

// mirror sends a copy of a request on its way, and returns at once. Nobody waits for its answer, and
// whatever goes wrong with it is only counted.
func (p *Proxy) mirror(snapshot *Snapshot, to *Mirror, original *http.Request, body []byte) {
	to.traffic.copies.Add(1)
	cluster := snapshot.Cluster(to.Cluster)
	endpoint, err := p.endpoint(cluster)
	if err != nil {
		to.traffic.lost.Add(1)
		return
	}
	select {
	case p.copies <- struct{}{}:
	default: // as many as may be are under way
		to.traffic.lost.Add(1)
		return
	}
	// The client may be answered, and gone, before the copy is through.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(original.Context()), mirrorTimeout)
	request := original.Clone(ctx)
	request.URL.Host = endpoint
	request.Host = to.hostOf(original.Host)
	request.Body = io.NopCloser(bytes.NewReader(body))
	if len(body) == 0 {
		request.Body = http.NoBody
	}
	transport := p.transport(cluster, original)
	go func() {
		defer func() { <-p.copies }()
		defer cancel()
		if err := exchange(transport, request); err != nil {
			to.traffic.lost.Add(1)
		}
	}()
}

// exchange sends a request and reads its answer to the end.
func exchange(transport http.RoundTripper, request *http.Request) error {
	response, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("sending a copy: %w", err)
	}
	_, err = io.Copy(io.Discard, response.Body)
	if closing := response.Body.Close(); err == nil {
		err = closing
	}
	return err
}

// hostOf is the Host of a copy. Envoy appends -shadow to it, unless told not to.
func (m *Mirror) hostOf(host string) string {
	if m.host != "" {
		return m.host
	}
	if !m.suffix {
		return host
	}
	if name, port, err := net.SplitHostPort(host); err == nil {
		return net.JoinHostPort(name+"-shadow", port)
	}
	return host + "-shadow"
}
