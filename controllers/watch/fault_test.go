package watch

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	clienttesting "k8s.io/client-go/testing"
)

var (
	errBroken  = apierrors.NewInternalError(errors.New("etcd"))
	errRefused = &url.Error{Op: "Get", URL: "https://10.0.0.1:6443/apis/fruit.io/v1/apples?timeoutSeconds=423", Err: &net.OpError{
		Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}}
)

// unavailable matches the state of a target that has failed since a time for a cause that may pass by itself.
func unavailable(synced bool, words string, since time.Time) func(State) bool {
	return func(s State) bool {
		return s.Synced == synced && errors.Is(s.Err, ErrUnavailable) && s.Err.Error() == words && !s.UnreadableSince.Before(since) && !s.Pending()
	}
}

func TestAFirstTryThatFailsIsNotTold(t *testing.T) {
	for name, err := range map[string]error{"the apiserver fails": errBroken, "the connection is refused": errRefused} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			w.create("test", "boskoop", "red")
			var tries atomic.Int32
			w.client.PrependReactor("list", "apples", func(clienttesting.Action) (bool, runtime.Object, error) {
				return tries.Add(1) == 1, nil, err
			})
			w.set.Follow(someone, []Target{apple}, nil)
			w.Eventually(tries.Load).Should(BeNumerically(">", 0))
			w.Expect(w.state(apple)().Pending()).To(BeTrue())
			w.Eventually(w.state(apple)).Should(works())
			w.Expect(tries.Load()).To(Equal(int32(2)))
			w.Eventually(w.notified(someone)).Should(Equal(1), "that it is listed")
			w.Consistently(w.notified(someone), "4s").Should(Equal(1), "nor is it told later")
		})
	}
}

func TestAFirstListThatGoesOnFailingIsTold(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		words string
	}{
		"the apiserver fails":       {errBroken, "the apiserver answers with status 500: Internal error occurred: etcd"},
		"the connection is refused": {errRefused, "the apiserver can't be reached: connection refused"},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			w.create("test", "boskoop", "red")
			mend := w.refuse("list", apples, test.err)
			began := time.Now()
			w.set.Follow(someone, []Target{apple}, nil)
			w.Eventually(w.state(apple)).Should(Satisfy(unavailable(false, test.words, began)))
			since, told := w.state(apple)().UnreadableSince, w.notified(someone)
			w.Expect(since).To(BeTemporally("~", began, 2*time.Second), "the first try counts")
			w.Eventually(told).Should(Equal(1))
			tries := w.calls("list", apples)()
			w.Eventually(w.calls("list", apples)).Should(BeNumerically(">", tries))
			w.Consistently(told).Should(Equal(1), "nothing new is told")
			w.Expect(w.state(apple)().UnreadableSince).To(Equal(since))

			mend()
			w.Eventually(w.state(apple)).Should(works())
			w.Eventually(told).Should(Equal(3), "that it can be listed, and that it is")
			w.Expect(w.get("test", "boskoop")()).To(Equal("red"))
		})
	}
}

func TestWhatWasReadStaysWhileTheKindCanNotBeRead(t *testing.T) {
	for name, test := range map[string]struct {
		err, told error
		words     string
	}{
		"the apiserver fails":       {errBroken, ErrUnavailable, "the apiserver answers with status 500: Internal error occurred: etcd"},
		"the connection is refused": {errRefused, ErrUnavailable, "the apiserver can't be reached: connection refused"},
		"its CustomResourceDefinition is removed": {apierrors.NewNotFound(apples.GroupResource(), ""), ErrNotServed,
			"the cluster does not serve this kind"},
	} {
		inBubble(t, name, func(t *testing.T) {
			w := newWorld(t)
			w.create("test", "boskoop", "red")
			w.follow(someone, apple)
			w.Eventually(w.watching(apples)).Should(Equal(1))
			told := w.notified(someone)()
			mendList, mendWatch := w.refuse("list", apples, test.err), w.refuse("watch", apples, test.err)
			began := time.Now()
			w.drop(apples)
			w.Eventually(w.state(apple)).Should(And(HaveField("Synced", BeTrue()), HaveField("Err", And(MatchError(test.told), MatchError(test.words))),
				HaveField("UnreadableSince", BeTemporally(">=", began))))
			w.Expect(w.get("test", "boskoop")()).To(Equal("red"))
			w.Eventually(w.notified(someone)).Should(BeNumerically(">", told))

			told = w.notified(someone)()
			mendList()
			mendWatch()
			w.Eventually(w.state(apple)).Should(works())
			w.Eventually(w.notified(someone)).Should(BeNumerically(">", told))
			w.update("test", "boskoop", "green")
			w.Eventually(w.get("test", "boskoop")).Should(Equal("green"))
		})
	}
}

func TestANamespaceThatIsNotWatchedIsSaidToBeSo(t *testing.T) {
	w := newWorld(t, func(o *Options[*kept]) { o.Namespaces = []string{"test", "elsewhere"} })
	w.create("beyond", "boskoop", "red")
	nowhere := Equal(State{Err: ErrNotWatched})
	beyond := types.NamespacedName{Namespace: "beyond", Name: "boskoop"}
	expect := func() {
		w.Expect(w.set.State(apple, "beyond")).To(nowhere)
		found, state := w.set.Get(Name{apple, beyond})
		w.Expect(found).To(BeNil())
		w.Expect(state).To(nowhere)
		members, state := w.set.Members(apple, beyond)
		w.Expect(members).To(BeEmpty())
		w.Expect(state).To(nowhere)
	}
	expect()
	w.follow(someone, apple)
	expect()
	w.Expect(w.set.State(apple, "elsewhere").Err).NotTo(HaveOccurred())
	w.Expect(w.set.State(apple, "beyond").Pending()).To(BeFalse())
	cluster := apple
	cluster.ClusterScoped = true
	w.Expect(w.set.State(cluster, "").Pending()).To(BeTrue(), "what is cluster-scoped is in no namespace")
}

// TestAStreamedListThatFailsInTheMiddleIsTold has the apiserver begin each stream and fail then, as with a conversion webhook
// that doesn't answer: that the stream could be opened is no success.
func TestAStreamedListThatFailsInTheMiddleIsTold(t *testing.T) {
	t.Parallel()
	var mended atomic.Bool
	var calls atomic.Int32
	_, client := apiserver(t, func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		switch {
		case r.URL.Query().Get("watch") != "":
		case mended.Load():
			write(w, http.StatusGone, `{"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired", "code": 410}`)
			return // for a stream
		default:
			write(w, http.StatusInternalServerError, brokenStatus)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if !mended.Load() {
			_, _ = fmt.Fprintf(w, `{"type": "ERROR", "object": %s}`, brokenStatus)
			return
		}
		_, _ = fmt.Fprint(w, `{"type": "ADDED", "object": {"apiVersion": "fruit.io/v1", "kind": "Apple", "colour": "red", `+
			`"metadata": {"namespace": "test", "name": "boskoop", "resourceVersion": "7"}}}`,
			`{"type": "BOOKMARK", "object": {"apiVersion": "fruit.io/v1", "kind": "Apple", `+
				`"metadata": {"resourceVersion": "8", "annotations": {"k8s.io/initial-events-end": "true"}}}}`)
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
		case <-t.Context().Done():
		}
	})
	w := newWorld(t, func(o *Options[*kept]) { o.Client = client })
	w.mapper.serve(apple, apples, meta.RESTScopeNamespace)
	began := time.Now()
	w.set.Follow(someone, []Target{apple}, nil)
	w.Eventually(w.state(apple)).Should(Satisfy(unavailable(false, brokenWords, began)))
	since, tries := w.state(apple)().UnreadableSince, calls.Load()
	w.Eventually(calls.Load).Should(BeNumerically(">", tries))
	w.Consistently(w.state(apple)).Should(HaveField("UnreadableSince", Equal(since)))

	mended.Store(true)
	w.Eventually(w.state(apple)).Should(works())
	w.Expect(w.get("test", "boskoop")()).To(Equal("red"))
	w.set.Follow(someone, nil, nil)
}
