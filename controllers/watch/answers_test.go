package watch

import (
	"context"
	"sync"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	apiwatch "k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
)

// answers is a client whose lists and watches a test answers, when it wants. The fake one of client-go holds up all calls for one.
type answers struct {
	dynamic.NamespaceableResourceInterface
	streams bool

	mu    sync.Mutex
	list  func(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error)
	watch func(context.Context, metav1.ListOptions) (apiwatch.Interface, error)
}

// answering has a Set ask a client that lists one apple and opens each watch at once, if a test doesn't change that.
func answering(a *answers) func(*Options[*kept]) {
	if a.list == nil {
		a.list = lists()
	}
	if a.watch == nil {
		a.watch = opens
	}
	return func(o *Options[*kept]) { o.Client = a }
}

func (a *answers) Resource(schema.GroupVersionResource) dynamic.NamespaceableResourceInterface {
	return a
}
func (a *answers) Namespace(string) dynamic.ResourceInterface { return a }
func (a *answers) IsWatchListSemanticsUnSupported() bool      { return !a.streams }

func (a *answers) List(ctx context.Context, o metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	a.mu.Lock()
	list := a.list
	a.mu.Unlock()
	return list(ctx, o)
}

func (a *answers) Watch(ctx context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
	a.mu.Lock()
	watch := a.watch
	a.mu.Unlock()
	return watch(ctx, o)
}

// mend has all calls be answered well from now on.
func (a *answers) mend() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.list, a.watch = lists(), opens
}

// lists lists an apple in pages, which take as long each; without any in one that takes no time.
func lists(pages ...time.Duration) func(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	return func(ctx context.Context, o metav1.ListOptions) (*unstructured.UnstructuredList, error) {
		list := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "fruit.io/v1", "kind": "AppleList"}}
		list.SetResourceVersion("7")
		page := len(o.Continue)
		if page < len(pages) {
			if err := pass(ctx, pages[page]); err != nil {
				return nil, err
			}
		}
		if page+1 < len(pages) {
			list.SetContinue(o.Continue + "+")
			return list, nil
		}
		list.Items = []unstructured.Unstructured{*fruit(apples, "Apple", "test", "boskoop", "red")}
		return list, nil
	}
}

// opens opens a watch, which has the initial events where they are asked for.
func opens(_ context.Context, o metav1.ListOptions) (apiwatch.Interface, error) {
	events := apiwatch.NewRaceFreeFake()
	if o.SendInitialEvents != nil {
		events.Add(fruit(apples, "Apple", "test", "boskoop", "red"))
		end := &unstructured.Unstructured{Object: map[string]any{"apiVersion": "fruit.io/v1", "kind": "Apple"}}
		end.SetResourceVersion("8")
		end.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
		events.Action(apiwatch.Bookmark, end)
	}
	return events, nil
}

// begins opens a watch that has no events.
func begins(context.Context, metav1.ListOptions) (apiwatch.Interface, error) {
	return apiwatch.NewRaceFreeFake(), nil
}

// pass returns once a time has passed, or with the error of the context.
func pass(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// noticed is after how long it is known that all that a list brought is in the store, for which client-go looks every 100 ms.
const noticed = 200 * time.Millisecond

const never = 365 * 24 * time.Hour

// hangs answers no list.
func hangs(ctx context.Context, _ metav1.ListOptions) (*unstructured.UnstructuredList, error) {
	return nil, pass(ctx, never)
}

// hangsToWatch answers no watch.
func hangsToWatch(ctx context.Context, _ metav1.ListOptions) (apiwatch.Interface, error) {
	return nil, pass(ctx, never)
}

// until lets the bubble's clock go on until a time, and all happen that does by then.
func until(at time.Time) {
	<-time.After(time.Until(at))
	synctest.Wait()
}

// says matches the state of what is read, or isn't, and counts as unreadable since a time.
func says(synced bool, words string, since time.Time) gomegatypes.GomegaMatcher {
	return And(HaveField("Synced", synced), HaveField("Err", And(MatchError(ErrUnavailable), MatchError(words))), HaveField("UnreadableSince", since))
}
