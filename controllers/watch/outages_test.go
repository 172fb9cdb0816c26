package watch

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/metrics"
)

// log returns what was logged since it was asked last.
func (w *world) log() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	lines := w.logged
	w.logged = nil
	return lines
}

func TestWhatCanNotBeReadIsLoggedOnceAndCounted(t *testing.T) {
	const broken = ` "reason"="the apiserver answers with status 500: Internal error occurred: etcd"`
	fails := func(context.Context, metav1.ListOptions) (*unstructured.UnstructuredList, error) {
		return nil, errBroken
	}
	inTwo := func(o *Options[*kept]) { o.Namespaces = []string{"test", "elsewhere"} }
	for name, test := range map[string]struct {
		spoil  func(*answers, *world)
		change func(*Options[*kept])
		lost   []string
		count  float64
		found  []string
	}{
		"in all namespaces at once": {func(a *answers, _ *world) { a.list = fails }, func(*Options[*kept]) {},
			[]string{`"level"=0 "msg"="Kind can't be read" "kind"="fruit.io/v1, Kind=Apple" "namespaces"=["*"]` + broken}, 1,
			[]string{`"level"=0 "msg"="Kind can be read again" "kind"="fruit.io/v1, Kind=Apple" "namespaces"=["*"]`}},
		"in each of two": {func(a *answers, _ *world) { a.list = fails }, inTwo,
			[]string{`"level"=0 "msg"="Kind can't be read" "kind"="fruit.io/v1, Kind=Apple" "namespaces"=["test"]` + broken,
				`"level"=0 "msg"="Kind can't be read" "kind"="fruit.io/v1, Kind=Apple" "namespaces"=["elsewhere"]` + broken}, 2,
			[]string{`"level"=0 "msg"="Kind can be read again" "kind"="fruit.io/v1, Kind=Apple" "namespaces"=["test"]`,
				`"level"=0 "msg"="Kind can be read again" "kind"="fruit.io/v1, Kind=Apple" "namespaces"=["elsewhere"]`}},
		"it isn't served": {func(_ *answers, w *world) { w.mapper.remove(apple) }, inTwo,
			[]string{`"level"=0 "msg"="Kind can't be read" "kind"="fruit.io/v1, Kind=Apple" "namespaces"=["test" "elsewhere"] "reason"="the cluster does not serve this kind"`}, 2,
			[]string{`"level"=0 "msg"="Kind can be read again" "kind"="fruit.io/v1, Kind=Apple" "namespaces"=["test"]`,
				`"level"=0 "msg"="Kind can be read again" "kind"="fruit.io/v1, Kind=Apple" "namespaces"=["elsewhere"]`}},
	} {
		inBubble(t, name, func(t *testing.T) {
			client := &answers{}
			w := newWorld(t, answering(client), test.change)
			test.spoil(client, w)
			w.set.Follow(someone, []Target{apple}, nil)
			full := apple
			full.Full = true
			w.set.Follow(another, []Target{full}, nil)
			until(time.Now().Add(time.Minute))
			w.Expect(w.log()).To(ConsistOf(test.lost))
			w.Expect(w.set.outages.count()).To(Equal(test.count))

			client.mend()
			w.mapper.serve(apple, apples, meta.RESTScopeNamespace)
			until(time.Now().Add(2 * time.Minute))
			w.Expect(w.log()).To(ConsistOf(test.found))
			w.Expect(w.set.outages.count()).To(BeZero())
			w.set.Follow(someone, nil, nil)
			w.set.Follow(another, nil, nil)
		})
	}
}

func TestWhatIsNotWatchedAnyMoreDoesNotCount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, answering(&answers{list: hangs}))
		w.set.Follow(someone, []Target{apple}, nil)
		until(time.Now().Add(time.Minute))
		w.Expect(w.set.outages.count()).To(Equal(1.0))
		w.Expect(w.log()).To(HaveLen(1))
		w.set.Follow(someone, nil, nil)
		until(time.Now().Add(time.Minute))
		w.Expect(w.set.outages.count()).To(BeZero())
		w.Expect(w.log()).To(BeEmpty(), "it isn't known that it can be read")
	})
}

func TestTheCountIsAMetric(t *testing.T) {
	g := NewWithT(t)
	families, err := metrics.Registry.Gather()
	g.Expect(err).NotTo(HaveOccurred())
	var names []string
	for _, family := range families {
		names = append(names, family.GetName())
	}
	g.Expect(names).To(ContainElement("iter8_unreadable_kinds"))
}
