package dataplane

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// NumberHeader of a request tells it from all others of its caller.
	NumberHeader = "Number"
	// callTimeout is how long a caller waits for an answer.
	callTimeout = 30 * time.Second
)

// Caller sends requests to a host, by way of an Envoy.
type Caller struct {
	// Host is what it calls, such as "httpbin:8000".
	Host string
	// Address is where the Envoy takes its requests.
	Address string

	reused, fresh *http.Client // on connections that are used again, and on new ones
	sent          atomic.Int64
}

// Protocol that a Caller speaks.
type Protocol string

// The protocols.
const (
	HTTP1 Protocol = "HTTP/1.1"
	H2C   Protocol = "h2c"
)

// NewCaller returns a caller of a host, by way of the Envoy at an address.
func NewCaller(address, host string, protocol Protocol) *Caller {
	clients := func(t *http.Transport) *http.Client {
		if protocol == H2C {
			t.Protocols = &http.Protocols{}
			t.Protocols.SetUnencryptedHTTP2(true)
		}
		return &http.Client{Transport: t, Timeout: callTimeout}
	}
	return &Caller{
		Host: host, Address: address,
		reused: clients(&http.Transport{MaxIdleConnsPerHost: 64}),
		fresh:  clients(&http.Transport{DisableKeepAlives: true}),
	}
}

// SetTimeout sets how long the caller waits for an answer.
func (c *Caller) SetTimeout(d time.Duration) { c.reused.Timeout, c.fresh.Timeout = d, d }

// Close ends the connections.
func (c *Caller) Close() {
	c.reused.CloseIdleConnections()
	c.fresh.CloseIdleConnections()
}

// Request of a method to a path; headers as name, value, name, value….
func (c *Caller) Request(method, path, body string, headers ...string) *http.Request {
	r, err := http.NewRequestWithContext(context.Background(), method, "http://"+c.Address+path, strings.NewReader(body))
	if err != nil {
		panic(err) //nolint:forbidigo // the test that calls it is wrong
	}
	r.Host = c.Host
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

// Get is a request for a path.
func (c *Caller) Get(path string, headers ...string) *http.Request {
	return c.Request(http.MethodGet, path, "", headers...)
}

// Do sends a request, numbered, and returns which workload has answered, or what went wrong.
func (c *Caller) Do(request *http.Request) string { return c.do(c.reused, request) }

// DoFresh is Do on a new connection.
func (c *Caller) DoFresh(request *http.Request) string { return c.do(c.fresh, request) }

func (c *Caller) do(client *http.Client, request *http.Request) string {
	r := request.Clone(context.Background())
	if request.GetBody != nil {
		r.Body, _ = request.GetBody()
	}
	r.GetBody = nil // so that no body is sent twice
	r.Header.Set(NumberHeader, strconv.FormatInt(c.sent.Add(1), 10))
	response, err := client.Do(r)
	if err != nil {
		return err.Error()
	}
	defer response.Body.Close() //nolint:errcheck // it was read
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err.Error()
	case response.StatusCode != http.StatusOK:
		return fmt.Sprintf("%d: %s", response.StatusCode, body)
	default:
		return response.Header.Get(WorkloadHeader)
	}
}

// Send sends requests in turn, so many times in all, one after the other, and counts who answered.
func (c *Caller) Send(times int, requests ...*http.Request) map[string]int {
	answers := map[string]int{}
	for i := range times {
		answers[c.Do(requests[i%len(requests)])]++
	}
	return answers
}
