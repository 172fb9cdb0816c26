package mesh

import (
	"bytes"
	"io"
	"log"
	"net/http"
	"slices"
	"strings"
)

// variantHeader of an answer tells who gave it.
const variantHeader = "Variant"

// silent takes what net/http would log of connections that break; the tests break them.
var silent = log.New(io.Discard, "", 0)

// received is a request that reached a Pod.
type received struct {
	pod    string
	method string
	path   string // with its query
	host   string
	header http.Header
	body   string
}

// manners are how a variant's Pods answer.
type manners struct {
	breaks bool          // the connection, in place of an answer
	hangs  chan struct{} // until it is closed; nil means not at all
	hung   int           // handlers that do just now
}

// handler notes what reaches a Pod, and answers by the variant's manners with the variant's name.
func (f *fleet) handler(s *server) http.Handler {
	health := grpcServer()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			panic(http.ErrAbortHandler)
		}
		hangs, breaks := f.receive(s, r, string(body))
		switch {
		case breaks:
			panic(http.ErrAbortHandler)
		case hangs != nil:
			select {
			case <-hangs:
			case <-r.Context().Done():
			}
			f.behave(s.variant, func(m *manners) { m.hung-- })
		}
		w.Header().Set(variantHeader, s.variant.name)
		if strings.HasPrefix(r.Header.Get("Content-Type"), "application/grpc") {
			r.Body = io.NopCloser(bytes.NewReader(body))
			health.ServeHTTP(w, r)
			return
		}
		_, _ = io.WriteString(w, s.variant.name) // the client may have gone
	})
}

func (f *fleet) receive(s *server, r *http.Request, body string) (hangs chan struct{}, breaks bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.logs[s.variant] = append(f.logs[s.variant], received{
		pod: s.pod, method: r.Method, path: r.URL.RequestURI(), host: r.Host, header: r.Header.Clone(), body: body,
	})
	m := f.manners[s.variant]
	if m == nil {
		return nil, false
	}
	if m.hangs != nil {
		m.hung++
	}
	return m.hangs, m.breaks
}

// behave changes how a variant's Pods answer.
func (f *fleet) behave(v variant, change func(*manners)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.manners[v] == nil {
		f.manners[v] = &manners{}
	}
	change(f.manners[v])
}

// hung is how many requests a variant holds and doesn't answer.
func (f *fleet) hung(v variant) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if m := f.manners[v]; m != nil {
		return m.hung
	}
	return 0
}

// received is all that has reached a variant, in order.
func (f *fleet) received(v variant) []received {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.logs[v])
}

// forget empties the log of a variant.
func (f *fleet) forget(v variant) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.logs, v)
}
