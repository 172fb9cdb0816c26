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
	// keptBytes is the size up to which the bodies of requests are kept; of larger ones only a digest is.
	keptBytes = 256 << 10
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
	// Bytes of the answer's body, and its status.
	Bytes, Status int
}

// Manners are how a workload's Pods answer. The zero value is with 200 at once.
type Manners struct {
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
func (p *Pods) Behave(w Workload, m Manners) {
	p.mu.Lock()
	defer p.mu.Unlock()
	was := p.manners[w]
	p.manners[w] = m
	if was.Refuses == m.Refuses {
		return
	}
	for _, s := range p.running {
		switch {
		case s.workload != w:
		case m.Refuses:
			s.close()
		default:
			p.open(s)
		}
	}
}

// handler notes what reaches a Pod, and answers by the workload's manners with the workload's name.
func (p *Pods) handler(s *server) http.Handler {
	calls := healthServer()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		m := p.manners[s.workload]
		p.mu.Unlock()
		if m.Unread != nil {
			p.hold(s.workload, m.Unread, r)
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		answer := s.workload.Name + strings.Repeat(".", m.Bytes)
		p.note(s, r, body, len(answer))
		if m.Breaks {
			panic(http.ErrAbortHandler)
		}
		if m.Holds != nil {
			p.hold(s.workload, m.Holds, r)
		}
		if m.Delay > 0 {
			select {
			case <-time.After(m.Delay):
			case <-r.Context().Done():
			}
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

func (p *Pods) note(s *server, r *http.Request, body []byte, answered int) {
	text := string(body)
	if len(body) > keptBytes {
		text = fmt.Sprintf("%d bytes, SHA-256 %x", len(body), sha256.Sum256(body))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.received[s.workload] = append(p.received[s.workload], Received{
		Pod: s.pod, Method: r.Method, Path: r.URL.RequestURI(), Host: r.Host, Header: r.Header.Clone(), Body: text,
		At: time.Now(), Bytes: answered, Status: http.StatusOK,
	})
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
