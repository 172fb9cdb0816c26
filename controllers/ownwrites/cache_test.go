package ownwrites

import (
	"strconv"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

func version(uid types.UID, resourceVersion string) *metav1.ObjectMeta {
	return &metav1.ObjectMeta{Namespace: "test", Name: "one", UID: uid, ResourceVersion: resourceVersion}
}

func TestNewestIsTheLaterOfWhatWasWrittenAndWhatIsCached(t *testing.T) {
	for name, test := range map[string]struct {
		written, cached *metav1.ObjectMeta
		takesWritten    bool
	}{
		"the cache lags": {version("a", "11"), version("a", "10"), true},
		"the cache lags by a number that is longer":            {version("a", "10"), version("a", "9"), true},
		"the cache shows what was written":                     {version("a", "11"), version("a", "11"), false},
		"the cache shows something later":                      {version("a", "11"), version("a", "12"), false},
		"the object was made again since":                      {version("a", "12"), version("b", "11"), false},
		"the version that was written is no number":            {version("a", "1x"), version("a", "10"), false},
		"the cached version is no number":                      {version("a", "11"), version("a", "x"), false},
		"the version that was written is missing":              {version("a", ""), version("a", "10"), false},
		"the cached version is one that no object can be of":   {version("a", "11"), version("a", "0"), false},
		"both versions are garbage, and sort the other way":    {version("a", "z"), version("a", "y"), false},
		"nothing was written, so the cache is all that is had": {nil, version("a", "10"), false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var w Cache[*metav1.ObjectMeta]
			if test.written != nil {
				w.Add(test.written)
			}
			want := test.cached
			if test.takesWritten {
				want = test.written
			}
			g.Expect(w.Latest(test.cached)).To(BeIdenticalTo(want))
			g.Expect(w.Latest(test.cached)).To(BeIdenticalTo(want), "asked once more")
		})
	}
}

func TestWhatWasWrittenIsDroppedOnceTheCacheHasCaughtUp(t *testing.T) {
	for name, cached := range map[string]*metav1.ObjectMeta{
		"with the version that was written": version("a", "11"),
		"with a later version":              version("a", "12"),
		"with another object of that name":  version("b", "5"),
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var w Cache[*metav1.ObjectMeta]
			w.Add(version("a", "11"))
			w.Observe(version("a", "10"))
			g.Expect(w.objects).To(HaveLen(1), "the cache lags")
			w.Observe(cached)
			g.Expect(w.objects).To(BeEmpty())
		})
	}
}

func TestTheLastWriteCounts(t *testing.T) {
	g := NewWithT(t)
	var w Cache[*metav1.ObjectMeta]
	last := version("a", "12")
	w.Add(version("a", "11"))
	w.Add(last)
	g.Expect(w.Latest(version("a", "10"))).To(BeIdenticalTo(last))
}

func TestObjectsOfOneNameInTwoNamespacesAreTwo(t *testing.T) {
	g := NewWithT(t)
	var w Cache[*metav1.ObjectMeta]
	w.Add(version("a", "11"))
	other := version("a", "10")
	other.Namespace = "elsewhere"
	g.Expect(w.Latest(other)).To(BeIdenticalTo(other))
	w.Forget(types.NamespacedName{Namespace: "elsewhere", Name: "one"})
	g.Expect(w.Latest(version("a", "10"))).To(HaveField("ResourceVersion", "11"))
}

func TestForgetDropsWhatWasWritten(t *testing.T) {
	g := NewWithT(t)
	var w Cache[*metav1.ObjectMeta]
	name := types.NamespacedName{Namespace: "test", Name: "one"}
	w.Forget(name) // of what was never written
	w.Add(version("a", "11"))
	w.Forget(name)
	cached := version("a", "10")
	g.Expect(w.Latest(cached)).To(BeIdenticalTo(cached))
}

// TestWrittenIsForSeveralGoroutines is for the race detector.
func TestWrittenIsForSeveralGoroutines(t *testing.T) {
	g := NewWithT(t)
	var w Cache[*metav1.ObjectMeta]
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for i := range 100 {
				w.Add(version("a", strconv.Itoa(i+1)))
				w.Latest(version("a", "50"))
				w.Forget(types.NamespacedName{Namespace: "test", Name: "two"})
			}
		})
	}
	all.Wait()
	g.Expect(w.Latest(version("a", "100"))).To(HaveField("ResourceVersion", "100"))
}

func TestAnEchoIsWhatThisProcessWrote(t *testing.T) {
	labelled := func(o *metav1.ObjectMeta, team string) *metav1.ObjectMeta {
		o.Labels = map[string]string{"team": team}
		return o
	}
	for name, test := range map[string]struct {
		written, inFlight, shown *metav1.ObjectMeta
		echo                     bool
	}{
		"the version that was written":                 {version("a", "11"), nil, version("a", "11"), true},
		"a version before it":                          {version("a", "11"), nil, version("a", "10"), true},
		"a version after it":                           {version("a", "11"), nil, version("a", "12"), false},
		"another object of that name":                  {version("a", "11"), nil, version("b", "10"), false},
		"nothing was written":                          {nil, nil, version("a", "10"), false},
		"what is being written":                        {nil, labelled(version("a", "10"), "shop"), labelled(version("a", "11"), "shop"), true},
		"another's write while this one is on its way": {nil, labelled(version("a", "10"), "shop"), labelled(version("a", "11"), "web"), false},
		"the next object while this one is written":    {nil, labelled(version("a", "10"), "shop"), labelled(version("b", "11"), "shop"), false},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var w Cache[*metav1.ObjectMeta]
			if test.written != nil {
				w.Add(test.written)
			}
			ended := func() {}
			if test.inFlight != nil {
				ended = w.Begin(test.inFlight)
			}
			same := func(a, b *metav1.ObjectMeta) bool { return a.Labels["team"] == b.Labels["team"] }
			g.Expect(w.IsEcho(test.shown, same)).To(Equal(test.echo))
			ended()
			g.Expect(w.inFlight).To(BeEmpty())
		})
	}
}
