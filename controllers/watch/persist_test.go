package watch

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
	"k8s.io/client-go/tools/cache"
	"k8s.io/utils/ptr"
)

// TestWhatCanNotBeReadIsReadWithinSecondsOfTheEndOfAFault is about a Reflector's delays, which grow to a minute.
func TestWhatCanNotBeReadIsReadWithinSecondsOfTheEndOfAFault(t *testing.T) {
	for name, verbs := range map[string][]string{
		"lists failed":             {"list"},
		"watches failed":           {"watch"},
		"lists and watches failed": {"list", "watch"},
	} {
		for lasted, duration := range map[string]time.Duration{"for half a minute": 30 * time.Second, "for ten minutes": 10 * time.Minute, "for an hour": time.Hour} {
			inBubble(t, name+" "+lasted, func(t *testing.T) {
				w := newWorld(t)
				defer w.stop()
				var failing atomic.Bool
				unwell := func() error {
					if failing.Load() {
						return apierrors.NewServiceUnavailable("not now")
					}
					return nil
				}
				for _, verb := range verbs {
					if verb == "list" {
						w.client.PrependReactor("list", "apples", func(clienttesting.Action) (bool, runtime.Object, error) { err := unwell(); return err != nil, nil, err })
					} else {
						w.client.PrependWatchReactor("apples", func(clienttesting.Action) (bool, apiwatch.Interface, error) {
							err := unwell()
							return err != nil, nil, err
						})
					}
				}
				w.set.Follow(someone, []Target{apple}, nil)
				<-time.After(time.Second) // of the bubble's clock
				w.Expect(w.state(apple)()).To(works())

				failing.Store(true)
				w.drop(apples)
				w.set.Follow(someone, nil, nil)
				w.set.Follow(someone, []Target{apple}, nil)
				<-time.After(duration)
				w.Expect(w.state(apple)().Err).To(MatchError(ErrUnavailable))
				failing.Store(false)
				<-time.After(10 * time.Second)
				w.Expect(w.state(apple)()).To(works())
			})
		}
	}
}

func TestWhatIsTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		err   error
		tries int
	}{
		"what succeeds isn't":              {nil, 1},
		"what is forbidden isn't":          {apierrors.NewForbidden(apples.GroupResource(), "", nil), 1},
		"what isn't there isn't":           {apierrors.NewNotFound(apples.GroupResource(), ""), 1},
		"a version that is too old isn't":  {apierrors.NewResourceExpired("too old"), 1},
		"an answer of a sick apiserver is": {apierrors.NewInternalError(errors.New("unwell")), 3},
		"too many requests are":            {apierrors.NewTooManyRequests("later", 0), 3},
		"a lost connection is":             {errors.New("EOF"), 3},
	} {
		inBubble(t, name, func(t *testing.T) {
			g, tries := NewWithT(t), 0
			err := persist(t.Context(), func() error {
				tries++
				if tries == 3 {
					return nil
				}
				return test.err
			})
			g.Expect(tries).To(Equal(test.tries))
			if test.tries == 3 {
				g.Expect(err).NotTo(HaveOccurred())
			} else {
				g.Expect(errors.Is(err, test.err)).To(BeTrue())
			}
		})
	}
}

func TestATryIsGivenUpAfterAWhile(t *testing.T) {
	inBubble(t, "after two minutes and a half", func(t *testing.T) {
		began, fault := time.Now(), errors.New("EOF")
		g := NewWithT(t)
		g.Expect(persist(t.Context(), func() error { return fault })).To(MatchError(fault))
		g.Expect(time.Since(began)).To(BeNumerically("~", 153*time.Second, 3*time.Second))
	})
}

func TestAnInformersCallsPersistButForAStreamedList(t *testing.T) {
	fault := errors.New("EOF")
	for name, test := range map[string]struct {
		call  func(cache.ListerWatcherWithContext, context.Context) error
		tries int
	}{
		"a list is made again": {func(c cache.ListerWatcherWithContext, ctx context.Context) error {
			_, err := c.ListWithContext(ctx, metav1.ListOptions{})
			return err
		}, 2},
		"a watch is": {func(c cache.ListerWatcherWithContext, ctx context.Context) error {
			_, err := c.WatchWithContext(ctx, metav1.ListOptions{})
			return err
		}, 2},
		"a streamed list isn't, since a list takes its place": {func(c cache.ListerWatcherWithContext, ctx context.Context) error {
			_, err := c.WatchWithContext(ctx, metav1.ListOptions{SendInitialEvents: ptr.To(true)})
			if errors.Is(err, fault) {
				return nil
			}
			return errors.New("it was made again")
		}, 1},
	} {
		inBubble(t, name, func(t *testing.T) {
			g, tries := NewWithT(t), 0
			try := func() error {
				tries++
				if tries == 1 {
					return fault
				}
				return nil
			}
			calls := Persistent(&cache.ListWatch{
				ListWithContextFunc:  func(context.Context, metav1.ListOptions) (runtime.Object, error) { return nil, try() },
				WatchFuncWithContext: func(context.Context, metav1.ListOptions) (apiwatch.Interface, error) { return nil, try() },
			})
			g.Expect(test.call(cache.ToListerWatcherWithContext(calls), t.Context())).To(Succeed())
			g.Expect(tries).To(Equal(test.tries))
		})
	}
}
