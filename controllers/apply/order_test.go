package apply

import (
	"errors"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// lineOf is the line of an object that was applied: of a DestinationRule where its name begins with d, of a
// VirtualService with v, of an HTTPRoute with r.
func lineOf(name string) iter8v1alpha1.AppliedObject {
	entry := iter8v1alpha1.AppliedObject{APIVersion: "networking.istio.io/v1", Name: name, UID: "u"}
	switch name[0] {
	case 'd':
		entry.Kind = "DestinationRule"
	case 'v':
		entry.Kind = "VirtualService"
	default:
		entry.APIVersion, entry.Kind = "gateway.networking.k8s.io/v1", "HTTPRoute"
	}
	return entry
}

func namesOf(steps []Step) []string {
	names := []string{}
	for _, s := range steps {
		names = append(names, s.Key.Name)
	}
	return names
}

// listedAs are the lines of routes of ours, and held what the cluster holds of them.
func listedAs(names ...string) (lines []iter8v1alpha1.AppliedObject, held map[string]*Existing) {
	held = map[string]*Existing{}
	for _, name := range names {
		lines = append(lines, entryOf(name))
		held[name] = ours(name)
	}
	return lines, held
}

func TestSubsetsComeBeforeWhatNamesThem(t *testing.T) {
	for name, test := range map[string]struct{ given, want []string }{
		"in that order":                             {[]string{"d1", "v1"}, []string{"d1", "v1"}},
		"the other way round":                       {[]string{"v1", "d1"}, []string{"d1", "v1"}},
		"several of each, in turn":                  {[]string{"v1", "d1", "v2", "d2"}, []string{"d1", "d2", "v1", "v2"}},
		"several of each, in turn, the rules first": {[]string{"d2", "v2", "d1", "v1"}, []string{"d2", "d1", "v2", "v1"}},
		"all routes first":                          {[]string{"v2", "v1", "d2", "d1"}, []string{"d2", "d1", "v2", "v1"}},
		"all rules first":                           {[]string{"d2", "d1", "v2", "v1"}, []string{"d2", "d1", "v2", "v1"}},
		"with routes of another API":                {[]string{"r2", "v1", "d1", "r1"}, []string{"d1", "r2", "v1", "r1"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			manifests := make([]*unstructured.Unstructured, 0, len(test.given))
			for _, n := range test.given {
				entry, u := lineOf(n), &unstructured.Unstructured{}
				u.SetAPIVersion(entry.APIVersion)
				u.SetKind(entry.Kind)
				u.SetName(entry.Name)
				manifests = append(manifests, u)
			}
			steps, err := plan(owner, manifests, nil, func(Key) *Existing { return nil })
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(namesOf(steps)).To(Equal(test.want))
			for i, n := range test.given {
				g.Expect(manifests[i].GetName()).To(Equal(n), "what was given is changed")
			}
		})
	}
}

func TestSubsetsGoAfterWhatNamesThem(t *testing.T) {
	for name, test := range map[string]struct{ inventory, want []string }{
		"in the order in which they were applied":       {[]string{"d1", "v1"}, []string{"v1", "d1"}},
		"the rule was planned after the route":          {[]string{"v1", "d1"}, []string{"v1", "d1"}},
		"several of each, in turn":                      {[]string{"v1", "d1", "v2", "d2"}, []string{"v2", "v1", "d2", "d1"}},
		"several of each, in turn, the rules first":     {[]string{"d1", "v1", "d2", "v2"}, []string{"v2", "v1", "d2", "d1"}},
		"after they could not be deleted the last time": {[]string{"v2", "v1", "d2", "d1"}, []string{"v1", "v2", "d1", "d2"}},
		"with routes of another API":                    {[]string{"r1", "d1", "r2", "v1"}, []string{"v1", "r2", "r1", "d1"}},
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			var inventory, given []iter8v1alpha1.AppliedObject
			for _, n := range test.inventory {
				inventory, given = append(inventory, lineOf(n)), append(given, lineOf(n))
			}
			ours := &Existing{UID: "u", Controller: controlledBy(owner.UID)}
			steps, err := plan(owner, nil, inventory, func(Key) *Existing { return ours })
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(namesOf(steps)).To(Equal(test.want))
			g.Expect(steps).To(HaveEach(HaveField("Action", Delete)))
			g.Expect(inventory).To(Equal(given), "what was given is changed")
		})
	}
}

func TestAnObjectThatCanNotBeDeletedHoldsUpNoOther(t *testing.T) {
	w := newWorld(t)
	inventory, cluster := listedAs("a", "b", "c", "d")
	w.refuse("c", errors.New("not today"))
	w.refuse("d", errors.New("not today"))
	result := w.execute(t, w.plan(nil, inventory, cluster))
	w.Expect(w.calls()).To(Equal([]string{"delete d", "delete c", "delete b", "delete a"}))
	w.Expect(result.Inventory).To(Equal([]iter8v1alpha1.AppliedObject{entryOf("c"), entryOf("d")}), "the oldest stays the last")
	w.Expect(result.Failures).To(HaveExactElements(
		HaveField("Message", "deleting HTTPRoute d: not today"), HaveField("Message", "deleting HTTPRoute c: not today")))
}

func TestSubsetsStayUntilWhatNamesThemIsGone(t *testing.T) {
	w := newWorld(t)
	inventory := []iter8v1alpha1.AppliedObject{lineOf("d1"), entryOf("a"), lineOf("d2"), entryOf("b")}
	cluster := map[string]*Existing{"d1": ours("d1"), "d2": ours("d2"), "a": ours("a"), "b": ours("b")}
	cluster["d1"].UID, cluster["d2"].UID = "u", "u"
	w.refuse("b", errors.New("not today"))
	result := w.execute(t, w.plan(nil, inventory, cluster))
	w.Expect(w.calls()).To(Equal([]string{"delete b", "delete a"}), "a route may name them")
	w.Expect(result.Inventory).To(Equal([]iter8v1alpha1.AppliedObject{lineOf("d1"), lineOf("d2"), entryOf("b")}))
	w.Expect(result.Failures).To(HaveLen(1))

	w.refuse("b", nil)
	delete(cluster, "a")
	result = w.execute(t, w.plan(nil, result.Inventory, cluster))
	w.Expect(w.calls()[2:]).To(Equal([]string{"delete b", "delete d2", "delete d1"}))
	w.Expect(result.Inventory).To(BeEmpty())
	w.Expect(result.Failures).To(BeEmpty())
}
