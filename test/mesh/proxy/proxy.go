// Package proxy is an xDS-driven test proxy: a small HTTP proxy that istiod configures as it would Envoy, for
// tests of mirroring with requests over real sockets. It is not Envoy, and does of what Envoy does only what
// these tests are about:
//
//	istiod ──ADS──▶ client ──▶ state ──▶ Snapshot      clusters with their endpoints, route configurations
//	                                        │ atomic
//	client ──HTTP/1.1, h2c──▶ Listen ──▶ forward ──▶ upstream
//	                                        └──▶ copies: fire and forget
//
// Virtual hosts, matches, weights, mirror policies with their fractions, header edits, prefix rewrites, direct
// responses, redirects and timeouts of routes are honoured as Envoy's documentation of them says. There are no
// retries, no TLS, no outlier detection, and no load balancing but a random choice among healthy endpoints.
// Configuration that would change where a request goes, and that the proxy can't read, it refuses.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

const (
	// mirrorTimeout is how long a copy may take, from its first byte to the last of the answer.
	mirrorTimeout = 15 * time.Second
	// mirrorLimit is how many copies may be under way; further ones are lost.
	mirrorLimit = 512
	// idleConnections are kept to each endpoint.
	idleConnections = 64
)

// Options says who the proxy is, and who configures it.
type Options struct {
	// XDSAddress is where istiod serves xDS in plain text, as host:port.
	XDSAddress string
	// Node is what the proxy tells istiod of itself.
	Node Node
	// Dice decides every random choice: the same number, the same choices.
	Dice uint64
}

// Proxy is a running test proxy.
type Proxy struct {
	snapshot atomic.Pointer[Snapshot]
	dice     *dice
	counters *counters
	http1    *http.Transport
	http2    *http.Transport
	copies   chan struct{} // a place for each copy under way

	connection *grpc.ClientConn
	cancel     context.CancelFunc
	background sync.WaitGroup

	mu       sync.Mutex
	changed  chan struct{} // closed with each new snapshot
	servers  []*http.Server
	refusals []string
}

// Start starts a proxy, which asks istiod for its configuration in the background until Close.
func Start(options Options) (*Proxy, error) {
	connection, err := grpc.NewClient(options.XDSAddress, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxResponse)))
	if err != nil {
		return nil, fmt.Errorf("making a client of istiod: %w", err)
	}
	p := newProxy(options.Dice)
	p.connection = connection
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel = cancel
	client := &adsClient{node: options.Node.proto(), state: newState(p.counters), accept: p.accept, refuse: p.refuse}
	p.background.Go(func() { client.run(ctx, connection) })
	return p, nil
}

// newProxy is a proxy that nobody configures.
func newProxy(start uint64) *Proxy {
	p := &Proxy{
		dice:     newDice(start),
		counters: newCounters(),
		http1:    transport(func(p *http.Protocols) { p.SetHTTP1(true) }),
		http2:    transport(func(p *http.Protocols) { p.SetUnencryptedHTTP2(true) }),
		copies:   make(chan struct{}, mirrorLimit),
		changed:  make(chan struct{}),
		cancel:   func() {},
	}
	p.snapshot.Store(&Snapshot{})
	return p
}

func transport(protocols func(*http.Protocols)) *http.Transport {
	t := &http.Transport{
		MaxIdleConnsPerHost: idleConnections,
		DisableCompression:  true, // requests go as they came
		Protocols:           &http.Protocols{},
	}
	protocols(t.Protocols)
	return t
}

// Listen serves a route configuration (such as "8000" for the port of a Service, or "http.80" for that of a
// gateway) on an address, with HTTP/1.1 and h2c. It returns the address that it listens on, as host:port.
func (p *Proxy) Listen(address, routeConfiguration string) (string, error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return "", fmt.Errorf("listening for the requests of %s: %w", routeConfiguration, err)
	}
	protocols := &http.Protocols{}
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.serve(w, r, routeConfiguration) }),
		Protocols:         protocols,
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0),
	}
	p.mu.Lock()
	p.servers = append(p.servers, server)
	p.mu.Unlock()
	p.background.Go(func() { _ = server.Serve(listener) }) // ends with an error, always
	return listener.Addr().String(), nil
}

// Close ends all that the proxy does. Requests under way are cut off.
func (p *Proxy) Close() error {
	p.cancel()
	p.mu.Lock()
	servers := p.servers
	p.mu.Unlock()
	var errs []error
	for _, server := range servers {
		errs = append(errs, server.Close())
	}
	p.background.Wait()
	p.http1.CloseIdleConnections()
	p.http2.CloseIdleConnections()
	if p.connection != nil {
		errs = append(errs, p.connection.Close())
	}
	return errors.Join(errs...)
}

// Snapshot is the configuration that requests are served by now.
func (p *Proxy) Snapshot() *Snapshot { return p.snapshot.Load() }

// Counters tells what the proxy has done so far.
func (p *Proxy) Counters() Counters { return p.counters.read() }

// Refusals are the reasons of all configuration that the proxy could not read.
func (p *Proxy) Refusals() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([]string(nil), p.refusals...)
}

// Wait returns as soon as the configuration satisfies the condition.
func (p *Proxy) Wait(ctx context.Context, condition func(*Snapshot) bool) error {
	for {
		p.mu.Lock()
		changed := p.changed
		p.mu.Unlock()
		if condition(p.Snapshot()) {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the test proxy's configuration: %w", context.Cause(ctx))
		}
	}
}

// accept makes a snapshot the current one.
func (p *Proxy) accept(snapshot *Snapshot) {
	p.snapshot.Store(snapshot)
	p.mu.Lock()
	defer p.mu.Unlock()
	close(p.changed)
	p.changed = make(chan struct{})
}

func (p *Proxy) refuse(reason string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refusals = append(p.refusals, reason)
}
