package env

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strconv"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/sets"
	apirequest "k8s.io/apiserver/pkg/endpoints/request"
	"k8s.io/client-go/rest"
)

// Verdict is what becomes of a request. The zero value passes it.
type Verdict struct {
	// Refuse is the HTTP status to answer with in the apiserver's place, 0 for none.
	Refuse int
	// Drop ends the connection without an answer. The apiserver never sees the request.
	Drop bool
	// Answered is called once the apiserver has answered, before the client gets any of it.
	Answered func()
	// Delivered is called once the client has been sent the whole answer. It is not for watches.
	Delivered func()
}

// Hook judges a request before the apiserver sees it, and holds it up until it returns. Each request has a goroutine of
// its own. The context ends when the Proxy stops, and for anything but a write when the client is gone.
type Hook func(ctx context.Context, r Request) Verdict

// Proxy stands between one client and the apiserver, and does to requests what networks do, and crashes on either side.
//
//	client ──► Hook ──► record ──► apiserver
//	   ◄── Delivered ◄── Answered ◄───┘
//
// A write that has arrived goes on to the apiserver even if its client dies while the hook holds it up, as one does
// that is on its way in a network. Clients must identify themselves with tokens, since TLS ends here.
type Proxy struct {
	hook     Hook
	upstream *httputil.ReverseProxy
	requests *apirequest.RequestInfoFactory
	server   *httptest.Server
	cancel   context.CancelFunc

	mu     sync.Mutex
	passed []Request
}

// StartProxy starts a Proxy. A nil hook passes everything.
func (e *Environment) StartProxy(hook Hook) (*Proxy, error) {
	config := rest.AnonymousClientConfig(e.config)
	config.DisableCompression = true // that is between the client and the apiserver
	transport, err := rest.TransportFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a proxy's transport: %w", err)
	}
	target, err := url.Parse(e.config.Host)
	if err != nil {
		return nil, fmt.Errorf("parsing the apiserver's address: %w", err)
	}
	if hook == nil {
		hook = func(context.Context, Request) Verdict { return Verdict{} }
	}
	quiet := log.New(io.Discard, "", 0) // clients that die are what a Proxy is for
	running, cancel := context.WithCancel(context.Background())
	p := &Proxy{
		hook: hook, cancel: cancel,
		requests: &apirequest.RequestInfoFactory{APIPrefixes: sets.NewString("api", "apis"), GrouplessAPIPrefixes: sets.NewString("api")},
		upstream: &httputil.ReverseProxy{
			Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(target) },
			Transport: transport, FlushInterval: -1, ModifyResponse: answered, ErrorLog: quiet,
		},
	}
	p.server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(running, w, r) }))
	p.server.Config.ErrorLog = quiet
	p.server.Config.BaseContext = func(net.Listener) context.Context { return running }
	p.server.StartTLS()
	return p, nil
}

// Through returns a copy of a client's configuration that leads through the Proxy.
func (p *Proxy) Through(config *rest.Config) *rest.Config {
	through := rest.AnonymousClientConfig(config)
	through.Host, through.BearerToken = p.server.URL, config.BearerToken
	through.TLSClientConfig = rest.TLSClientConfig{
		CAData: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.server.Certificate().Raw}),
	}
	return unlimited(through)
}

// Requests returns what went on to the apiserver so far and the filter selects (nil selects all), in that order. A write of a client
// that is gone may still come.
func (p *Proxy) Requests(filter func(Request) bool) []Request {
	p.mu.Lock()
	defer p.mu.Unlock()
	selected := []Request{}
	for _, r := range p.passed {
		if filter == nil || filter(r) {
			selected = append(selected, r)
		}
	}
	return selected
}

// Stop ends all connections and waits until no request is being handled. It may be called again.
func (p *Proxy) Stop() {
	p.cancel()
	p.server.Close()
}

// serve handles one request, while the Proxy runs.
func (p *Proxy) serve(running context.Context, w http.ResponseWriter, r *http.Request) {
	request, err := p.parse(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	ctx := r.Context()
	if request.IsWrite() {
		data, err := readAll(r.Body)
		if err != nil { // it has not arrived as a whole
			panic(http.ErrAbortHandler) //nolint:forbidigo // this is how net/http ends a connection
		}
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
		// With a context that can end, ReverseProxy looks at nothing else to know of the client's end.
		detached, cancel := context.WithCancel(running)
		defer cancel()
		ctx = detached
	}
	verdict := p.hook(ctx, request)
	switch {
	case verdict.Drop, ctx.Err() != nil:
		panic(http.ErrAbortHandler) //nolint:forbidigo // this is how net/http ends a connection
	case verdict.Refuse != 0:
		http.Error(w, "refused by a proxy", verdict.Refuse)
		return
	}
	p.mu.Lock()
	p.passed = append(p.passed, request)
	p.mu.Unlock()
	p.upstream.ServeHTTP(w, r.WithContext(context.WithValue(ctx, verdictKey{}, verdict)))
	if verdict.Delivered != nil {
		verdict.Delivered()
	}
}

// verdictKey is the key of a request's Verdict in its context.
type verdictKey struct{}

// answered is called with the apiserver's answer, before the client gets it.
func answered(response *http.Response) error {
	verdict, _ := response.Request.Context().Value(verdictKey{}).(Verdict)
	if verdict.Delivered != nil {
		// An answer of known length is whole for the client with its last byte, not only when this handler has returned.
		data, err := readAll(response.Body)
		if err != nil {
			return err
		}
		response.Body, response.ContentLength = io.NopCloser(bytes.NewReader(data)), int64(len(data))
		response.Header.Set("Content-Length", strconv.Itoa(len(data)))
	}
	if verdict.Answered != nil {
		verdict.Answered()
	}
	return nil
}

func readAll(body io.ReadCloser) ([]byte, error) {
	data, err := io.ReadAll(body)
	return data, errors.Join(err, body.Close())
}

func (p *Proxy) parse(r *http.Request) (Request, error) {
	info, err := p.requests.NewRequestInfo(r)
	if err != nil {
		return Request{}, err
	}
	return Request{
		Time: time.Now(), Verb: info.Verb, URI: r.URL.RequestURI(),
		Group: info.APIGroup, Version: info.APIVersion, Resource: info.Resource, Subresource: info.Subresource,
		Namespace: info.Namespace, Name: info.Name,
	}, nil
}
