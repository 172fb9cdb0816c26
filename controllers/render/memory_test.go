package render

import (
	"strings"
	"sync"
	"testing"

	. "github.com/onsi/gomega"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"

	iter8v1alpha1 "iter8.tools/operator/api/v1alpha1"
)

// once is the input of a template that never renders the same twice.
func once() Input { return inline(map[string]any{"port": int64(8000)}, echo("uuidv4")) }

// remembered gives the field out of what a Memory renders.
func remembered(t *testing.T, m *Memory, chartDigest string, in Input) any {
	t.Helper()
	g := NewWithT(t)
	manifests, err := manifestsOf(m, chartDigest, in)
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(manifests).To(HaveLen(1))
	return manifests[0].Object["out"]
}

func manifestsOf(m *Memory, chartDigest string, in Input) ([]*unstructured.Unstructured, error) {
	request, err := NewRequest(chartDigest, in)
	if err != nil {
		return nil, err
	}
	return m.Manifests(request)
}

func TestWhatWasRenderedIsRemembered(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(NewRenderer())
	first := remembered(t, m, "", once())
	g.Expect(remembered(t, m, "", once())).To(Equal(first))
	g.Expect(remembered(t, NewMemory(NewRenderer()), "", once())).NotTo(Equal(first), "the template is one that tells")
}

func TestWhateverARenderDependsOnHasItRenderedAnew(t *testing.T) {
	for name, change := range map[string]func(*Input){
		"the values":            func(in *Input) { in.Values["port"] = int64(8001) },
		"the policy":            func(in *Input) { in.Policy = "other" },
		"the namespace":         func(in *Input) { in.Namespace = "other" },
		"the labels":            func(in *Input) { in.Labels["app"] = "other" },
		"the Subject":           func(in *Input) { in.Subject = types.NamespacedName{Namespace: "apps", Name: "other"} },
		"a variant":             func(in *Input) { in.Variants[1].Available = true },
		"a weight":              func(in *Input) { in.Variants[1].Weight = 51 },
		"a variant's resource":  func(in *Input) { in.Variants[1].Resources[0].Name = "other" },
		"one variant fewer":     func(in *Input) { in.Variants = in.Variants[:1] },
		"what the cluster has":  func(in *Input) { in.APIVersions = in.APIVersions[:1] },
		"the template":          func(in *Input) { in.Templates[0].Template += "\n" },
		"the template's name":   func(in *Input) { in.Templates[0].Name = "other" },
		"one more template":     func(in *Input) { in.Templates = append(in.Templates, iter8v1alpha1.InlineTemplate{Name: "z"}) },
		"a number that is text": func(in *Input) { in.Values["port"] = "8000" },
	} {
		t.Run(name, func(t *testing.T) {
			g := NewWithT(t)
			m := NewMemory(NewRenderer())
			before := remembered(t, m, "", once())
			changed := once()
			change(&changed)
			g.Expect(remembered(t, m, "", changed)).NotTo(Equal(before))
			g.Expect(remembered(t, m, "", once())).To(Equal(before), "and what was rendered before is remembered too")
		})
	}
}

func TestAChartIsKnownByItsDigest(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(NewRenderer())
	c := func() Input { return input(chartOf(t, map[string]string{"templates/a.yaml": echo("uuidv4")}), nil) }
	before := remembered(t, m, "sha256:1", c())
	g.Expect(remembered(t, m, "sha256:1", c())).To(Equal(before), "wherever it is in memory")
	g.Expect(remembered(t, m, "sha256:2", c())).NotTo(Equal(before))
}

func TestWhatIsRememberedIsAsItWasRendered(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(NewRenderer())
	in := inline(values(t, "{million: 1000000, fraction: 0.5}"), "apiVersion: v1\nkind: A\nspec: {port: 8000, million: {{ .Values.million }}, half: {{ .Values.fraction }}, none: null, list: [1, a]}\n")
	first, err := manifestsOf(m, "", in)
	g.Expect(err).NotTo(HaveOccurred())
	want := first[0].DeepCopy()
	first[0].SetName("changed by who got it")
	for range 2 {
		again, err := manifestsOf(m, "", in)
		g.Expect(err).NotTo(HaveOccurred())
		g.Expect(again).To(Equal([]*unstructured.Unstructured{want}), "integers are integers")
		again[0].SetName("changed by who got it")
	}
}

func TestWhatIsNotWorthRememberingIsRenderedEveryTime(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(NewRenderer())
	_, first := manifestsOf(m, "", inline(nil, `{{ fail uuidv4 }}`))
	_, second := manifestsOf(m, "", inline(nil, `{{ fail uuidv4 }}`))
	g.Expect(first).To(HaveOccurred())
	g.Expect(second).NotTo(MatchError(first.Error()))
	g.Expect(m.renders.Len()).To(BeZero())
}

func TestOfWhatIsLargeAFewAreRemembered(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(NewRenderer())
	large := func(name string) any {
		return remembered(t, m, "", inline(map[string]any{"name": name}, "apiVersion: v1\nkind: A\nmetadata: {name: a}\nout: {{ uuidv4 }}\nfiller: "+strings.Repeat("x", largestRemembered)))
	}
	first := large("a")
	g.Expect(large("a")).To(Equal(first))
	for _, name := range []string{"b", "c", "d", "e", "f", "g", "h", "i"} {
		large(name)
	}
	g.Expect(large("a")).NotTo(Equal(first))
	g.Expect(m.renders.Len()).To(BeZero())
}

func TestNothingRenderedIsRememberedToo(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(NewRenderer())
	for range 2 {
		g.Expect(manifestsOf(m, "", inline(nil, "{{/* nothing */}}"))).To(BeEmpty())
	}
	g.Expect(m.renders.Len()).To(Equal(1))
}

// TestAMemoryIsForSeveralGoroutines is for the race detector.
func TestAMemoryIsForSeveralGoroutines(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(NewRenderer())
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 20 {
				manifests, err := manifestsOf(m, "", once())
				if err == nil {
					manifests[0].SetName("mine")
				}
			}
		})
	}
	all.Wait()
	g.Expect(m.renders.Len()).To(Equal(1))
}

// late is a Worker that has one answer for each policy, and gives it only when it is asked again, as one in another process does where a
// render takes longer than a moment.
type late struct {
	*Renderer
	asked [32]byte
}

func (l *late) Render(request Request) ([]byte, error) {
	if l.asked != request.Key {
		l.asked = request.Key
		return nil, ErrPending
	}
	l.asked = [32]byte{}
	return l.Renderer.Render(request)
}

// What a policy renders now, and with every variant available, are looked at together.
func TestLargeRendersOfOnePolicyDoNotPushEachOtherOut(t *testing.T) {
	g := NewWithT(t)
	m := NewMemory(&late{Renderer: NewRenderer()})
	now := inline(nil, "apiVersion: v1\nkind: A\nmetadata: {name: a}\nfiller: "+strings.Repeat("x", 200<<10))
	all := now
	all.Policy, all.Variants = now.Policy, append([]Variant{}, now.Variants...)
	all.Variants[1].Available = !all.Variants[1].Available
	looks := 0
	for both := false; !both && looks < 10; looks++ {
		_, err := manifestsOf(m, "", now)
		if err == nil {
			_, err = manifestsOf(m, "", all)
		}
		both = err == nil
	}
	g.Expect(looks).To(Equal(3), "one for each answer, and the one that asks first")
}
