package watch

import (
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"syscall"
	"testing"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"
)

// apiserver serves what a test has it answer, and returns a client of it.
func apiserver(t *testing.T, answer http.HandlerFunc) (*httptest.Server, dynamic.Interface) {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	client, err := dynamic.NewForConfig(&rest.Config{Host: server.URL, QPS: -1})
	NewWithT(t).Expect(err).NotTo(HaveOccurred())
	return server, client
}

// write answers with JSON.
func write(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(body))
}

const brokenStatus = `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 500, "reason": "InternalError", "message": ` +
	`"conversion webhook for fruit.io/v2, Kind=Apple failed: read tcp 10.1.2.3:45678->10.4.5.6:443: connection reset by peer"}`

const brokenWords = "the apiserver answers with status 500: " +
	"conversion webhook for fruit.io/v2, Kind=Apple failed: read tcp 10.4.5.6:443: connection reset by peer"

func TestTheWordsOfAFaultAreThoseOfTheNextTry(t *testing.T) {
	for name, test := range map[string]struct {
		answer http.HandlerFunc
		words  string
	}{
		"the apiserver fails": {func(w http.ResponseWriter, _ *http.Request) { write(w, http.StatusInternalServerError, brokenStatus) }, brokenWords},
		"the apiserver is overloaded": {func(w http.ResponseWriter, _ *http.Request) {
			write(w, http.StatusTooManyRequests, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 429, "reason": "TooManyRequests", "message": "later"}`)
		}, "the apiserver answers with status 429: later"},
		"a load balancer fails": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			_, _ = w.Write([]byte("<html>request 4711</html>"))
		}, "the apiserver answers with status 502 Bad Gateway"},
		"the connection is refused": {nil, "the apiserver can't be reached: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			server, client := apiserver(t, test.answer)
			if test.answer == nil {
				server.Close()
			}
			for range 2 {
				_, err := client.Resource(apples).List(t.Context(), metav1.ListOptions{})
				g.Expect(failure("list apples.fruit.io", err)).To(And(MatchError(ErrUnavailable), MatchError(err), MatchError(test.words)))
			}
		})
	}
}

func TestTheWordsOfAFaultHaveNothingThatDiffersFromTryToTry(t *testing.T) {
	dropped := &url.Error{Op: "Get", URL: "https://10.0.0.1:6443/apis/fruit.io/v1/apples?timeoutSeconds=423&watch=true", Err: io.EOF}
	reset := &url.Error{Op: "Get", URL: dropped.URL, Err: &net.OpError{Op: "read", Net: "tcp",
		Source: &net.TCPAddr{IP: net.IPv4(10, 1, 2, 3), Port: 45678}, Err: os.NewSyscallError("read", syscall.ECONNRESET)}}
	for name, test := range map[string]struct {
		err   error
		words string
	}{
		"a connection that is dropped": {dropped, "the apiserver can't be reached: EOF"},
		"one that is reset":            {reset, "the apiserver can't be reached: connection reset by peer"},
		"a name that isn't resolved": {errors.New("read udp 10.1.2.3:45678->10.96.0.10:53: i/o timeout"),
			"read udp 10.96.0.10:53: i/o timeout"},
		"an apiserver that goes away": {errors.New("http2: server sent GOAWAY and closed the connection; LastStreamID=1999, ErrCode=NO_ERROR"),
			"http2: server sent GOAWAY and closed the connection, ErrCode=NO_ERROR"},
		"a stream that breaks off": {errors.New("stream error: stream ID 45; INTERNAL_ERROR; received from peer"),
			"stream error: INTERNAL_ERROR; received from peer"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(failure("list apples.fruit.io", test.err)).To(And(MatchError(ErrUnavailable), MatchError(test.err), MatchError(test.words)))
		})
	}
}

func TestARefusalIsNoFault(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		words string
	}{
		"it may not be listed":    {apierrors.NewForbidden(apples.GroupResource(), "", errors.New("no")), "may not list apples.fruit.io: apples.fruit.io is forbidden: no"},
		"it isn't known who asks": {apierrors.NewUnauthorized("who?"), "may not list apples.fruit.io: who?"},
		"it isn't served":         {apierrors.NewNotFound(apples.GroupResource(), ""), "the cluster does not serve this kind"},
		"it is cluster-scoped":    {ErrClusterScoped, "the kind is cluster-scoped"},
	} {
		t.Run(name, func(t *testing.T) {
			NewWithT(t).Expect(failure("list apples.fruit.io", test.err)).To(And(MatchError(test.words), Not(MatchError(ErrUnavailable))))
		})
	}
}
