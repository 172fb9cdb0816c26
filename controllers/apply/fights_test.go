package apply

import (
	"errors"
	"fmt"
	"testing"
	"time"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// putRight puts an object right where it may be, and putOut edits it.
func (f *fights) putRight(object types.UID, about Contention, now time.Time) time.Time {
	until := f.revert(object, about, 5*time.Minute, now)
	if until.IsZero() {
		f.reverted(object, now)
	}
	return until
}

func (f *fights) putOut(object types.UID, now time.Time) time.Time {
	until := f.edit(object, now)
	if until.IsZero() {
		f.edited(object, now)
	}
	return until
}

// An object that another changes back every 20 ms is put right three times, and then ever less often.
func TestAFightGetsEverLongerTruces(t *testing.T) {
	g := NewWithT(t)
	var f fights
	var put []string
	for at := time.Duration(0); at < 5*time.Minute; at += 20 * time.Millisecond {
		if f.putRight("web", Contention{}, began.Add(at)).IsZero() {
			put = append(put, at.String())
		}
	}
	g.Expect(put).To(Equal([]string{"0s", "20ms", "40ms", "10.06s", "30.06s", "1m10.06s", "2m30.06s"}))
	g.Expect(f.putRight("web", Contention{}, began.Add(5*time.Minute))).To(Equal(began.Add(5*time.Minute+10*time.Second+60*time.Millisecond)), "when it may be")
	g.Expect(f.putRight("api", Contention{}, began.Add(5*time.Minute))).To(BeZero(), "another object is none of this")
}

func TestATruceHasALimit(t *testing.T) {
	g := NewWithT(t)
	var f fights
	var last, longest time.Duration
	for at := time.Duration(0); at < 2*time.Hour; at += time.Second {
		if f.putRight("web", Contention{}, began.Add(at)).IsZero() {
			last, longest = at, max(longest, at-last)
		}
	}
	g.Expect(longest).To(Equal(5 * time.Minute))
}

func TestSeldomChangesAreNoFight(t *testing.T) {
	g := NewWithT(t)
	var f fights
	for i := range 100 {
		at := began.Add(time.Duration(i) * 21 * time.Second)
		g.Expect(f.putRight("web", Contention{}, at)).To(BeZero(), fmt.Sprint(i))
		_, over := f.contended("web", at)
		g.Expect(over).To(BeZero())
	}
}

func TestAFightIsOverOnceTheObjectIsLeftAlone(t *testing.T) {
	g := NewWithT(t)
	var f fights
	about := Contention{Object: "HTTPRoute web", Managers: "other", Fields: "spec.rules"}
	for range 4 {
		f.putRight("web", about, began)
	}
	told, over := f.contended("web", began)
	g.Expect(told).To(Equal(about))
	g.Expect(over).To(Equal(began.Add(70*time.Second)), "if it isn't changed back after the truce")
	g.Expect(f.putRight("web", about, began.Add(10*time.Second))).To(BeZero())
	_, over = f.contended("web", began.Add(10*time.Second))
	g.Expect(over).To(Equal(began.Add(70*time.Second)), "if it is left alone now")
	f.putRight("web", about, began.Add(11*time.Second))
	_, over = f.contended("web", began.Add(11*time.Second))
	g.Expect(over).To(Equal(began.Add(90*time.Second)), "after a truce of 20 s, and a minute")
	_, over = f.contended("web", began.Add(90*time.Second))
	g.Expect(over).To(BeZero())
	for range 3 {
		g.Expect(f.putRight("web", about, began.Add(90*time.Second))).To(BeZero(), "as if nothing had been")
	}
	f.putRight("api", about, began.Add(time.Hour))
	g.Expect(f.objects).To(HaveLen(1), "what is over is forgotten")
}

func TestEditsWaitForASecondAtMost(t *testing.T) {
	g := NewWithT(t)
	var f fights
	var put []string
	for at := time.Duration(0); at < 4*time.Second; at += 20 * time.Millisecond {
		if f.putOut("web", began.Add(at)).IsZero() {
			put = append(put, at.String())
		}
	}
	g.Expect(put).To(Equal([]string{"0s", "20ms", "40ms", "1.04s", "2.04s", "3.04s"}))
}

// Another changed the route once, and the apiserver is unwell for a moment.
func TestTriesThatFailAreNoFight(t *testing.T) {
	w := newWorld(t)
	w.create(seen("old-uid-of-web", "7", 3))
	stood := w.apply(t, w.request(routesNamed("web"), []iter8v1alpha1.AppliedObject{entryOf("web")}), &log{})
	w.Expect(stood.Failures).To(BeEmpty())
	w.update(seen("old-uid-of-web", "200", 9))
	w.Eventually(func() int64 {
		return w.cache.Get(routeKind, types.NamespacedName{Namespace: "test", Name: "web"}).Generation
	}).Should(Equal(int64(9)))
	w.refuse("web", errors.New("unwell"))
	edit := Edit{Kind: routeKind, Object: types.NamespacedName{Namespace: "test", Name: "web"}, UID: "old-uid-of-web", Patch: []any{}, Accounts: []*Account{{Client: w.client}}}
	for range 5 {
		result := w.apply(t, w.request(routesNamed("web"), stood.Inventory), &log{})
		w.Expect(result.Failures).To(HaveExactElements(HaveField("Message", "applying HTTPRoute web: unwell")))
		w.Expect(w.executor.Edit(t.Context(), edit)).To(HaveField("Message", "taking mirrors out of HTTPRoute web: unwell"))
	}
	_, over := w.executor.Contended("old-uid-of-web", time.Now())
	w.Expect(over).To(BeZero())
	w.refuse("web", nil)
	result := w.apply(t, w.request(routesNamed("web"), stood.Inventory), &log{})
	w.Expect(result.Failures).To(BeEmpty())
}

// A fight about the Pods of a subset, to which copies may go, is fought on.
func TestSubsetsAreNotLeftAsAnotherMadeThem(t *testing.T) {
	g := NewWithT(t)
	var f fights
	var put []string
	for at := time.Duration(0); at < 4*time.Second; at += 20 * time.Millisecond {
		if f.revert("rule", Contention{}, time.Second, began.Add(at)).IsZero() {
			f.reverted("rule", began.Add(at))
			put = append(put, at.String())
		}
	}
	g.Expect(put).To(Equal([]string{"0s", "20ms", "40ms", "1.04s", "2.04s", "3.04s"}))
	_, over := f.contended("rule", began.Add(4*time.Second))
	g.Expect(over).NotTo(BeZero(), "though the status says so")
}

func TestOnlyChangedSubsetsHurryAFight(t *testing.T) {
	for name, test := range map[string]struct {
		spec    []string
		longest time.Duration
	}{
		"a subset is others' Pods":   {[]string{"v1", "v2=v3"}, time.Second},
		"a subset is gone":           {[]string{"v1"}, time.Second},
		"its subsets are as applied": {[]string{"v1", "v2"}, 10 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			m := newMesh(t, rule(t, "rule", "app", "v1", "v2"))
			m.holds("rule", rule(t, "rule", "app", test.spec...))
			for i := range int64(4) {
				m.cluster["rule"].Generation = 8 + i
				steps := m.plan(objects{rule(t, "rule", "app", "v1", "v2")}, m.inventory, m.cluster)
				m.executor.makePeace(t.Context(), steps)
				m.Expect(steps).To(HaveLen(1))
				if i < 3 {
					m.Expect(m.execute(t, steps).Failures).To(BeEmpty())
					continue
				}
				m.Expect(steps[0].Action).To(Equal(Yield))
				m.Expect(steps[0].until).To(BeTemporally("~", time.Now().Add(test.longest), 900*time.Millisecond))
			}
		})
	}
}
