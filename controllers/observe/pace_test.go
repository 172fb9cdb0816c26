package observe

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	gomegatypes "github.com/onsi/gomega/types"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/metadata"

	"iter8.tools/operator/controllers/watch"
)

// empty is a cluster in which nothing is found, and how often it was asked.
type empty struct {
	metadata.Getter
	asked     atomic.Int64
	unbounded atomic.Bool
}

func (e *empty) Resource(schema.GroupVersionResource) metadata.Getter { return e }

func (e *empty) Namespace(string) metadata.ResourceInterface { return e }

func (e *empty) Get(ctx context.Context, name string, _ metav1.GetOptions, _ ...string) (*metav1.PartialObjectMetadata, error) {
	e.asked.Add(1)
	if _, bounded := ctx.Deadline(); !bounded {
		e.unbounded.Store(true)
	}
	return nil, apierrors.NewNotFound(deployments.GroupResource(), name)
}

// TestWhatIsMissingIsLookedForEverLessOften counts the looks of one hour after the other. One resource is looked for after 3 s, and each
// time after twice as long: 3 s · (2^n - 1) have passed at the nth look, so that 10 come within the first hour, or 9, since each
// delay is longer by up to a fifth; 2 at the most in the second, by delays of 51 minutes, and 1 in each hour after that.
func TestWhatIsMissingIsLookedForEverLessOften(t *testing.T) {
	for name, test := range map[string]struct {
		resources int
		hours     []gomegatypes.GomegaMatcher
	}{
		"one resource": {1, []gomegatypes.GomegaMatcher{
			BeElementOf(int64(9), int64(10)), BeNumerically("<=", 2), BeNumerically("<=", 1), BeNumerically("<=", 1)}},
		"a hundred": {100, []gomegatypes.GomegaMatcher{
			And(BeNumerically(">=", 900), BeNumerically("<=", 1000)), BeNumerically("<=", 200), BeNumerically("<=", 100), BeNumerically("<=", 100)}},
		"ten thousand, as after a start, of which there are 5 looks a second": {10_000, []gomegatypes.GomegaMatcher{
			And(BeNumerically(">=", 17_000), BeNumerically("<=", 18_020)), BeNumerically("<=", 18_020)}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g, cluster := NewWithT(t), &empty{}
				ctx, cancel := context.WithCancel(t.Context())
				mapper := meta.NewDefaultRESTMapper(nil)
				mapper.Add(web.GroupVersionKind, meta.RESTScopeNamespace)
				u := newUnlabelled(cluster, mapper, func(watch.Name) bool { return true }, func(watch.Name) {})
				ended := make(chan struct{})
				go func() { u.run(ctx); close(ended) }()
				for i := range test.resources {
					missing := web
					missing.Object.Name = fmt.Sprint(i)
					u.lookUp(missing)
				}
				before := int64(0)
				for hour, looks := range test.hours {
					<-time.After(time.Hour)
					asked := cluster.asked.Load()
					g.Expect(asked-before).To(looks, "in hour %d", hour)
					before = asked
				}
				g.Expect(cluster.unbounded.Load()).To(BeFalse(), "a look that isn't answered would keep others from theirs")
				cancel()
				<-ended
			})
		})
	}
}

func TestAResourceIsLookedForSoonAgain(t *testing.T) {
	for name, test := range map[string]struct {
		then func(*world)
		soon bool
	}{
		"when nothing has changed, it isn't": {func(*world) {}, false},
		"when the Subject's spec changes": {func(w *world) {
			changed := subject("web", deployment("web"), service("other"))
			changed.Generation = 2
			w.follow(changed)
		}, true},
		"when its watch has shown it, and its end": {func(w *world) {
			w.create(deployments, aDeployment("web", "True"))
			w.Eventually(w.state(subject("web", deployment("web")))).Should(HaveField("State", Ready))
			w.delete(deployments, "web")
			w.Eventually(w.state(subject("web", deployment("web")))).ShouldNot(HaveField("State", Ready))
		}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			s := subject("web", deployment("web"))
			w.observed(s)
			for range 12 {
				w.unlabelled.look(t.Context(), web)
			}
			test.then(w)
			w.Eventually(func() int { w.Observe(s); return w.unlabelled.queue.NumRequeues(web) }).Should(BeNumerically(">", 0))
			if test.soon {
				w.Expect(w.unlabelled.queue.NumRequeues(web)).To(Equal(1), "as if it were missing since now")
			} else {
				w.Expect(w.unlabelled.queue.NumRequeues(web)).To(BeNumerically(">", 12))
			}
		})
	}
}
