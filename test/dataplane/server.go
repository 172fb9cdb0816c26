package dataplane

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
)

const (
	// WorkloadHeader of an answer names the workload that it comes from.
	WorkloadHeader = "Workload"
	// maxBody is the size up to which the bodies of requests are recorded; of larger ones a digest is.
	maxBody = 256 << 10
)

// silent takes what net/http would log of connections that break; the tests break them.
var silent = log.New(io.Discard, "", 0)

// Received is a request that reached a Pod.
type Received struct {
	Pod    string
	Method string
	// Path has the query in it.
	Path   string
	Host   string
	Header http.Header
	// Body is the digest of one that is large.
	Body string
	At   time.Time
	// Proto is the protocol, such as HTTP/2.0.
	Proto string
	// Bytes of the answer's body, and its status; 0 where the connection was broken in its place.
	Bytes, Status int
}

// Behavior is how a workload's Pods answer. The zero value is with 200 at once.
type Behavior struct {
	// Refuses has no port open, while the Pod is Ready.
	Refuses bool
	// Breaks the connection in place of an answer.
	Breaks bool
	// Holds answers back until the channel is closed.
	Holds <-chan struct{}
	// Unread has bodies not read until the channel is closed.
	Unread <-chan struct{}
	// Delay of each answer.
	Delay time.Duration
	// Bytes that follow the workload's name in the answer.
	Bytes int
}

// Behave changes how a workload's Pods answer.
func (p *Pods) Behave(w Workload, b Behavior) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.behavior[w]
	p.behavior[w] = b
	if was.Refuses == b.Refuses {
		return
	}
	for _, s := range p.running {
		switch {
		case s.workload != w:
		case b.Refuses:
			s.close()
		default:
			p.open(s)
		}
	}
}

// handler notes what reaches a Pod, and answers by the workload's behavior with the workload's name.
func (p *Pods) handler(s *server) http.Handler {
	calls := healthServer()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		b := p.behavior[s.workload]
		p.mu.Unlock()
		if b.Unread != nil {
			p.hold(s.workload, b.Unread, r)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler) //nolint:forbidigo // net/http breaks the connection
		}
		answer := s.workload.Name + strings.Repeat(".", b.Bytes)
		status := http.StatusOK
		if b.Breaks {
			status, answer = 0, ""
		}
		p.note(s, r, body, Received{Bytes: len(answer), Status: status})
		if b.Holds != nil {
			p.hold(s.workload, b.Holds, r)
		}
		if b.Delay > 0 {
			select {
			case <-time.After(b.Delay):
			case <-r.Context().Done():
			}
		}
		if b.Breaks {
			panic(http.ErrAbortHandler) //nolint:forbidigo // net/http breaks the connection
		}
		w.Header().Set(WorkloadHeader, s.workload.Name)
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			r.Body = io.NopCloser(bytes.NewReader(body))
			calls.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, answer) // the client may have gone
	})
}

// hold returns when the channel is closed or the client has gone.
func (p *Pods) hold(w Workload, until <-chan struct{}, r *http.Request) {
	p.count(w, 1)
	defer p.count(w, -1)
	select {
	case <-until:
	case <-r.Context().Done():
	}
}

func (p *Pods) count(w Workload, held int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.held[w] += held
}

// note records a request, with what is said of its answer.
func (p *Pods) note(s *server, r *http.Request, body []byte, received Received) {
	text := string(body)
	if len(body) > maxBody {
		text = fmt.Sprintf("%d bytes, SHA-256 %x", len(body), sha256.Sum256(body))
	}
	received.Pod, received.At = s.pod, time.Now()
	received.Method, received.Path, received.Host, received.Proto = r.Method, r.URL.RequestURI(), r.Host, r.Proto
	received.Header, received.Body = r.Header.Clone(), text
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received[s.workload] = append(p.received[s.workload], received)
}

// Held is how many requests a workload has and doesn't answer, or doesn't read.
func (p *Pods) Held(w Workload) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.held[w]
}

// Received is all that has reached a workload, in order.
func (p *Pods) Received(w Workload) []Received {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.received[w])
}

// Count is how many requests have reached a workload.
func (p *Pods) Count(w Workload) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.received[w])
}

// Forget empties what Received and Count return of a workload.
func (p *Pods) Forget(w Workload) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.received, w)
}

// healthServer serves gRPC's health service.
func healthServer() http.Handler {
	s := grpc.NewServer()
	healthpb.RegisterHealthServer(s, health.NewServer())
	return s
}
